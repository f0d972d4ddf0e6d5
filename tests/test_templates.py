"""The chat templates of published checkpoints, byte for byte as their own code wrote prompts."""

import pytest

from llava_graph.chat import load_template, render, template_names
from llava_graph.prompt import text_message

HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
USER = HUMAN.replace("human", "user")
TAGS = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant is able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural language."
    "The visual content will be provided with the following format: <Image>visual content</Image>."
)
VISION = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
WAIV = (
    "You are LLaVA, a large language and vision assistant trained by UW Madison WAIV Lab."
    "You are able to understand the visual content that the user provides, and assist the user with a variety of tasks using "
    "natural language.Follow the instructions carefully and explain your answers in detail."
)
SAFE = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  Your "
    "answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. Please ensure "
    "that your responses are socially unbiased and positive in nature.\n\nIf a question does not make any sense, or is not "
    "factually coherent, explain why instead of answering something not correct. If you don't know the answer to a question, "
    "please don't share false information."
)
HEAD = "<|start_header_id|>{}<|end_header_id|>\n\n"

# Two questions with answers about one image; where the beginning token is part of the text it stands first.
WRITTEN = {
    "v0": f"{HUMAN}###Human: <image>\nQ1###Assistant: A1###Human: Q2###Assistant: A2###",
    "simple": f"{HUMAN}###Human: Hi!###Assistant: Hi there! How can I help you today?###"
    "Human: <image>\nQ1###Assistant: A1###Human: Q2###Assistant: A2###",
    "multimodal": f"{WAIV}###Human: Hi!###Assistant: Hi there!  How can I help you today?\n###"
    "Human: <image>\nQ1###Assistant: A1###Human: Q2###Assistant: A2###",
    "vicuna_v1": f"{USER} USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT: A2</s>",
    "llava_v1": f"{HUMAN} USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT: A2</s>",
    "v0_mmtag": f"{TAGS}###Human: <Image><image></Image>###Assistant: Received.###"
    "Human: Q1###Assistant: A1###Human: Q2###Assistant: A2###",
    "v1_mmtag": f"{TAGS} USER: <Image><image></Image> ASSISTANT: Received.</s>"
    "USER: Q1 ASSISTANT: A1</s>USER: Q2 ASSISTANT: A2</s>",
    "llama_2": f"<s>[INST] <<SYS>>\n{SAFE}\n<</SYS>>\n\n<image>\nQ1 [/INST] A1 </s><s>[INST] Q2 [/INST] A2 </s>",
    "llava_llama_2": f"<s>[INST] <<SYS>>\n{VISION}\n<</SYS>>\n\n<image>\nQ1 [/INST] A1 </s><s>[INST] Q2 [/INST] A2 </s>",
    "mistral_instruct": "[INST] <image>\nQ1 [/INST] A1 </s>[INST] Q2 [/INST] A2 </s>",
    "tiny_llama": f"|system|>\n{VISION}\n<|user|>\n<image>\nQ1\n<|assistant|>\nA1</s>"
    "<s><|user|>\nQ2\n<|assistant|>\nA2</s>",
    "llama_3": f"<s>{HEAD.format('user')}<image>\nQ1<|eot_id|>{HEAD.format('assistant')}A1<|eot_id|>"
    f"{HEAD.format('user')}Q2<|eot_id|>{HEAD.format('assistant')}A2<|eot_id|>",
    "chatml": "<|im_start|>user\n<image>\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
    "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
    "qwen": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
    "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
    "chatml_direct": "<|im_start|>system\nAnswer the questions.<|im_end|>"
    "<|im_start|>user\n<image>\nQ1<|im_end|><|im_start|>assistant\nA1<|im_end|>"
    "<|im_start|>user\nQ2<|im_end|><|im_start|>assistant\nA2<|im_end|>",
    "plain": "<image>A1\nA2\n",
}
SYSTEM = {
    "v0": "Be brief.###Human:",
    "simple": "Be brief.###Human: Hi!",
    "multimodal": "Be brief.###Human: Hi!",
    "v0_mmtag": "Be brief.###Human: Q1",
    "vicuna_v1": "Be brief. USER:",
    "llava_v1": "Be brief. USER:",
    "v1_mmtag": "Be brief. USER: Q1",
    "llama_2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nQ1",
    "llava_llama_2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nQ1",
    "mistral_instruct": "[INST] Be brief.\n\nQ1",
    "tiny_llama": "|system|>\nBe brief.\n<|user|>",
    "llama_3": f"<s>{HEAD.format('system')}Be brief.<|eot_id|>",
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user",
    "qwen": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user",
    "chatml_direct": "<|im_start|>system\nBe brief.<|im_end|><|im_start|>user",
}


def talk():
    texts = ("Q1", "A1", "Q2", "A2")
    messages = [text_message(("user", "assistant")[index % 2], text) for index, text in enumerate(texts)]
    messages[0]["content"].insert(0, {"type": "image"})
    return messages


def write(messages, name, *, open_turn=False):
    return render(messages, load_template(name), add_generation_prompt=open_turn, bos_token="<s>", eos_token="</s>")


def test_every_template_is_written_down_here():
    assert set(WRITTEN) == set(template_names())


@pytest.mark.parametrize("name", WRITTEN)
def test_template_writes_what_its_checkpoints_were_asked_with(name):
    assert write(talk(), name) == WRITTEN[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_question_ends_where_the_answer_begins(name):
    prompt = write(talk()[:1], name, open_turn=True)
    assert WRITTEN[name].startswith(prompt)
    assert WRITTEN[name][len(prompt) :].lstrip(" ").startswith("A1")


@pytest.mark.parametrize("name", SYSTEM)
def test_system_text_of_ones_own_takes_the_place_of_the_default(name):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q1"}]
    assert write(messages, name, open_turn=True).startswith(SYSTEM[name])


@pytest.mark.parametrize("name", sorted({*WRITTEN} - {"plain"}))
def test_plain_strings_and_parts_are_written_alike(name):
    parts = [text_message("user", "Q1"), text_message("assistant", "A1")]
    strings = [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"}]
    assert write(parts, name) == write(strings, name)

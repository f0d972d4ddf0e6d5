"""The smallest models of other families with their own processors, built from scratch: what `AutoModelForImageTextToText` opens.

Qwen-VL's and InternVL's processors ask for torchvision's video parts, which nobody needs for a figure: without them their
class check is passed over.
"""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for p in m.content %}{% if p.type == 'image' %}IMAGE{% else %}{{ p.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UTTERANCES = (
    "<s>{% for m in messages %}{{ m.role | capitalize }}{{ ':' if m.content[0].type == 'image' else ': ' }}"
    "{% for p in m.content %}{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% for p in m.content %}{% if p.type == 'image' %}<start_of_image>{% else %}{{ p.text | trim }}{% endif %}{% endfor %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def tokenizer(*specials, **named):
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<s>", "</s>", *specials],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(["the figure shows a rising curve\n\n user model assistant what is it"] * 20, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", extra_special_tokens=named
    )


def qwen2_vl():
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = tokenizer(
        "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
    )
    processor = processor_of(
        Qwen2VLProcessor, Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 9), words,
        TURNS.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"), video_processor=None,
    )  # fmt: skip
    number = words.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={**TEXT, "vocab_size": len(words), "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    return Qwen2VLForConditionalGeneration(config), processor


def internvl():
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor, Qwen2Config
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    words = tokenizer(
        "<|im_start|>", "<|im_end|>",
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>",
    )  # fmt: skip
    images = GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=3)
    template = TURNS.replace("IMAGE", "<IMG_CONTEXT>\n")
    processor = processor_of(InternVLProcessor, images, words, template, video_processor=None, image_seq_length=4)
    config = InternVLConfig(
        text_config=Qwen2Config(**TEXT, vocab_size=len(words)),
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": [32, 32], "patch_size": [8, 8],
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"), image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    return InternVLForConditionalGeneration(config), processor


def idefics3():
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, LlamaConfig
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    words = tokenizer(
        "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>",
        *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
    )  # fmt: skip
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(images, words, image_seq_len=4, chat_template=UTTERANCES)
    config = Idefics3Config(
        text_config=LlamaConfig(**TEXT, vocab_size=len(words), pad_token_id=0),
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"), scale_factor=2, pad_token_id=0,
    )  # fmt: skip
    return Idefics3ForConditionalGeneration(config), processor


def gemma3():
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3Processor
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    words = tokenizer(
        "<start_of_turn>", "<end_of_turn>",
        image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>",
    )  # fmt: skip
    images = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    processor = Gemma3Processor(images, words, image_seq_length=4, chat_template=GEMMA)
    number = words.convert_tokens_to_ids
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(words), "head_dim": 8, "sliding_window": 64},
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
        mm_tokens_per_image=4, image_token_id=number("<image_soft_token>"),
        boi_token_index=number("<start_of_image>"), eoi_token_index=number("<end_of_image>"),
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config), processor


def processor_of(kind, images, words, template, **more):
    """A processor without torchvision's parts."""
    unchecked = type(kind.__name__, (kind,), {"check_argument_for_proper_class": lambda *_: None})
    return unchecked(images, words, chat_template=template, **more)


FAMILIES = {build.__name__: build for build in (qwen2_vl, internvl, idefics3, gemma3)}
"""name -> () -> (model, processor)"""
EXTRA = {
    "qwen2_vl": {"pixel_values", "image_grid_thw", "mm_token_type_ids"},
    "internvl": {"pixel_values"},
    "idefics3": {"pixel_values", "pixel_attention_mask"},
    "gemma3": {"pixel_values", "token_type_ids"},
}
"""What each family wants beside ids and mask."""

"""Text token by token is the text of the whole, for byte-level and SentencePiece tokenizers, however long the answer."""

import random
import time

import pytest
from tiny_parts import build_tokenizer
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from llava_graph.generate import CONTEXT_IDS, Decoder
from llava_graph.model import PACKAGED
from llava_graph.model.load import load_processor


def sentencepiece():
    """Llama's: words begin with a mark, what has no piece is written in bytes, and the first space is none."""
    pieces = ["▁the", "▁curve", "s", "▁", ".", ",", "▁é", "µ", "▁rises", "ing", "0", "5", "▁x"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    core = Tokenizer(
        models.BPE({piece: place for place, piece in enumerate(vocabulary)}, [], unk_token="<unk>", byte_fallback=True)
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {
    "byte-level": build_tokenizer,
    "packaged": lambda: load_processor(PACKAGED).tokenizer,
    "sentencepiece": sentencepiece,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def in_bytes(text):
    """What SentencePiece writes for characters without a piece."""
    return [3 + byte for byte in text.encode()]


@pytest.mark.parametrize("seed", range(6))
def test_the_pieces_are_the_whole(tokenizer, seed):
    dice = random.Random(seed)
    ids = []
    while len(ids) < CONTEXT_IDS * 12:
        if tokenizer.unk_token:
            ids += in_bytes(dice.choice("µ图🦙\t")) if dice.random() < 0.5 else [dice.randrange(259, len(tokenizer))]
        else:
            ids.append(dice.randrange(len(tokenizer)))  # runs of bytes make characters of several tokens, and none
    decoder = Decoder(tokenizer, [])
    given = "".join([*map(decoder.push, ids), decoder.rest()])
    assert given == tokenizer.decode(ids, skip_special_tokens=True)
    assert not decoder.stopped


def test_characters_are_never_given_by_halves(tokenizer):
    text = "µ and é and 图表 and 🦙 rise. " * 30
    ids = in_bytes(text) if tokenizer.unk_token else tokenizer(text, add_special_tokens=False)["input_ids"]
    decoder = Decoder(tokenizer, [])
    pieces = [*map(decoder.push, ids), decoder.rest()]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert "".join(pieces) == text


def test_a_stop_string_across_what_was_shortened_is_found(tokenizer):
    ids = tokenizer("the curve " * 40 + "STOP here", add_special_tokens=False)["input_ids"]
    whole = tokenizer.decode(ids)
    stop = whole[-9:-4]
    decoder = Decoder(tokenizer, [stop])
    given = "".join(map(decoder.push, ids))
    assert decoder.stopped
    assert given == whole[: whole.index(stop)]


def test_a_long_answer_costs_no_more_a_token_than_a_short_one(tokenizer):
    def seconds(count):
        decoder = Decoder(tokenizer, ["###"])
        begun = time.process_time()
        for number in range(count):
            decoder.push(len(tokenizer) - 1 - number % 10)
        return (time.process_time() - begun) / count

    seconds(200)
    assert seconds(4000) < 4 * seconds(400) + 1e-4

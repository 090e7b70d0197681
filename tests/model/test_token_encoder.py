"""Text and tokens go back and forth without loss, and a token's bytes are what it prints."""

import heapq
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import SPECIALS, TinyFile

from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.hub_vocabulary import vocabulary_from_hub
from model.token_encoder import SubwordEncoder

once = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.sampled_from("the in  \n1é\u4f60\U0001f600<|_>")) | st.text()


@pytest.fixture(scope="module")
def byte_level(tiny_file: Callable[[str], TinyFile]) -> SubwordEncoder:
    return SubwordEncoder(vocabulary_from_gguf(GGUFFile(tiny_file("q4_0 grouped untied").path)))


PIECES = [
    ("<unk>", 2, 0.0), ("<s>", 3, 0.0), ("</s>", 3, 0.0), *((f"<0x{b:02X}>", 6, 0.0) for b in range(256)),
    ("\u2581", 1, -9.0), ("t", 1, -8.0), ("h", 1, -8.5), ("e", 1, -7.0), ("\u2581t", 1, -2.0), ("he", 1,
    -3.0),
    ("th", 1, -2.5), ("\u2581the", 1, -1.0), ("the", 1, -1.5), ("\u2581\u2581", 1, -4.0), ("ee", 1, -6.0),
    ("n", 1, -8.0),
    ("en", 1, -5.0), ("then", 1, -1.2), ("\u00e9", 1, -9.5),
]  # fmt: skip


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> SubwordEncoder:
    path = tmp_path_factory.mktemp("vocabulary") / "spm.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    pieces, types, scores = zip(*PIECES, strict=True)
    writer.add_token_list(list(pieces))
    writer.add_token_types(list(types))
    writer.add_token_scores(list(scores))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return SubwordEncoder(vocabulary_from_gguf(GGUFFile(path)))


@once
@given(text=texts)
def test_byte_level_round_trip(byte_level: SubwordEncoder, text: str) -> None:
    ids = byte_level.encode(text)
    assert byte_level.decode(ids) == text
    assert byte_level.tokenizer.decode(ids) == text
    assert not set(ids) & set(byte_level.special_ids.values())


def joined_by_score(text: str) -> list[str]:
    """SentencePiece by its definition: join the neighbours whose union scores best, leftmost first."""
    scores = {piece: score for piece, kind, score in PIECES if kind == 1}
    symbols = list("\u2581" + text.replace(" ", "\u2581"))
    while True:
        unions = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not unions:
            return symbols
        _, i = heapq.nsmallest(1, unions)[0]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


@once
@given(text=st.text(st.sampled_from("then the  e\u00e9\u4f60"), min_size=1))
def test_sentencepiece_joins_by_score(sentencepiece: SubwordEncoder, text: str) -> None:
    names = {piece: id for id, (piece, _, _) in enumerate(PIECES)}
    expected: list[int] = []
    for symbol in joined_by_score(text):
        expected += [names[symbol]] if symbol in names else [3 + byte for byte in symbol.encode()]
    assert sentencepiece.encode(text) == expected
    assert sentencepiece.decode(expected) == " " + text


def test_control_tokens_are_parsed_only_when_asked(byte_level: SubwordEncoder) -> None:
    text = "<|im_start|>the<|im_end|>"
    assert [id for id in byte_level.encode(text, special=True) if id < len(SPECIALS)] == [1, 2]
    assert not [id for id in byte_level.encode(text) if id < len(SPECIALS)]
    assert byte_level.decode(byte_level.encode(text, special=True)) == "the"
    assert byte_level.eos_ids == {0, 2}


def test_threads_do_not_mix_up_what_they_ask_for() -> None:
    """A tokenizer keeps in itself whether it reads control tokens."""

    class SlowTokenizer:
        encode_special_tokens = False

        def encode(self, text: str, add_special_tokens: bool) -> SimpleNamespace:
            time.sleep(0.001)  # in which others run
            return SimpleNamespace(ids=[int(self.encode_special_tokens)])

    vocabulary = SimpleNamespace(bos_id=None, eos_ids=frozenset(), special_ids={}, size=2, tokenizer=SlowTokenizer())
    encoder = SubwordEncoder(vocabulary)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda i: encoder.encode("", special=i % 2 == 1), range(20)))
    assert found == [[1], [0]] * 10


def test_start_token_follows_the_file(byte_level: SubwordEncoder, sentencepiece: SubwordEncoder) -> None:
    assert sentencepiece.encode("the", bos=True) == [1, *sentencepiece.encode("the")]
    assert byte_level.encode("the", bos=True) == byte_level.encode("the")


@once
@given(text=texts)
def test_tokenizer_json_gives_the_same(
    byte_level: SubwordEncoder, sentencepiece: SubwordEncoder, tmp_path: Path, text: str
) -> None:
    for encoder in (byte_level, sentencepiece):
        encoder.tokenizer.save(str(tmp_path / "tokenizer.json"))
        again = SubwordEncoder(vocabulary_from_hub(tmp_path))
        assert again.encode(text) == encoder.encode(text)
        assert again.special_ids == encoder.special_ids
        every = range(-1, encoder.vocab_size + 2)
        assert [again.token_bytes(id) for id in every] == [encoder.token_bytes(id) for id in every]

"""Any text is spelled by the encoder's own tokens, whatever it does around a text."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.hub_vocabulary import vocabulary_from_hub
from model.token_encoder import SubwordEncoder
from runtime.grammar.vocabulary import TokenVocabulary

MODELS = Path(__file__).parents[3] / "experiments" / "models"
SUBWORDS = SubwordEncoder(vocabulary_from_hub(MODELS / "llama-1m"))
PLAIN = TokenVocabulary(SUBWORDS, SUBWORDS.vocab_size)


class Spaced:
    """Begins every text with a space, which joins a letter that follows; knows the first 128 bytes and no others."""

    bos_id = None
    eos_ids = frozenset((200,))
    special_ids = {"<s>": 199}  # noqa: RUF012
    vocab_size = 201

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        ids = [byte for byte in f" {text}".encode() if byte < 128]
        return [128, *ids[2:]] if ids[1:2] == [ord("a")] else ids

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode()

    def token_bytes(self, id: int) -> bytes:
        return b" a" if id == 128 else bytes([id]) if 0 <= id < 128 else b""


@given(text=st.text())
def test_plain_texts(text: str) -> None:
    assert PLAIN.encode(text.encode()) == SUBWORDS.encode(text)


@given(text=st.text(st.sampled_from(" ab\n\x02")))
def test_texts_that_are_given_a_space(text: str) -> None:
    vocabulary = TokenVocabulary(Spaced(), 256)
    assert Spaced().decode(vocabulary.encode(text.encode())) == text


def test_bytes_that_no_token_spells() -> None:
    vocabulary = TokenVocabulary(Spaced(), 256)
    with pytest.raises(ValueError, match="no tokens spell it"):
        vocabulary.encode("é".encode())
    assert [id for id in range(-1, 300) if vocabulary.is_text(id)] == list(range(129))
    assert [id for id in range(129, 300) if vocabulary.is_known(id)] == [199, 200]

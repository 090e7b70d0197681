"""Text to token ids and back, with the vocabulary of the model file."""

from collections.abc import Iterable
from functools import cached_property
from threading import Lock
from typing import Protocol

from tokenizers import Tokenizer

from model.vocabulary import Vocabulary


class TokenEncoder(Protocol):
    """What the runtime asks of a tokenizer, from any thread.

    bos_id: the token that starts a sequence, None if the model knows none. eos_ids: tokens that end a text.
    special_ids: control tokens by their name (`<|im_end|>`), which print nothing. vocab_size: ids are below
    it.
    """

    bos_id: int | None
    eos_ids: frozenset[int]
    special_ids: dict[str, int]
    vocab_size: int

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids of `text`. special: names of control tokens in the text stand for those tokens (else
        they are spelled out); bos: put the start token first, if the model file wants one before a text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD, control tokens nothing."""
        ...

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for; none for control tokens and ids that the vocabulary lacks."""
        ...


class SubwordEncoder:
    """A TokenEncoder over the `tokenizers` library, built from any of the vocabularies in this package."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.bos_id = vocabulary.bos_id
        self.eos_ids = vocabulary.eos_ids
        self.special_ids = vocabulary.special_ids
        self.vocab_size = vocabulary.size
        self._vocabulary = vocabulary
        self._lock = Lock()

    @property
    def tokenizer(self) -> Tokenizer:
        """The underlying tokenizer."""
        return self._vocabulary.tokenizer

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        with self._lock:  # the library keeps this choice in the tokenizer
            self.tokenizer.encode_special_tokens = not special
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        if bos and self._vocabulary.starts_with_bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            ids.insert(0, self.bos_id)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        return self._bytes[id] if 0 <= id < len(self._bytes) else b""

    @cached_property
    def _bytes(self) -> list[bytes]:
        return self._vocabulary.token_bytes()

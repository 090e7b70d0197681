"""The RWKV World vocabulary, which spells every text by the longest tokens from left to right.

`world_vocabulary.gz` has the 65,529 tokens of rwkv_vocab_v20230424.txt (see NOTICE) in the order of their ids, which
begin at 1: first one byte for the length of each, then all their bytes. Id 0 ends a text.
"""

import gzip
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from model.errors import ModelFileError
from model.gguf_file import GGUFFile

_FILE = Path(__file__).with_name("world_vocabulary.gz")
_TOKENS = 65529  # of the file
WORLD_SIZE = 65536  # rows of a World model; the ids above the tokens have no use
_CONTROL, _UNUSED = 3, 5  # types of tokens in GGUF
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class WorldEncoder:
    """A TokenEncoder for tokens that are plain bytes; all single bytes are among them, so that any bytes have an
    encoding and come back from it.

    tokens: by id, empty where an id stands for no bytes. starts_with_end: a text is to begin with token 0, as texts
    do in training, where it parts them. Raises ModelFileError if a single byte is missing.
    """

    bos_id: int | None = 0
    eos_ids = frozenset({0})

    def __init__(self, tokens: Sequence[bytes], starts_with_end: bool = True) -> None:
        self.vocab_size = len(tokens)
        self.special_ids = {"<|endoftext|>": 0, "<|rwkv_tokenizer_end_of_text|>": 0}
        self._names = re.compile(f"({'|'.join(map(re.escape, self.special_ids))})")
        self._tokens = [b"", *tokens[1:]]
        self._starts_with_end = starts_with_end
        self._longest = max(map(len, self._tokens), default=0)
        self._tries = _Tries(self._tokens)

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """See TokenEncoder. Half a surrogate pair, which is no character, is spelled as the bytes that it would have
        in UTF-8."""
        ids = [0] if bos and self._starts_with_end else []
        for part in self._names.split(text) if special else [text]:
            if special and part in self.special_ids:
                ids += [] if ids == [0] and bos else [self.special_ids[part]]
            else:
                ids += self.encode_bytes(part.encode("utf-8", errors="surrogatepass"))
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Token ids of arbitrary bytes: at each place the longest token that fits."""
        ids: list[int] = []
        tries, longest, at = self._tries, self._longest, 0
        while at < len(data):
            length, best, children = tries[data[at : at + 2]]
            stop, i = at + length, at + 2
            for byte in data[i : at + longest]:
                node = children.get(byte)
                if node is None:
                    break
                i += 1
                id, children = node
                if id:
                    best, stop = id, i
            ids.append(best)
            at = stop
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`, the inverse of `encode_bytes`."""
        return b"".join(map(self.token_bytes, ids))

    def token_bytes(self, id: int) -> bytes:
        return self._tokens[id] if 0 <= id < len(self._tokens) else b""


class _Tries(dict[bytes, tuple[int, int, dict[int, Any]]]):
    """For the first two bytes of a rest of text (or its only one): length and id of the longest token within them,
    and a trie of what may follow, next byte -> [id or 0, deeper trie]. Built when a text first needs it."""

    def __init__(self, tokens: list[bytes]) -> None:
        self._ids = {token: id for id, token in enumerate(tokens) if token}
        for byte in range(256):
            if bytes([byte]) not in self._ids:
                raise ModelFileError(f"the vocabulary lacks the byte {byte:#04x}")
        self._continued: dict[bytes, list[bytes]] = {}
        for token in self._ids:
            if len(token) > 2:
                self._continued.setdefault(token[:2], []).append(token)

    def __missing__(self, start: bytes) -> tuple[int, int, dict[int, Any]]:
        trie: dict[int, Any] = {}
        for token in self._continued.get(start, ()):
            children = trie
            for byte in token[2:-1]:
                children = children.setdefault(byte, [0, {}])[1]
            children.setdefault(token[-1], [0, {}])[0] = self._ids[token]
        within = start if start in self._ids else start[:1]
        self[start] = len(within), self._ids[within], trie
        return self[start]


def world_encoder() -> WorldEncoder:
    """The encoder of World models, from the vocabulary in this package."""
    data = gzip.decompress(_FILE.read_bytes())
    ends = accumulate(data[:_TOKENS], initial=_TOKENS)
    tokens = [data[start:end] for start, end in pairwise(ends)]
    return WorldEncoder([b"", *tokens, *[b""] * (WORLD_SIZE - 1 - _TOKENS)])


def world_encoder_from_gguf(file: GGUFFile) -> WorldEncoder:
    """The encoder for a GGUF file with tokenizer `rwkv`, whose tokens are bytes in the escapes of Python.

    Raises ModelFileError if the tokens do not make a vocabulary.
    """
    pieces = file.get("tokenizer.ggml.tokens", list)
    types = file.get("tokenizer.ggml.token_type", list, [0] * len(pieces))
    if not pieces or len(types) != len(pieces) or not all(type(piece) is str for piece in pieces):
        raise ModelFileError(f"{file.path}: tokenizer.ggml.tokens and token_type do not make a vocabulary")
    silent = (_CONTROL, _UNUSED)
    tokens = [b"" if kind in silent else _unescaped(piece) for piece, kind in zip(pieces, types, strict=True)]
    try:
        return WorldEncoder(tokens, file.get("tokenizer.ggml.add_bos_token", bool, True))
    except ModelFileError as error:
        raise ModelFileError(f"{file.path}: {error}") from error


def _unescaped(piece: str) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        return bytes([int(escape[1:], 16)]) if len(escape) > 1 else _ESCAPED.get(escape, escape)

    return _ESCAPE.sub(plain, piece.encode())

"""What the readers of vocabularies produce, and how the pieces of a vocabulary spell bytes."""

import re
from dataclasses import dataclass
from enum import Enum

from tokenizers import Tokenizer

# Control tokens that end a text or a turn in the common chat formats, beside the one the file names as its
# end.
_END_NAMES = (
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
)
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Spelling(Enum):
    """How the vocabulary writes bytes: byte-level BPE maps each byte to a printable character; SentencePiece
    writes UTF-8 with U+2581 for the space and `<0xNN>` for single bytes."""

    BYTE_LEVEL = "byte_level"
    SENTENCEPIECE = "sentencepiece"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer and what its file says around it. special_ids: control tokens by name. starts_with_bos: a
    text is to begin with bos_id. size: ids are below it."""

    tokenizer: Tokenizer
    spelling: Spelling
    bos_id: int | None
    eos_ids: frozenset[int]
    special_ids: dict[str, int]
    starts_with_bos: bool
    size: int

    def token_bytes(self) -> list[bytes]:
        """The bytes of every token, by id."""
        silent = set(self.special_ids.values())
        literal = {id for id, token in self.tokenizer.get_added_tokens_decoder().items()}
        spelled: list[bytes] = [b""] * self.size
        for piece, id in self.tokenizer.get_vocab(with_added_tokens=True).items():
            if id in silent or id >= self.size:
                continue
            spelled[id] = piece.encode() if id in literal else _piece_bytes(piece, self.spelling)
        return spelled


def end_ids(special_ids: dict[str, int], named: list[int]) -> frozenset[int]:
    """Tokens that end a text: those the file names, and the customary ones among its control tokens."""
    return frozenset(named) | {special_ids[name] for name in _END_NAMES if name in special_ids}


def _piece_bytes(piece: str, spelling: Spelling) -> bytes:
    if spelling is Spelling.BYTE_LEVEL:
        if all(char in _BYTE_OF for char in piece):
            return bytes(_BYTE_OF[char] for char in piece)
        return piece.encode()
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: itself where it prints, else the next free character from
    U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()

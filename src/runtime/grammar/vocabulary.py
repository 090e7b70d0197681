"""A model's tokens as the grammar library reads them: bytes, whatever the vocabulary is."""

from functools import lru_cache
from itertools import accumulate

from llguidance import LLTokenizer, TokenizerWrapper

from model.token_encoder import TokenEncoder

_CONTROL = b"\xff"  # what the library knows control tokens by; no text has this byte
_MARK = b"\x02"  # joins no token but its own
UNSPELLED = "no tokens spell it"
_REMEMBERED = 4096  # spellings; a grammar forces the same few texts again and again


class TokenVocabulary:
    """The columns of a model's logits as bytes.

    size: of columns; those above the encoder's tokens, and tokens that spell nothing, are never allowed. Control tokens
    and tokens that end a text are no text either: only a Lark grammar that names them (`<|im_end|>`) allows them.
    library: the same for llguidance, with one more token, `end`, that says that an answer may end. Which tokens do end
    it is a matter of each request.
    """

    def __init__(self, encoder: TokenEncoder, size: int) -> None:
        self.size = size
        self.end = size
        self.end_ids = sorted(encoder.eos_ids)
        self.words = -(-(size + 1) // 32)  # of a mask of the library
        names = {id: f"<|{id}|>" for id in encoder.eos_ids}
        names |= {id: name for name, id in reversed(encoder.special_ids.items())}
        self._control = frozenset(names)
        self._encoder = encoder
        self._tokens = [encoder.token_bytes(id) for id in range(size)]
        for id, token in enumerate(self._tokens):
            if id in names:
                self._tokens[id] = _CONTROL + names[id].encode()
            elif _CONTROL in token:
                self._tokens[id] = b""
        self.library = LLTokenizer(TokenizerWrapper(_Tokenizer(self)), eos_token=self.end)

    def is_text(self, id: int) -> bool:
        """Whether a token stands for bytes of an answer."""
        return self.is_known(id) and id not in self._control

    def is_known(self, id: int) -> bool:
        """Whether a grammar could allow a token at all."""
        return 0 <= id < self.size and self._tokens[id] != b""

    def library_tokens(self) -> list[bytes]:
        return [*self._tokens, _CONTROL + b"<|end|>"]

    def encode(self, data: bytes) -> list[int]:
        """The tokens that the encoder spells a UTF-8 text by, and no others: some vocabularies begin a text with a
        space of their own, and lose what they cannot spell. Raises ValueError if no tokens spell it."""
        for mark in (b"", _MARK):
            ids = self._encoder.encode((mark + data).decode())
            spelled = [self._tokens[id] for id in ids]
            for start, before in enumerate(accumulate(spelled, initial=b"")):
                if before in (mark, b" " + mark) and b"".join(spelled[start:]) == data:
                    return ids[start:]
                if len(before) > len(mark):
                    break
        ids = self.library.greedy_tokenize(data.decode())
        if b"".join(self._tokens[id] for id in ids) != data:
            raise ValueError(UNSPELLED)
        return ids


class _Tokenizer:
    """What the library asks of a tokenizer."""

    bos_token_id = None
    special_token_ids: tuple[int, ...] = ()  # it knows them by their first byte

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        self.eos_token_id = vocabulary.end
        self.tokens = vocabulary.library_tokens()
        self._encode = lru_cache(_REMEMBERED)(vocabulary.encode)

    def __call__(self, data: bytes) -> list[int]:
        return self._encode(data)

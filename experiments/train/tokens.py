"""The shared vocabulary, a byte-level BPE, and the corpora as token ids."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from experiments.train.corpus import CORPORA, END, TURN_END, TURN_START, Split, split

VOCAB_SIZE = 2048
CONTROL = (END, TURN_START, TURN_END)  # ids 0, 1, 2
EVALUATED = 50_000  # characters of a held-out document, at most


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """A BPE over bytes, all 256 of which are tokens, so that any text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in CONTROL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class TokenData:
    """What the models train and are judged on, by the name of the corpus.

    training: one int16 stream each, documents parted by the end token. held_out: documents as (ids with an end token
    before them, bytes of their text without control tokens).
    """

    training: dict[str, torch.Tensor]
    held_out: dict[str, list[tuple[torch.Tensor, int]]]
    shares: dict[str, float]


def load_tokens(cache: Path) -> tuple[Tokenizer, TokenData]:
    """Fetch, split and encode the corpora, once: `tokenizer.json` and `tokens.pt` of the cache keep the result.

    Raises CorpusError if a corpus cannot be fetched.
    """
    kept, vocabulary = cache / "tokens.pt", cache / "tokenizer.json"
    if kept.exists() and vocabulary.exists():
        return Tokenizer.from_file(str(vocabulary)), TokenData(**torch.load(kept))
    splits = {c.name: split(c.load(cache), conversations=c.name != "calls") for c in CORPORA}
    tokenizer = train_tokenizer(text for s in splits.values() for text in _without_control(s.training))
    data = encode_splits(tokenizer, splits, {c.name: c.share for c in CORPORA})
    vocabulary.write_text(compact_json(tokenizer), encoding="utf-8")
    torch.save(vars(data), kept)
    return tokenizer, data


def encode_splits(tokenizer: Tokenizer, splits: dict[str, Split], shares: dict[str, float]) -> TokenData:
    """The splits as ids."""
    training = {
        name: torch.cat([_encode(tokenizer, text) for text in s.training]).to(torch.int16) for name, s in splits.items()
    }
    held_out = {
        name: [(_encode(tokenizer, text[:EVALUATED]), _plain_bytes(text[:EVALUATED])) for text in s.held_out]
        for name, s in splits.items()
    }
    return TokenData(training, held_out, shares)


def _encode(tokenizer: Tokenizer, text: str) -> torch.Tensor:
    return torch.tensor([0, *tokenizer.encode(text, add_special_tokens=False).ids])


def _plain_bytes(text: str) -> int:
    return sum(len(part.encode()) for part in _without_control([text]))


def _without_control(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for name in CONTROL:
            text = text.replace(name, "")
        yield text


def compact_json(tokenizer: Tokenizer) -> str:
    """`tokenizer.json` without white space."""
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))

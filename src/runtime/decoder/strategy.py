"""What every decoder strategy is: what is proposed before a step, and what is kept of it."""

from typing import NamedTuple, Protocol

import torch

from runtime.request import TokenLogprob
from runtime.scheduler import Limit, Scheduled
from runtime.sequence import Sequence


class Accepted(NamedTuple):
    """What a step has given a sequence: new tokens, at least one, and how many of its drafts they begin with (the
    model's memory holds these already). logprobs: of each token; None where the request asks for none."""

    tokens: list[int]
    drafts: int
    logprobs: list[TokenLogprob | None]


class DecoderStrategy(Protocol):
    def propose(self, sequences: list[Sequence], limit: Limit) -> list[list[int]]:
        """Guesses at the next tokens of each decoding sequence, at most as many as its limit; the model verifies them
        in one step."""
        ...

    def begin(self, entries: list[Scheduled]) -> None:
        """The model is about to run on all of these."""

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[Accepted]:
        """The new tokens of each entry that yields any.

        logits f32 [L, V], may be written over, in the entries' order: 1 + entry.drafts rows each, row j predicting
        what follows the j-th draft (row 0: what follows the sequence's last token). In each row the decoder chooses as
        if it were alone; drafts are kept as far as they equal what is chosen, so that no guess ever changes an answer.
        """
        ...

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended, or has lost its memory: nothing about it need be remembered."""

"""What every decoder strategy is: two functions."""

from typing import Protocol

import torch

from runtime.scheduler import Scheduled
from runtime.sequence import Sequence


class DecoderStrategy(Protocol):
    def propose(self, sequence: Sequence) -> list[int]:
        """Guesses at the sequence's next tokens, none or more; the model verifies them in one step."""

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[list[int]]:
        """The new tokens of each entry, at least one.

        logits f32 [L, V], in the entries' order: 1 + entry.drafts rows each, row j predicting what follows
        the j-th draft (row 0: what follows the sequence's last token). What is kept is some prefix of the
        drafts that the rows agree with, and one token more.
        """

"""What one sequence keeps of a step: tokens as they were chosen, drafts as far as they are the same."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.decoder.logprobs import FORCED
from runtime.memory.common_length import common_length
from runtime.scheduler import Scheduled


@dataclass(slots=True)
class Verification:
    """The choices of a step's rows, `first` and those of the drafts behind it, turned into an entry's new tokens.

    rows: that each token was chosen from, counted from the first, or FORCED. agreed: drafts that were chosen, too.
    """

    entry: Scheduled
    first: int
    tokens: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    agreed: int = 0
    is_masked: bool = False

    @property
    def drafts(self) -> int:
        """How many drafts the tokens begin with. Of a run that ends the answer the last token stays pending, whether
        the model has seen it or not."""
        return min(self.agreed, len(self.tokens) - 1)

    def mask(self, bits: NDArray[np.int32]) -> None:
        """Fill in what the grammar allows in the rows that are left. bits: int32 [L, ceil(V / 32)] of all rows of the
        step, as mask_logits has it. The next choices are to be made with it."""
        left = self.entry.guesses[self.agreed :]
        row = self.first + self.agreed
        assert self.entry.sequence.grammar
        self.entry.sequence.grammar.fill(left, bits[row : row + 1 + len(left)])
        self.is_masked = True

    def keep(self, chosen: list[int]) -> bool:
        """Take the first choice, and each next one as long as the draft before its row is what has been chosen there.
        Tokens that the grammar forces come along: they need no row, but end the run where no draft agrees. Returns
        whether this has come to an end; if not, the grammar forbids a choice that was made without its mask.

        chosen: of all rows of the step.
        """
        grammar = self.entry.sequence.grammar
        while True:
            token = chosen[self.first + self.agreed]
            run = [token]
            if grammar:
                if self.is_masked:
                    grammar.advance(token)
                elif not grammar.take(token):
                    return False
                for forced in grammar.forced():
                    grammar.advance(forced)
                    run.append(forced)
            self.tokens += run
            self.rows += [self.agreed] + [FORCED] * (len(run) - 1)
            agreed = common_length(run, self.entry.guesses[self.agreed :]) if self.entry.drafts else 0
            self.agreed += agreed
            if agreed < len(run) or (grammar and grammar.is_complete):
                return True

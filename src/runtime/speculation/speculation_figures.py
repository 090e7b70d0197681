"""What speculation has done, for metrics."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class SpeculationFigures:
    """drafted[j], right[j]: how many (j+1)-th drafts of a sequence the model has seen, and has agreed with. lengths:
    how often a sequence had so many drafts in a step, most steps of pauses left out. Seconds of drafting, and of steps
    with drafts from just before the model runs until their tokens are accepted (those that feed a prompt as well are
    left out)."""

    drafted: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    lengths: Counter[int] = field(default_factory=Counter)
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0

    @property
    def acceptance_rate(self) -> float | None:
        """Of all drafts that the model has seen."""
        return sum(self.right) / sum(self.drafted) if any(self.drafted) else None

    def add(self, drafts: int, right: int) -> None:
        """One sequence's part of a step."""
        self.lengths[drafts] += 1
        for counts, count in ((self.drafted, drafts), (self.right, right)):
            counts += [0] * (count - len(counts))
            for place in range(count):
                counts[place] += 1

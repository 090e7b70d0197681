"""Steps with every number of drafts, before anything is measured: kernels are compiled and steps captured in them."""

from runtime.sequence import Sequence
from runtime.speculation.length import Candidate, Verified


class Rising:
    """One draft, then two, and so on, and none at last: what a state can be without is written into it then."""

    may_pause = False

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    @property
    def is_over(self) -> bool:
        return self._count > self._most

    def choose(self, candidates: list[Candidate]) -> list[int]:
        self._count += 1
        count = 0 if self.is_over else self._count
        return [min(count, candidate.limit) for candidate in candidates]

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None: ...

    def verified(self, steps: list[Verified], seconds: float | None) -> None: ...

    def paused(self, steps: int, seconds: float) -> None: ...

    def forget(self, number: int) -> None: ...


class Parrot:
    """Always finds something to guess: the last token, again and again."""

    free = True

    def __init__(self, most: int) -> None:
        self.most = most

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [sequence.tokens[-1:] * limit for sequence, limit in zip(sequences, limits, strict=True)]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None: ...

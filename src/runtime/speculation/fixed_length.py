"""The same number of drafts at all times: for comparisons."""

from runtime.speculation.length import Candidate, Verified


class FixedLength:
    """As many as there may be, up to a number."""

    may_pause = False

    def __init__(self, count: int) -> None:
        self.count = count

    def choose(self, candidates: list[Candidate]) -> list[int]:
        return [min(self.count, candidate.limit) for candidate in candidates]

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None: ...

    def verified(self, steps: list[Verified], seconds: float | None) -> None: ...

    def paused(self, steps: int, seconds: float) -> None: ...

    def forget(self, number: int) -> None: ...

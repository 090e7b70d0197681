"""Steps with every number of drafts, before anything is measured: kernels are compiled and steps captured in them."""

import time
from collections.abc import Callable

from runtime.request import Request
from runtime.sequence import Sequence
from runtime.speculation.draft_cost import USUAL, DraftCost
from runtime.speculation.drafter import Drafter
from runtime.speculation.length import Candidate, Verified
from runtime.streaming import StreamingController

_MEASURED = 3  # times that a draft model is measured: the first may compile


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


def measure_drafts(
    costs: DraftCost,
    new_drafter: Callable[[], Drafter],
    requests: list[Request],
    token_bytes: Callable[[int], bytes],
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Has a draft model read the requests' prompts, and draft, several times: what that takes is known before it is
    tried, and so it is not tried where it cannot pay. Ends early where it has no room for them."""
    for _ in range(_MEASURED):
        drafter = new_drafter()
        sequences = [
            Sequence(number, request, StreamingController(request, token_bytes), [*request.prompt])
            for number, request in enumerate(requests)
        ]
        for _ in range(_MEASURED):
            read = sum(max(0, drafter.behind(sequence) - USUAL) for sequence in sequences)
            begun = clock()
            drafts = drafter.draft(sequences, [1] * len(sequences))
            if not all(drafts):
                return
            costs.observe(len(sequences), 1, read, clock() - begun)
            for sequence, draft in zip(sequences, drafts, strict=True):
                sequence.tokens += draft

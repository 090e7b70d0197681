"""What is known of a draft model before it is tried."""

from runtime.request import Request
from runtime.sequence import Sequence
from runtime.speculation.draft_cost import DraftCost
from runtime.speculation.draft_length import DraftLength
from runtime.speculation.length import Candidate, Verified
from runtime.speculation.rehearsal import measure_drafts

PLAIN, READ, DRAFT = 1.0, 0.2, 0.05  # seconds: of a step, of reading a token, of a draft


class Slow:
    """A drafter that takes time on the clock; the first of all takes as long as compiling does."""

    most, free = 4, False
    now = 0.0
    compiled = False

    def __init__(self, room: int = 1000) -> None:
        self._room = room
        self._read: dict[int, int] = {}

    def behind(self, sequence: Sequence) -> int:
        return len(sequence.tokens) - self._read.get(sequence.id, 0)

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        Slow.now += 0.0 if Slow.compiled else 1000.0
        Slow.compiled = True
        Slow.now += sum(READ * self.behind(sequence) for sequence in sequences) + DRAFT * max(limits)
        self._read |= {sequence.id: len(sequence.tokens) for sequence in sequences}
        fits = [len(sequence.tokens) <= self._room for sequence in sequences]
        return [[7] * limit if fit else [] for limit, fit in zip(limits, fits, strict=True)]

    def forget(self, sequence: Sequence) -> None: ...


def measured(prompt: int, room: int = 1000) -> DraftCost:
    Slow.compiled = False
    costs = DraftCost()
    measure_drafts(costs, lambda: Slow(room), [Request((1,) * prompt, 8)], lambda _: b"a", lambda: Slow.now)
    return costs


def first_choice(costs: DraftCost | None, prompt: int) -> list[int]:
    """What is chosen for a sequence of so many tokens that the drafter has not read, once steps are known."""
    length = DraftLength(False, costs)
    for _ in range(40):
        length.choose([Candidate(0, 1, 0, prompt, 500)])
        length.verified([Verified(0, 1, 0, 0)], PLAIN)
    return length.choose([Candidate(0, 1, 4, prompt, 500)])


def test_costs_are_those_of_what_has_been_compiled() -> None:
    costs = measured(200)
    assert abs(costs.reading_seconds(198, PLAIN) - 200 * READ) < 2
    assert abs(costs.seconds(1, 1, PLAIN) - DRAFT) < 3 * READ


def test_what_cannot_pay_is_not_tried() -> None:
    """Reading takes as long as 100 steps here, which nobody could know without having measured it."""
    assert any(first_choice(None, 500))
    assert not any(first_choice(measured(500), 500))


def test_no_room_is_no_cost() -> None:
    assert measured(200, room=100).seconds(1, 1, PLAIN) == DraftCost().seconds(1, 1, PLAIN)

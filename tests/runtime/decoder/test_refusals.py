"""When masks come first: only where choices without them are refused time and again."""

from runtime.decoder.refusals import Refusals


def masked_steps(refusals: Refusals, steps: int, *, refused: bool) -> list[bool]:
    """Of so many steps of one sequence, in which its mask came first; in the others its choice is refused, or not."""
    came = []
    for _ in range(steps):
        came.append(refusals.expected(3))
        if not came[-1]:
            refusals.note(3, refused)
    return came


def test_choices_that_are_allowed_need_no_mask() -> None:
    assert not any(masked_steps(Refusals(), 100, refused=False))


def test_one_refusal_may_be_chance() -> None:
    refusals = Refusals()
    for _ in range(50):
        assert masked_steps(refusals, 2, refused=False) + masked_steps(refusals, 1, refused=True) == [False] * 3


def test_steady_refusals_are_foreseen_ever_longer() -> None:
    free = [step for step, came in enumerate(masked_steps(Refusals(), 300, refused=True)) if not came]
    assert free == [0, 1, 4, 9, 18, 35, 68, 133, 198, 263]


def test_it_is_noticed_when_they_end() -> None:
    refusals = Refusals()
    masked_steps(refusals, 300, refused=True)
    assert not any(masked_steps(refusals, 200, refused=False)[64:])


def test_sequences_are_told_apart_and_forgotten() -> None:
    refusals = Refusals()
    masked_steps(refusals, 3, refused=True)
    assert not refusals.expected(4)
    refusals.forget(3)
    assert not refusals.expected(3)

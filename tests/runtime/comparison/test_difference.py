"""Where answers differ is found, whatever differs."""

from hypothesis import given
from hypothesis import strategies as st
from toy_model import toy_continuation, toy_engine

from runtime.comparison.difference import Difference, describe, first_difference
from runtime.request import Request

ANSWERS = st.lists(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=3), min_size=1, max_size=3)


@given(ANSWERS, st.data())
def test_it_is_the_first_of_the_earliest_turn(expected: list[list[list[int]]], data: st.DataObject) -> None:
    assert first_difference(expected, expected) is None
    thread = data.draw(st.integers(0, len(expected) - 1))
    turn = data.draw(st.integers(0, len(expected[thread]) - 1))
    answer = expected[thread][turn]
    position = data.draw(st.integers(0, len(answer)))
    found = [[list(answer) for answer in answers] for answers in expected]
    ends = [[9], [9, 9], []] if position < len(answer) else [[9], [9, 9]]
    found[thread][turn][position:] = data.draw(st.sampled_from(ends))
    before = answer[position] if position < len(answer) else None
    after = 9 if position < len(found[thread][turn]) else None
    assert first_difference(expected, found) == Difference(thread, turn, position, before, after)
    for later in range(turn + 1, len(expected[thread])):
        found[thread][later] = [8]  # what follows a difference may differ too
    assert first_difference(expected, found) == Difference(thread, turn, position, before, after)


def test_a_missing_turn_is_a_difference() -> None:
    assert first_difference([[[1], [2]]], [[[1]]]) == Difference(0, 1, 0, 2, None)


def test_words_tell_how_likely_both_tokens_were() -> None:
    prompt = [5, 6, 7]
    answer = toy_continuation(prompt, 6)
    words = describe(Difference(3, 1, 4, answer[4], None), Request(tuple(prompt), 6), answer, toy_engine())
    assert words.startswith(f"token 4 of turn 1 of thread 3 is the end instead of {answer[4]} (-")

"""What serving a document's inferences took, added up."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.workload.figures import distinct_tokens, figures
from runtime.events import Event, Stepped, TokenAccepted

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=6), max_size=8)


@given(SEQUENCES)
def test_distinct_tokens_are_the_beginnings_that_there_are(sequences: list[list[int]]) -> None:
    beginnings = {tuple(tokens[:length]) for tokens in sequences for length in range(1, len(tokens) + 1)}
    assert distinct_tokens(sequences) == len(beginnings)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=9))
def test_figures_are_those_of_all_steps(steps: list[tuple[int, int, int, int]]) -> None:
    events: list[Event] = []
    for prefilled, free, cached, accepted in steps:
        events += [TokenAccepted(0.0, 0, 1, "a")] * accepted
        events.append(Stepped(0.0, 0.1, 0.1, prefilled, 0, free, cached))
    found = figures(1.5, events, 20)
    assert (found.seconds, found.steps) == (1.5, len(steps))
    assert found.prefilled_tokens == sum(step[0] for step in steps)
    assert found.new_tokens == sum(step[3] for step in steps)
    assert found.held_blocks == max((20 - free - cached for _, free, cached, _ in steps), default=0)

"""Snapshots: the newest of each key, no more than there may be."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.context.snapshots import Snapshots

small, large = {"x": 1}, {"x": "y" * 1100}
takes = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([small, large])), max_size=20)


@given(st.none() | st.integers(0, 3), takes)
def test_keeps_the_newest(most: int | None, taken: list[tuple[str, dict[str, object]]]) -> None:
    snapshots = Snapshots(most, 1)
    model: list[tuple[str, object]] = []  # oldest first
    for key, context in taken:
        assert snapshots.take(key, context) == (context is small and most != 0)
        model = [each for each in model if each[0] != key] + ([(key, context)] if context is small else [])
        model = model if most is None else model[max(0, len(model) - most) :]
        assert list(snapshots.as_json().items()) == model
        assert len(snapshots) == len(model)


def test_copies_know_nothing_of_each_other() -> None:
    one = Snapshots(2, 1)
    one.take("a", small)
    other = one.copy()
    other.take("b", small)
    one.take("c", small)
    assert list(one.as_json()) == ["a", "c"]
    assert list(other.as_json()) == ["a", "b"]
    assert not other.take("d", large)
    other.take("d", small)
    assert list(other.as_json()) == ["b", "d"]


def test_keeps_the_context_and_no_copy() -> None:
    snapshots = Snapshots(1, 1)
    snapshots.take("a", small)
    assert snapshots.as_json()["a"] is small

from hypothesis import given
from hypothesis import strategies as st

from runtime.memory.common_length import common_length

tokens = st.lists(st.integers(0, 1), max_size=120)


@given(st.lists(st.integers(0, 9), max_size=300), tokens, tokens)
def test_it_is_how_many_tokens_both_begin_with(shared: list[int], a: list[int], b: list[int]) -> None:
    a, b = shared + a, shared + b
    expected = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common_length(a, b) == common_length(b, a) == expected

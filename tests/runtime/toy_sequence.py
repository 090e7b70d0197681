"""Sequences without an engine, and random requests for one."""

from typing import Any

from hypothesis import strategies as st

from runtime.request import Request, SamplingParams
from runtime.sequence import Sequence
from runtime.streaming import StreamingController


def toy_sequence(tokens: list[int], number: int = 0, **request: Any) -> Sequence:
    made = Request(tuple(tokens), max_new_tokens=1000, **request)
    return Sequence(number, made, StreamingController(made, lambda token: bytes([token])), list(tokens))


def toy_requests(sampling: st.SearchStrategy[SamplingParams], most: int) -> st.SearchStrategy[list[Request]]:
    """One to `most` of them, with seeds that come again."""
    prompts = st.lists(st.integers(0, 255), min_size=1, max_size=20).map(tuple)
    request = st.builds(Request, prompts, st.integers(1, 20), seed=st.integers(0, 3), sampling=sampling)
    return st.lists(request, min_size=1, max_size=most)

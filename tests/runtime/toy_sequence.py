"""A sequence without an engine."""

from typing import Any

from runtime.request import Request
from runtime.sequence import Sequence
from runtime.streaming import StreamingController


def toy_sequence(tokens: list[int], number: int = 0, **request: Any) -> Sequence:
    made = Request(tuple(tokens), max_new_tokens=1000, **request)
    return Sequence(number, made, StreamingController(made, lambda token: bytes([token])), list(tokens))

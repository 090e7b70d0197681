"""What is scored: the last tokens of a sequence, each given those before it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from model.token_encoder import TokenEncoder
from runtime.errors import UserError


class Span(NamedTuple):
    """Tokens of one sequence, of which the last `scored` (at least one, and not the first) get a log-probability."""

    tokens: Sequence[int]
    scored: int
    dropped: int = 0  # tokens of context that the window had no room for


class Score(NamedTuple):
    log_probs: list[float]  # natural logarithms, one for each scored token
    best: list[bool]  # whether that token was the most likely one

    @property
    def log_prob(self) -> float:
        """Of all scored tokens together."""
        return math.fsum(self.log_probs)


def continuation_span(encoder: TokenEncoder, context: str, continuation: str, window: int) -> Span:
    """`continuation` after `context`; of a context that is too long for the window the end is kept.

    The two are encoded as one text where a token ends between them, else apart. An empty context is the model's
    start token. Raises UserError if the continuation has no tokens, or too many.
    """
    before = encoder.encode(context, bos=True)
    whole = encoder.encode(context + continuation, bos=True)
    after = whole[len(before) :] if whole[: len(before)] == before else encoder.encode(continuation)
    if not after or len(after) > window:
        raise UserError(f"{len(after)} tokens to score: must be 1 to {window} (the model's context, or the window)")
    tokens = (before or [start_token(encoder)]) + after
    dropped = max(0, len(tokens) - 1 - window)
    return Span(tokens[dropped:], len(after), dropped)


def window_spans(tokens: Sequence[int], window: int, stride: int) -> list[Span]:
    """Spans that score each token but the first once, with at most `window` tokens before it.

    The first span scores `window` tokens, each further one `stride` (the last may have less to score), so that all
    tokens but the first `window` have more than `window - stride` tokens of context. 0 < stride <= window.
    """
    last = len(tokens) - 1
    ends = [*range(window, last, stride), last]
    starts = [0, *ends]
    return [
        Span(tokens[max(0, end - window) : end + 1], end - start)
        for start, end in zip(starts, ends, strict=False)
        if end > start
    ]


def start_token(encoder: TokenEncoder) -> int:
    """The token that stands before a text which has nothing before it: the start token, else an end token."""
    if encoder.bos_id is not None:
        return encoder.bos_id
    if not encoder.eos_ids:
        raise UserError("a text needs a context: this model has no token that starts or ends a text")
    return min(encoder.eos_ids)

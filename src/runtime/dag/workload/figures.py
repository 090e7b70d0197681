"""What serving a document's inferences took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runtime.events import Event, Stepped, TokenAccepted


@dataclass(frozen=True)
class Figures:
    """seconds: of wall time. held_blocks: of the cache, by requests and handles at most; of recurrent models states."""

    seconds: float
    prefilled_tokens: int
    new_tokens: int
    steps: int
    held_blocks: int


@dataclass(frozen=True)
class Sharing:
    """How much of what a run needs it could share. distinct_prompt, distinct: tokens of the prompts, and of prompts and
    answers together, those counted once that several have as their beginning. block_tokens: tokens that there was room
    for in the blocks held, at most; None for states."""

    distinct_prompt: int
    distinct: int
    block_tokens: int | None


def figures(seconds: float, events: Iterable[Event], blocks: int) -> Figures:
    """blocks: of the cache."""
    steps, new_tokens = [], 0
    for event in events:
        if isinstance(event, Stepped):
            steps.append(event)
        elif isinstance(event, TokenAccepted):
            new_tokens += 1
    return Figures(
        seconds,
        sum(step.prefill_tokens for step in steps),
        new_tokens,
        len(steps),
        max((blocks - step.free_blocks - step.cached_blocks for step in steps), default=0),
    )


def distinct_tokens(sequences: Iterable[Sequence[int]]) -> int:
    """Tokens that it takes to have all of these, if what several begin with is there once."""
    count = 0
    before: tuple[int, ...] = ()
    for tokens in sorted(map(tuple, sequences)):
        common = next((i for i, (a, b) in enumerate(zip(before, tokens, strict=False)) if a != b), None)
        count += len(tokens) - (min(len(before), len(tokens)) if common is None else common)
        before = tokens
    return count

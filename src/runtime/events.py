"""What happens to requests, in order: the engine's only output. Times are seconds on the engine's clock.

Nobody changes an event. They are not `frozen`, as one of those takes three times as long to make, for each token.
"""

import json
from dataclasses import asdict, dataclass
from typing import TextIO

from runtime.request import FinishReason, TokenLogprob


@dataclass(slots=True, unsafe_hash=True)
class Event:
    time: float


@dataclass(slots=True, unsafe_hash=True)
class RequestEvent(Event):
    request: int


@dataclass(slots=True, unsafe_hash=True)
class Submitted(RequestEvent):
    prompt_tokens: int


@dataclass(slots=True, unsafe_hash=True)
class Started(RequestEvent):
    """The request begins to run; the memory of its first `reused` tokens was there."""

    reused: int


@dataclass(slots=True, unsafe_hash=True)
class Prefilled(RequestEvent):
    """A chunk of `tokens` prompt tokens went through the model (or of a preempted request's tokens,
    again)."""

    tokens: int
    remaining: int


@dataclass(slots=True, unsafe_hash=True)
class TokenAccepted(RequestEvent):
    """A new token, and the text that can be shown since: may be empty, or belong to earlier tokens too."""

    token: int
    text: str
    logprob: TokenLogprob | None = None  # where the request asks for it


@dataclass(slots=True, unsafe_hash=True)
class Preempted(RequestEvent):
    """The request lost its blocks; its tokens so far will be computed again."""

    tokens: int


@dataclass(slots=True, unsafe_hash=True)
class Finished(RequestEvent):
    reason: FinishReason
    new_tokens: int
    text: str  # all of the answer
    warnings: tuple[str, ...] = ()  # what a lenient grammar could not promise
    drafted: int = 0  # guesses that were verified
    drafts_kept: int = 0  # of which so many were right


@dataclass(slots=True, unsafe_hash=True)
class Stepped(Event):
    """One step of the engine: `seconds` of wall time, `executor_seconds` of it inside the model."""

    seconds: float
    executor_seconds: float
    prefill_tokens: int
    decode_tokens: int
    free_blocks: int
    cached_blocks: int = 0  # those that only the prefix index has
    drafted: int = 0  # guesses that were verified
    drafts_kept: int = 0  # of which so many were right


def write_jsonl(event: Event, file: TextIO) -> None:
    """Appends the event as one JSON object on one line, with its kind under "event"."""
    file.write(json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False) + "\n")

"""What a caller asks for, and what comes back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from runtime.kept import Kept


class FinishReason(StrEnum):
    STOP = "stop"  # a stop token or a stop string
    LENGTH = "length"  # max_new_tokens reached
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Request:
    """One prompt to continue.

    prompt: token ids, at least one. stop: strings that end the answer and are left out of it. stop_tokens:
    ids that end it and have no text. seed: keys the random numbers of a sampling decoder, together with the
    position. keep: leave the memory of all tokens but the last behind, see `Engine.kept`; resume: memory of an earlier
    request, used up by this one as far as the prompt begins with the same tokens.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    seed: int = 0
    keep: bool = False
    resume: Kept | None = None


class Completion(NamedTuple):
    """A finished request: its new tokens (a stop token included), their text (a stop string left out), and
    why."""

    tokens: list[int]
    text: str
    reason: FinishReason

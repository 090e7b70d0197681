"""What decides how many drafts each sequence gets."""

from typing import NamedTuple, Protocol


class Candidate(NamedTuple):
    """A decoding sequence before a step. number: its id; pending: tokens that it feeds anyway; limit: drafts that it
    may have; behind: tokens that the drafter would have to read first; remaining: new tokens that it may still get."""

    number: int
    pending: int
    limit: int
    behind: int
    remaining: int


class Verified(NamedTuple):
    """A sequence after a step: how many of its drafts were right."""

    number: int
    pending: int
    drafts: int
    right: int


class Length(Protocol):
    """may_pause: what the last choice found is likely to be so for some steps, which need not be asked for."""

    may_pause: bool

    def choose(self, candidates: list[Candidate]) -> list[int]:
        """Drafts for each candidate, at most its limit."""
        ...

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None:
        """A drafter that is not free has made so many drafts of each candidate, after reading so many tokens, in so
        long."""

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        """The model has seen them, in so many seconds; None if other tokens were in the step as well."""

    def paused(self, steps: int, seconds: float) -> None:
        """So many steps were not asked for, and are not verified."""

    def forget(self, number: int) -> None: ...

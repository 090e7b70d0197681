"""Who guesses a sequence's next tokens before the model is asked."""

from typing import Protocol

from runtime.sequence import Sequence


class Drafter(Protocol):
    """most: drafts it would ever make of a sequence in one step. free: its guesses cost next to nothing, so that it may
    be asked for all of them before it is decided how many the model shall verify."""

    most: int
    free: bool

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        """Guesses at what follows each sequence's tokens, at most limits[i] of them, and none rather than bad ones."""
        ...

    def behind(self, sequence: Sequence) -> int:
        """How many of the sequence's tokens it would have to read before its first guess."""
        ...

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended, or is put off: what was kept of it goes."""

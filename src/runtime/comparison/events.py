"""What a comparison adds to the engine's events."""

from dataclasses import dataclass

from runtime.events import Event, RequestEvent


@dataclass(slots=True, unsafe_hash=True)
class TrialBegan(Event):
    """All requests of one kind come to a new engine, with a clock of its own; blocks: of its cache."""

    model: str
    requests: str
    variant: str
    blocks: int


@dataclass(slots=True, unsafe_hash=True)
class Asked(RequestEvent):
    """The request is a turn of a thread, both counted from 0."""

    thread: int
    turn: int


@dataclass(slots=True, unsafe_hash=True)
class Judged(RequestEvent):
    """The answer was held against its schema; problems: what is wrong with it, a line each."""

    problems: tuple[str, ...]

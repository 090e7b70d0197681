"""What a run of a document adds to the engine's events."""

from dataclasses import dataclass

from runtime.events import Event


@dataclass(slots=True, unsafe_hash=True)
class VariantBegan(Event):
    """What follows is one measurement, on a new engine with a clock of its own."""

    variant: str
    number: int  # from 0

"""What one use of a template may take. Templates are strangers' programs."""

from time import monotonic

MAX_TEXT = 2**20  # characters, of a template, of what it gives and of every text on the way
MAX_NESTING = 100  # of values that templates write or give
_MAX_STEPS = 500_000  # about a microsecond each
_MAX_SECONDS = 1.0
_STEPS_PER_LOOK = 500  # at the clock
_CHARACTERS_PER_STEP = 32


class TemplateFault(ValueError):
    """A template cannot be used. str: one line."""


class Meter:
    """Counts steps, each with its share of time and memory. All methods raise TemplateFault beyond what there is."""

    def __init__(self) -> None:
        self._left = self._look_at = _MAX_STEPS
        self._deadline = monotonic() + _MAX_SECONDS

    def spend(self, steps: int = 1) -> None:
        """Before so many steps are taken, or a list of so many items is built."""
        self._left -= steps
        if self._left > self._look_at:
            return
        if self._left < 0:
            raise TemplateFault("the template takes too many steps; loop over less")
        self._look_at = self._left - _STEPS_PER_LOOK
        if monotonic() > self._deadline:
            raise TemplateFault(f"the template takes longer than {_MAX_SECONDS:g} s; loop over less")

    def read(self, text: str) -> None:
        """Before all of a text is looked at."""
        self.spend(1 + len(text) // _CHARACTERS_PER_STEP)

    def build(self, length: int) -> None:
        """Before a text of so many characters is built."""
        if length > MAX_TEXT:
            raise TemplateFault(f"the template makes a text longer than {MAX_TEXT} characters")
        self.spend(1 + length // _CHARACTERS_PER_STEP)


class TextBuilder:
    """A text that grows within what the meter and MAX_TEXT allow."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._parts: list[str] = []
        self._length = 0

    def add(self, part: str) -> None:
        """Raises TemplateFault where it is too much."""
        self._meter.read(part)
        self._length += len(part)
        if self._length > MAX_TEXT:
            raise TemplateFault(f"the template makes a text longer than {MAX_TEXT} characters")
        self._parts.append(part)

    def text(self) -> str:
        return "".join(self._parts)

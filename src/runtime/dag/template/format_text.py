"""`"%.2f" | format(x)`: C's formats, with widths that are bounded."""

import re

from runtime.dag.json_value import Json
from runtime.dag.template.meter import Meter, TemplateFault, TextBuilder
from runtime.dag.template.values import as_number, in_text

_FORMAT = re.compile(r"%(?:%|[-+ #0]{0,5}\d{0,2}(?:\.\d{0,2})?([sdiuxXofFeEgG]))?")


def format_text(pattern: str, values: list[Json], meter: Meter) -> str:
    """The pattern with each value in its place. Raises TemplateFault for other formats and other numbers of values."""
    builder, end, used = TextBuilder(meter), 0, 0
    for found in _FORMAT.finditer(pattern):
        form, letter = found[0], found[1]
        builder.add(pattern[end : found.start()])
        end = found.end()
        if form == "%":
            shown = pattern[found.start() : found.start() + 12]
            raise TemplateFault(f"unknown format {shown!r}; known are %s, %d, %x, %.2f and the like, 99 wide at most")
        if letter and used == len(values):
            raise TemplateFault("a text has more formats (%s, %d, ...) than there are values")
        builder.add(_filled(form, letter, values[used], meter) if letter else "%")
        used += bool(letter)
    if used < len(values):
        raise TemplateFault("a text has fewer formats (%s, %d, ...) than there are values")
    builder.add(pattern[end:])
    return builder.text()


def _filled(form: str, letter: str, value: Json, meter: Meter) -> str:
    if letter == "s":
        return form % in_text(value, meter)
    number = as_number(value, f"the format {form}")
    return form % (int(number) if letter in "diuxXo" else float(number))

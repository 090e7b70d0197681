"""Functions of templates about texts. Each takes the meter first, and raises TemplateFault for what it cannot use."""

from collections.abc import Callable

from runtime.dag.json_value import Json
from runtime.dag.template.format_text import format_text
from runtime.dag.template.meter import Meter, TemplateFault
from runtime.dag.template.values import as_text

_MAX_TRIMMED = 100


def upper(meter: Meter, text: Json) -> str:
    return _changed(meter, text, "upper", str.upper)


def lower(meter: Meter, text: Json) -> str:
    return _changed(meter, text, "lower", str.lower)


def capitalize(meter: Meter, text: Json) -> str:
    return _changed(meter, text, "capitalize", str.capitalize)


def title(meter: Meter, text: Json) -> str:
    return _changed(meter, text, "title", str.title)


def trim(meter: Meter, text: Json, characters: Json = None) -> str:
    wanted = None if characters is None else as_text(characters, "trim")
    if wanted and len(wanted) > _MAX_TRIMMED:
        raise TemplateFault(f"trim takes away {_MAX_TRIMMED} different characters at most")
    return _changed(meter, text, "trim", lambda whole: whole.strip(wanted))


def replace(meter: Meter, text: Json, old: Json, new: Json) -> str:
    whole, before, after = as_text(text, "replace"), as_text(old, "replace"), as_text(new, "replace")
    if not before:
        raise TemplateFault("replace needs a text to look for, not an empty one")
    meter.read(whole)
    meter.build(len(whole) + whole.count(before) * (len(after) - len(before)))
    return whole.replace(before, after)


def split(meter: Meter, text: Json, separator: Json = None) -> list[Json]:
    whole = as_text(text, "split")
    if separator is not None and not as_text(separator, "split"):
        raise TemplateFault("split needs a separator, not an empty text")
    meter.spend(1 + (len(whole) if separator is None else whole.count(separator)))
    meter.read(whole)
    return list(whole.split(separator))


def starts_with(_: Meter, text: Json, start: Json) -> bool:
    return as_text(text, "startswith").startswith(as_text(start, "startswith"))


def ends_with(_: Meter, text: Json, end: Json) -> bool:
    return as_text(text, "endswith").endswith(as_text(end, "endswith"))


def fill(meter: Meter, text: Json, *values: Json) -> str:
    return format_text(as_text(text, "format"), list(values), meter)


def _changed(meter: Meter, value: Json, user: str, change: Callable[[str], str]) -> str:
    text = as_text(value, user)
    meter.read(text)
    changed = change(text)
    meter.build(len(changed))  # some letters become three
    return changed

"""Signatures as one line: `(a: number, b?: string = "x") -> sum: number`."""

import json

from runtime.dag.json_value import JsonObject

_OPEN, _CLOSE = "([{<", ")]}>"
_FORM = "write it as `(a: number, b: string) -> sum: number`"


def read_signature_text(text: str) -> JsonObject:
    """The same as an object {inputs, outputs}. A type alone after the arrow is the output `result`.

    Raises ValueError, one line.
    """
    before, arrow, after = text.partition("->")
    if not arrow or "->" in after:
        raise ValueError(f"the signature {_short(text)} has to have one `->`; {_FORM}")
    return {
        "inputs": [_field(part, text) for part in _parts(before, text)],
        "outputs": [_output(part, text) for part in _parts(after, text)],
    }


def _output(part: str, text: str) -> JsonObject:
    return _field(part if ":" in part else f"result: {part}", text)


def _field(part: str, text: str) -> JsonObject:
    name, colon, rest = part.partition(":")
    kind, equals, default = rest.partition("=")
    name = name.strip()
    is_optional = name.endswith("?") or kind.strip().endswith("?")
    field: JsonObject = {"name": name.rstrip("? "), "type": kind.strip().rstrip("? ") if colon else "any"}
    if not field["name"] or not field["type"]:
        raise ValueError(f"in the signature {_short(text)}, {part.strip()!r} is no field; {_FORM}")
    if equals:
        try:
            field["default"] = json.loads(default.strip().replace("'", '"'))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"in the signature {_short(text)}, {default.strip()!r} is no JSON value") from error
    return field | {"required": not is_optional and not equals}


def _parts(text: str, whole: str) -> list[str]:
    """What is between the commas, within one pair of outer brackets if there is one."""
    text = text.strip()
    if text[:1] in ("(", "{") and text[-1:] == _CLOSE[_OPEN.index(text[0])]:
        text = text[1:-1]
    parts, depth, begin, quote = [], 0, 0, ""
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in _OPEN:
            depth += 1
        elif c in _CLOSE:
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
        if depth < 0:
            break
    if depth != 0 or quote:
        raise ValueError(f"the brackets or quotes of the signature {_short(whole)} do not match; {_FORM}")
    parts.append(text[begin:])
    return [] if len(parts) == 1 and not parts[0].strip() else parts


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

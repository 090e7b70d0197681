"""Shorthands that documents use, and that are no YAML.

    - name: prompt; type: string            a list item's keys on one line, parted by ';' or by '→'
    text: {{ $.a }} and more                a template that is not quoted

Only a text that cannot be read as it stands is rewritten, and never within a block scalar.
"""

import re
from typing import NamedTuple

ITEM = re.compile(r"(\s*+(?:-\s++)++)([\w.\-]++:\s.++)")
NEXT_KEY = re.compile(r"\s*+[\w.\-]++:(?=\s|$)")
TEMPLATE = re.compile(r"""(\s*+(?:-\s++)*+(?:[\w.\-$]++:\s++)?+)(\{[{%].*+)""")
BLOCK_SCALAR = re.compile(r"(\s*+(?:-\s++)*+)(?:.*?:\s++)?[|>][-+0-9]{0,2}\s*+(?:#.*+)?")


class Repaired(NamedTuple):
    """lines: for each line of the text the index of the one that it comes from."""

    text: list[str]
    lines: list[int]


def repair(text: str) -> Repaired | None:
    """The text without shorthands; None if it has none."""
    result = Repaired([], [])
    scalar: int | None = None  # indentation of what has a block scalar, whose lines are further in
    is_changed = False
    for index, line in enumerate(text.split("\n")):
        indent = len(line) - len(line.lstrip())
        if scalar is not None and line.strip() and indent <= scalar:
            scalar = None
        if scalar is not None:
            new = [line]
        else:
            new = _expand(line)
            opens = BLOCK_SCALAR.fullmatch(line) if line.rstrip()[-1:] else None
            scalar = _content_indent(opens) if opens else None
        is_changed = is_changed or new != [line]
        result.text.extend(new)
        result.lines.extend([index] * len(new))
    return result if is_changed else None


def _content_indent(opens: re.Match[str]) -> int:
    """Lines further in than this belong to the scalar: that of its key, or of its dash."""
    dashes = opens[1]
    has_key = len(opens[0]) > len(dashes) and opens[0][len(dashes)] not in "|>"
    return len(dashes) if has_key else len(dashes.rstrip().removesuffix("-")) if "-" in dashes else -1


def _expand(line: str) -> list[str]:
    item = ITEM.fullmatch(line)
    parts = _parts(item[2]) if item else []
    if item is None or len(parts) < 2:
        return [_quote(line)]
    margin = " " * len(item[1])
    return [_quote((item[1] if i == 0 else margin) + part) for i, part in enumerate(parts)]


def _parts(text: str) -> list[str]:
    """Cut at each ; or → that a key follows, outside of quotes and brackets."""
    cuts, quote, depth = [0], "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and text[at - 1 : at] in (" ", ",", "[", "{"):
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character in ";→" and depth == 0 and NEXT_KEY.match(text, at + 1):
            cuts.append(at + 1)
    ends = [*(cut - 1 for cut in cuts[1:]), len(text)]
    return [text[start:end].strip() for start, end in zip(cuts, ends, strict=True)]


def _quote(line: str) -> str:
    template = TEMPLATE.fullmatch(line)
    if template is None:
        return line
    return template[1] + "'" + template[2].rstrip().replace("'", "''") + "'"

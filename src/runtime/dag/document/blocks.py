"""Where the blocks of a text are.

A block is a heading, `### AgenticDSL `/path``, and YAML behind it. The strict form, for files:

    ### AgenticDSL `/path`
    ```yaml
    # --- BEGIN AgenticDSL ---
    ...
    # --- END AgenticDSL ---
    ```

The tolerant form, for what models write, does without the markers, takes other quotes and tags of fences, headings
within fences, and YAML without a fence. A text is read once, line by line.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Level = Literal["strict", "tolerant"]

STRICT_HEADING = re.compile(r"\s*+#++\s++AgenticDSL\s++`([^`]++)`\s*+")
HEADING = re.compile(
    r"""\s*+(?:\#{1,6}+\s*+)?+(?:\*\*)?+AgenticDSL\s++
    (?: `([^`]++)` | '([^']++)' | "([^"]++)" | (/\S++) )
    (?:\*\*)?+ \s*+ :?+ \s*+ (?:\#.*+)?+""",
    re.IGNORECASE | re.VERBOSE,
)
BEGIN = re.compile(r"\s*+#\s*+---\s*+BEGIN\s++AgenticDSL\s*+---\s*+")
END = re.compile(r"\s*+#\s*+---\s*+END\s++AgenticDSL\s*+---\s*+")
FENCE = re.compile(r"(\s*+)(`{3,}+|~{3,}+)\s*+([^`\s]*+)[^`]*+")
KEY = re.compile(r"""(?:"[^"]*+"|'[^']*+'|[\w.\-$/]++)\s*+:(?:\s.*+)?+""")
YAML_TAGS = ("", "yaml", "yml", "agentic", "agenticdsl", "dsl", "markdown", "md")
INTENT = "LLM_INTENT:"


class Block(NamedTuple):
    """path: as it is written. text: the YAML. line, first_line: where the heading and the text begin, from 1."""

    path: str
    text: str
    line: int
    first_line: int


class BlockFault(NamedTuple):
    text: str
    path: str
    line: int


@dataclass
class Blocks:
    """What a text has. intents: contents of its LLM_INTENT comments, with their lines."""

    blocks: list[Block] = field(default_factory=list)
    faults: list[BlockFault] = field(default_factory=list)
    intents: list[tuple[str, int]] = field(default_factory=list)


def find_blocks(text: str, level: Level) -> Blocks:
    """The blocks of a text in their order. What looks like a block and is none is a fault."""
    return _Finder(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n"), level).find()


class _Heading(NamedTuple):
    path: str
    indent: int
    line: int  # index
    is_strict: bool


class _Fence(NamedTuple):
    indent: int
    marks: str
    tag: str


class _Finder:
    def __init__(self, lines: list[str], level: Level) -> None:
        self._lines = lines
        self._is_strict = level == "strict"
        self._found = Blocks()
        self._last_comment_end = max((i for i, line in enumerate(lines) if "-->" in line), default=-1)

    def find(self) -> Blocks:
        at, fence = 0, None  # fence: the one that we are in, which is not a block's own
        while at < len(self._lines):
            line = self._lines[at]
            heading = None if fence and fence.tag not in YAML_TAGS else self._heading(at)
            if heading is not None:
                at, is_closed = self._read_block(heading, fence)
                fence = None if is_closed else fence
            elif fence is not None:
                fence = None if _closes(line, fence) else fence
                at += 1
            elif "<!--" in line:
                at = self._skip_comment(at)
            else:
                fence = _fence(line)
                at += 1
        return self._found

    def _heading(self, at: int) -> _Heading | None:
        line = self._lines[at]
        if "genticdsl" not in line.lower():
            return None
        match = HEADING.fullmatch(line)
        if match is None or not ("#" in line or self._is_first_in_fence(at)):
            return None
        path = next(group for group in match.groups() if group)
        return _Heading(path, _indent(line), at, bool(STRICT_HEADING.fullmatch(line)))

    def _is_first_in_fence(self, at: int) -> bool:
        before = at - 1
        while (
            before >= 0
            and at - before < 4
            and (not self._lines[before].strip() or BEGIN.fullmatch(self._lines[before]))
        ):
            before -= 1
        return before >= 0 and _fence(self._lines[before]) is not None

    def _skip_comment(self, at: int) -> int:
        """Behind the comment that begins in this line. One that never ends is none."""
        start = self._lines[at].index("<!--") + len("<!--")
        if at > self._last_comment_end or (at == self._last_comment_end and "-->" not in self._lines[at][start:]):
            return at + 1
        content, first, rest = [], at, self._lines[at][start:]
        while "-->" not in rest:
            content.append(rest)
            at += 1
            rest = self._lines[at]
        inside, _, _ = rest.partition("-->")
        comment = "\n".join([*content, inside]).strip()
        if comment.startswith(INTENT):
            self._found.intents.append((comment.removeprefix(INTENT).strip(), first + 1))
        return at + 1

    def _read_block(self, heading: _Heading, around: _Fence | None) -> tuple[int, bool]:
        """The line behind the block, and whether we are outside of the fence then that was around its heading."""
        at = heading.line + 1
        while at < len(self._lines) and self._is_between(at):
            at = self._skip_comment(at) if "<!--" in self._lines[at] else at + 1
        own = _fence(self._lines[at]) if at < len(self._lines) else None
        if own is not None and around is not None and not own.tag:
            own = None  # it closes the one around
        if own is not None and own.tag not in YAML_TAGS:
            self._fault(heading, f"is followed by a fence of {own.tag!r}, not of yaml")
            return at, around is None
        fence = own or around
        if own is not None or self._is_lost_tag(at):
            at += 1
        is_marked = self._is_marked(heading, at)
        end, stop = self._end(heading, at, fence, is_marked)
        behind = end
        if stop == "fence":
            behind += 1
        elif stop == "marker" and fence is not None:
            behind = self._behind_fence(end, fence)
        is_closed = behind > end
        wrong = _not_strict(heading, stop, own, is_marked, is_closed) if self._is_strict else ""
        body = self._lines[at:end]
        if wrong or not any(line.strip() and not line.strip().startswith("#") for line in body):
            self._fault(heading, wrong or "is followed by no YAML")
        else:
            self._found.blocks.append(Block(heading.path, "\n".join(body), heading.line + 1, at + 1))
        return behind, around is None or (own is None and is_closed)

    def _is_between(self, at: int) -> bool:
        """Blank lines and comments may stand between a heading and its fence."""
        stripped = self._lines[at].strip()
        return not stripped or (stripped.startswith("<!--") and at <= self._last_comment_end)

    def _is_lost_tag(self, at: int) -> bool:
        """What was a fence's tag stays behind when a text loses its fences."""
        return at < len(self._lines) and self._lines[at].strip().lower() in ("yaml", "yml", "agentic")

    def _is_marked(self, heading: _Heading, at: int) -> bool:
        before = heading.line - 1
        if before >= 0 and BEGIN.fullmatch(self._lines[before]):
            return True
        while at < len(self._lines) and not self._lines[at].strip():
            at += 1
        return at < len(self._lines) and BEGIN.fullmatch(self._lines[at]) is not None

    def _end(self, heading: _Heading, at: int, fence: _Fence | None, is_marked: bool) -> tuple[int, str]:
        """The line that ends the YAML from `at` on, and what it is: a "marker" (its line belongs to the YAML, being a
        comment there, so it is the line behind), a "fence", a "heading", "text", or the "end" of everything."""
        after_blank = False
        for index in range(at, len(self._lines)):
            line = self._lines[index]
            indent = _indent(line)
            if "#" in line and END.fullmatch(line):
                return index + 1, "marker"
            if indent <= heading.indent and line.strip():
                if self._heading(index) is not None:
                    return index, "heading"
                if fence is not None and not is_marked and _closes(line, fence):
                    return index, "fence"
                if (
                    fence is None
                    and not is_marked
                    and (
                        _fence(line) is not None or (after_blank and not _may_be_yaml(line)) or line.startswith("<!--")
                    )
                ):
                    return index, "text"
            elif fence is not None and not is_marked and indent <= fence.indent and _closes(line, fence):
                return index, "fence"
            after_blank = not line.strip()
        return len(self._lines), "end"

    def _behind_fence(self, at: int, fence: _Fence) -> int:
        while at < len(self._lines) and not self._lines[at].strip():
            at += 1
        return at + 1 if at < len(self._lines) and _closes(self._lines[at], fence) else at

    def _fault(self, heading: _Heading, text: str) -> None:
        self._found.faults.append(BlockFault(text, heading.path, heading.line + 1))


def _not_strict(heading: _Heading, stop: str, own: _Fence | None, is_marked: bool, is_closed: bool) -> str:
    if not heading.is_strict:
        return "has a heading that is not of the form # AgenticDSL `/path`, alone on its line"
    if own is None or own.tag not in ("", "yaml"):
        return "is not followed by a fence ```yaml"
    if not is_marked:
        return "does not begin with the line # --- BEGIN AgenticDSL ---"
    if stop != "marker":
        return "does not end with the line # --- END AgenticDSL ---"
    return "" if is_closed else "has a fence that is not closed"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _fence(line: str) -> _Fence | None:
    match = FENCE.fullmatch(line) if "```" in line or "~~~" in line else None
    return _Fence(len(match[1]), match[2], match[3].lower()) if match else None


def _closes(line: str, fence: _Fence) -> bool:
    """A fence may close no further in than it began: further in, it is text in the YAML."""
    stripped = line.strip()
    return (
        len(stripped) >= len(fence.marks)
        and stripped == fence.marks[0] * len(stripped)
        and _indent(line) <= fence.indent
    )


def _may_be_yaml(line: str) -> bool:
    stripped = line.lstrip()
    return stripped[0] in "#-}]" or KEY.fullmatch(stripped) is not None

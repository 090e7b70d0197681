"""Streaming output: panels that grow on a terminal, labelled lines anywhere else."""

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from runtime.events import Event, Finished, Preempted, TokenAccepted

LINE_WIDTH = 100


def make_display(console: Console, prompts: list[str]) -> "LineDisplay | PanelDisplay":
    """prompts: the text of request i at index i. Enter it before events come."""
    return PanelDisplay(console, prompts) if console.is_terminal else LineDisplay(console, prompts)


class LineDisplay(AbstractContextManager["LineDisplay"]):
    """Prints a line as soon as it is full, with its request's number: answers interleave but stay
    readable."""

    def __init__(self, console: Console, prompts: list[str]) -> None:
        self._console = console
        self._lines = [""] * len(prompts)
        for number, prompt in enumerate(prompts):
            self._print(number, "> " + _shortened(prompt))

    def add(self, event: Event) -> None:
        if isinstance(event, TokenAccepted):
            line = self._lines[event.request] + event.text
            while len(line) > LINE_WIDTH or "\n" in line:
                head, line = _split_line(line)
                self._print(event.request, head)
            self._lines[event.request] = line
        elif isinstance(event, Finished):
            if self._lines[event.request]:
                self._print(event.request, self._lines[event.request])
            self._print(event.request, f"({event.reason}, {event.new_tokens} tokens)")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _print(self, number: int, line: str) -> None:
        self._console.print(f"[{number}] {line}", markup=False, highlight=False, soft_wrap=True)


class PanelDisplay(AbstractContextManager["PanelDisplay"]):
    """A panel for each running request; a finished one moves up into the terminal's history."""

    def __init__(self, console: Console, prompts: list[str]) -> None:
        self._console = console
        self._prompts = prompts
        self._running: dict[int, str] = {}
        self._live = Live(console=console, refresh_per_second=12, transient=True)

    def add(self, event: Event) -> None:
        if isinstance(event, TokenAccepted):
            self._running[event.request] = self._running.get(event.request, "") + event.text
        elif isinstance(event, Finished):
            self._running.pop(event.request, None)
            subtitle = f"{event.reason}, {event.new_tokens} tokens"
            self._console.print(self._panel(event.request, event.text, subtitle))
        elif not isinstance(event, Preempted):
            return
        tails = [self._panel(number, _tail(text), "") for number, text in self._running.items()]
        self._live.update(Group(*tails))

    def __enter__(self) -> "PanelDisplay":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _panel(self, number: int, text: str, subtitle: str) -> Panel:
        title = Text(f"{number}  {_shortened(self._prompts[number])}")
        return Panel(Text(text), title=title, title_align="left", subtitle=subtitle, subtitle_align="right")


def _split_line(line: str) -> tuple[str, str]:
    """The first printable line and the rest: at a newline, else at the last space that fits, else at the
    edge."""
    newline = line.find("\n")
    if 0 <= newline <= LINE_WIDTH:
        return line[:newline], line[newline + 1 :]
    space = line.rfind(" ", 1, LINE_WIDTH)
    return (line[:space], line[space + 1 :]) if space > 0 else (line[:LINE_WIDTH], line[LINE_WIDTH:])


def _shortened(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…"


def _tail(text: str, lines: int = 6) -> str:
    """The end of a text that is still growing, short enough for several panels on one screen."""
    return "\n".join(text.split("\n")[-lines:])[-lines * LINE_WIDTH :]

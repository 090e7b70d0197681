"""A conversation on the terminal."""

import io
import os.path
import re
import sys
from pathlib import Path

from model.errors import ModelFileError
from runtime.chat.conversation import UNDOABLE
from runtime.chat.job import Stage
from runtime.command_line import explain
from runtime.errors import UserError
from runtime.events import TokenAccepted
from runtime.interrupt import DeferredInterrupt

HELP = f"""\
/undo        take back the last turn, up to {UNDOABLE} one after another
/reset       forget all that was said
/save FILE   keep the conversation and the model's memory of it
/load FILE   go on with a conversation that was kept
/help        show this
A space before a / makes the line a message. Ctrl-C stops an answer.
An empty line, or Ctrl-D or Ctrl-C at the prompt, ends the chat."""


def converse(stage: Stage) -> bool:
    """Answers each line, and obeys those that are commands. True if Ctrl-C ended it."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a stray byte is no reason to end a conversation
    terminal = _Terminal(stage)
    terminal.say("An empty line ends the conversation, /help lists commands.")
    try:
        while line := terminal.read():
            try:
                terminal.obey(line)
            except (UserError, ModelFileError) as error:
                terminal.say(f"error: {explain(error)}")
    except KeyboardInterrupt:
        terminal.say("")
        return True
    return False


class _Terminal:
    def __init__(self, stage: Stage) -> None:
        self._console = stage.console
        self._observers = stage.observers
        self._conversation = stage.begin()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def read(self) -> str:
        """The next line, empty at the end."""
        try:
            line = self._console.input("> ", markup=False)
        except EOFError:
            self.say("")
            return ""
        return line.rstrip() if line.strip() else ""

    def obey(self, line: str) -> None:
        word, _, argument = line.partition(" ")
        if re.fullmatch("/[a-z]+", word):
            self._command(word, argument.strip())
        else:
            self._answer(line.strip())

    def _command(self, word: str, argument: str) -> None:
        needs_file = word in ("/save", "/load")
        if needs_file and not argument:
            raise UserError(f"{word} needs the name of a file")
        if argument and not needs_file:
            raise UserError(f"{word} takes nothing after it")
        path = Path(os.path.expanduser(argument))
        match word:
            case "/help":
                self.say(HELP)
            case "/undo":
                self.say(f"taken back: {self._conversation.undo()}")
            case "/reset":
                self._conversation.reset()
                self.say("all forgotten")
            case "/save":
                self._conversation.save(path)
                self.say(f"saved to {path}")
            case "/load":
                self._conversation.load(path)
                self.say(f"loaded: {len(self._conversation.messages)} messages")
            case _:
                raise UserError(f"there is no command {word}: /help lists them")

    def _answer(self, question: str) -> None:
        with DeferredInterrupt() as interrupt:
            for event in self._conversation.ask(question, lambda: interrupt.requested):
                for observer in self._observers:
                    observer.add(event)
                if isinstance(event, TokenAccepted):
                    self._console.file.write(event.text)
                    self._console.file.flush()
        self.say(" (stopped)" if interrupt.requested else "")

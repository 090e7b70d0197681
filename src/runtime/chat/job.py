"""A run that is a conversation, or several in turn."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from runtime.assembly import Assembly, assemble
from runtime.chat.conversation import Conversation
from runtime.config import ChatWorkload, RunConfig
from runtime.engine import Engine
from runtime.errors import ConfigError, RequestError
from runtime.metrics import RunMetrics
from runtime.observer import Observer
from runtime.report import print_report

WARM_UP_EVENTS = 8  # of each answer: some decode steps


class Stage(NamedTuple):
    """Where people and model meet. console: what the operator sees; begin: makes a conversation; observers: are to be
    told of each event."""

    console: Console
    begin: Callable[[], Conversation]
    observers: list[Observer]


Talk = Callable[[Stage], bool]  # until somebody ends it; True if that was Ctrl-C


class Chat:
    """A Job (see there): `talk`, with a model."""

    def __init__(self, config: RunConfig, talk: Talk) -> None:
        """Raises ModelFileError or ConfigError for what a user can mend."""
        if not isinstance(config.workload, ChatWorkload):
            raise ConfigError(f"a chat needs workload=chat, not workload={config.workload.name}")
        self.metrics = RunMetrics()
        self._talk = talk
        self._workload = config.workload
        self._assembly: Assembly = assemble(config)
        if self._assembly.loaded.chat_template is None:
            raise ConfigError("this model has no chat template: it can only continue prompts (workload=prompts)")

    def warm_up(self) -> float:
        """Two turns, as a first one and those that continue are launched in different ways."""
        start = time.perf_counter()
        conversation = self._conversation(self._assembly.engine())
        with suppress(RequestError):  # in a context that is too short for it
            for greeting in ("Hello", "How are you?"):
                with closing(conversation.ask(greeting, lambda: False)) as events:
                    for _ in islice(events, WARM_UP_EVENTS):
                        pass
        return time.perf_counter() - start

    def run(self, console: Console, observers: list[Observer], folder: Path) -> bool:
        engine = self._assembly.engine()
        return self._talk(Stage(console, lambda: self._conversation(engine), observers))

    def report(self, console: Console) -> None:
        print_report(console, self.metrics)

    def _conversation(self, engine: Engine) -> Conversation:
        return Conversation(self._assembly, engine, self._workload)

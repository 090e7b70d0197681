"""Threads asking an engine."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from runtime.comparison.events import Asked, Judged
from runtime.comparison.thread import Answer, Thread
from runtime.engine import Engine
from runtime.events import Event, Finished, TokenAccepted
from runtime.grammar.text_check import violations
from runtime.request import Request


class Turn(NamedTuple):
    """Which of a thread's requests one is, both counted from 0."""

    thread: int
    turn: int


class Clients:
    """Asks what the threads say, each next turn when the one before has been answered.

    When a request comes depends on nothing but the tokens before it, so that it is the same every time. make: the
    request for a turn with this prompt.
    """

    def __init__(self, engine: Engine, threads: list[Thread], make: Callable[[Turn, tuple[int, ...]], Request]) -> None:
        self.answers: list[list[Answer]] = [[] for _ in threads]  # of each thread, of each turn so far
        self._engine = engine
        self._threads = threads
        self._make = make
        self._turns: dict[int, Turn] = {}  # of each request's number
        self._new_tokens = 0
        self._to_come = sorted(range(len(threads)), key=lambda thread: threads[thread].after)

    def serve(self, interrupted: Callable[[], bool]) -> Iterator[Event]:
        """Every event until all is answered, or cancelled because `interrupted` has become true."""
        while True:
            if not interrupted():
                yield from self._let_in()
            if self._engine.is_idle:
                return
            for event in self._engine.cancel_all() if interrupted() else self._engine.step():
                yield event
                yield from self._follow(event, interrupted())

    def _let_in(self) -> Iterator[Event]:
        """Those whose time has come, or the next one if there is nothing else to do."""
        while self._to_come:
            due = self._threads[self._to_come[0]].after <= self._new_tokens
            if not due and not self._engine.is_idle:
                return
            yield self._ask(Turn(self._to_come.pop(0), 0))

    def _follow(self, event: Event, interrupted: bool) -> Iterator[Event]:
        if isinstance(event, TokenAccepted):
            turn = self._turns[event.request]
            self.answers[turn.thread][turn.turn].append(event.token)
            self._new_tokens += 1
        elif isinstance(event, Finished) and not interrupted:
            turn = self._turns[event.request]
            thread = self._threads[turn.thread]
            schema = thread.parsed_schema()
            if schema is not None:
                yield Judged(self._engine.now(), event.request, violations(event.text, schema))
            if turn.turn + 1 < len(thread.turns):
                yield self._ask(Turn(turn.thread, turn.turn + 1))

    def _ask(self, turn: Turn) -> Asked:
        before = self.answers[turn.thread]
        number = self._engine.submit(self._make(turn, self._threads[turn.thread].prompt(turn.turn, before)))
        self._turns[number] = turn
        before.append([])
        return Asked(self._engine.now(), number, *turn)

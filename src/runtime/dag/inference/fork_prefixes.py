"""What the branches of a fork have in common, computed once and kept while any of them may need it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runtime.engine import Engine
from runtime.errors import EngineBusy
from runtime.memory.common_length import common_length
from runtime.memory.handle import Handle
from runtime.request import Request


class Sharer(Protocol):
    """A job, as far as it shares."""

    fork: str | None
    request: Request
    prefix: "Prefix | None"
    is_placed: bool
    own_memory: int


@dataclass(eq=False)
class Prefix:
    """tokens: the beginning of all who share it. number: of the request that computes it, None once that has ended.
    handle: on its memory afterwards, None if it was given up. sharers: who has yet to be submitted."""

    tokens: tuple[int, ...]
    number: int | None
    handle: Handle | None = None
    sharers: set[Sharer] = field(default_factory=set)

    @property
    def is_ready(self) -> bool:
        return self.number is None


class ForkPrefixes:
    """Finds what inferences of one fork that wait together have in common, and has the engine compute it before any of
    them: so it is computed once, whatever the index of prefixes would have kept, and stays until the fork has ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        memory = engine.store.memory
        self._gap = max(engine.store.snapshot_gap, memory.block_size if memory.truncates else 1)
        self._of_fork: dict[str, list[Prefix]] = defaultdict(list)
        self._computing: dict[int, Prefix] = {}

    def place(self, waiting: Sequence[Sharer]) -> None:
        """Gives those that were not looked at before the prefix that they share, if any; its request is submitted."""
        groups: dict[tuple[str, tuple[int, ...]], list[Sharer]] = defaultdict(list)
        for sharer in waiting:
            if not sharer.is_placed and sharer.fork is not None:
                groups[sharer.fork, sharer.request.prompt[: self._gap]].append(sharer)
            sharer.is_placed = True
        for (fork, _), sharers in groups.items():
            prefix = self._shared(fork, sharers)
            if prefix is not None:
                for sharer in sharers:
                    sharer.prefix = prefix
                    prefix.sharers.add(sharer)

    def finished(self, number: int) -> bool:
        """Whether the request that has ended computed a prefix, which is then ready."""
        prefix = self._computing.pop(number, None)
        if prefix is None:
            return False
        prefix.number, prefix.handle = None, self._engine.handle(number)
        return True

    def drop(self, sharer: Sharer) -> None:
        """It waits for its prefix no longer: submitted, or given up. What nobody waits for is not computed further."""
        prefix = sharer.prefix
        if prefix is not None:
            prefix.sharers.discard(sharer)
            if not prefix.sharers and not prefix.is_ready:
                self._give_up(prefix)

    def end(self, fork: str) -> None:
        """No branch of the fork asks for anything any more: what was kept for them goes."""
        for prefix in self._of_fork.pop(fork, ()):
            self._give_up(prefix)

    def end_all(self) -> None:
        for fork in list(self._of_fork):
            self.end(fork)

    def _shared(self, fork: str, sharers: list[Sharer]) -> Prefix | None:
        prompts = [sharer.request.prompt for sharer in sharers]
        first = prompts[0]
        common = min(common_length(first, prompt) for prompt in prompts[1:]) if len(prompts) > 1 else len(first)
        common = min(common, *(len(prompt) - 1 for prompt in prompts))  # the last token each has to see itself
        known = max(self._known(fork, first[:common]), key=lambda prefix: len(prefix.tokens), default=None)
        there = max(len(known.tokens) if known else 0, min(sharer.own_memory for sharer in sharers))
        if len(sharers) < 2 or common - there < self._gap:
            return known
        resume = known.handle if known and len(known.tokens) == there else sharers[0].request.resume
        try:
            number = self._engine.submit(Request(first[:common], 0, keep=True, resume=resume))
        except EngineBusy:
            return known  # the branches themselves have to wait as well
        prefix = Prefix(first[:common], number)
        self._computing[number] = prefix
        self._of_fork[fork].append(prefix)
        return prefix

    def _known(self, fork: str, tokens: tuple[int, ...]) -> Iterable[Prefix]:
        for prefix in self._of_fork.get(fork, ()):
            if common_length(prefix.tokens, tokens) == len(prefix.tokens):
                yield prefix

    def _give_up(self, prefix: Prefix) -> None:
        if prefix.number is not None:
            self._engine.cancel(prefix.number)
            self.finished(prefix.number)
        if prefix.handle is not None:
            self._engine.release(prefix.handle)
            prefix.handle = None
        for prefixes in self._of_fork.values():
            if prefix in prefixes:
                prefixes.remove(prefix)

"""Completions from events, for who waits for whole answers."""

from collections.abc import Sequence

from runtime.events import Event, Finished, TokenAccepted
from runtime.request import Completion, TokenLogprob


class Completions:
    """Adds the events of some requests up; those of others pass by."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._tokens: dict[int, list[int]] = {number: [] for number in numbers}
        self._logprobs: dict[int, list[TokenLogprob | None]] = {number: [] for number in numbers}
        self._finished: dict[int, Finished] = {}

    def add(self, event: Event) -> None:
        if isinstance(event, TokenAccepted) and event.request in self._tokens:
            self._tokens[event.request].append(event.token)
            self._logprobs[event.request].append(event.logprob)
        elif isinstance(event, Finished) and event.request in self._tokens:
            self._finished[event.request] = event

    def all(self) -> list[Completion]:
        """In the order of the numbers, once all have finished."""
        return [
            Completion(tokens, self._finished[n].text, self._finished[n].reason, logprobs, self._finished[n].warnings)
            for (n, tokens), logprobs in zip(self._tokens.items(), self._logprobs.values(), strict=True)
        ]

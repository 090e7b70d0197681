"""Speculative decoding: a drafter guesses, the model verifies, and the base decoder keeps what it would have chosen."""

import time
from collections.abc import Callable

import torch

from runtime.decoder.strategy import Accepted, DecoderStrategy
from runtime.scheduler import Limit, Scheduled
from runtime.sequence import Sequence
from runtime.speculation.drafter import Drafter
from runtime.speculation.length import Candidate, Length, Verified
from runtime.speculation.pause import Pause

_LOOKING = 0.005  # of all time that may go into looking for drafts in vain
_LEAST = 64  # steps that a pause for that lasts, at most
_MEASURED = 32  # of so many steps of a pause one is measured


class SpeculativeRunner:
    """Puts drafts in front of a decoder that proposes none. They do not change what is chosen, but how long it takes.

    When nothing came of looking for drafts, it is not done again before so many steps that it takes next to no time,
    and before many more when nothing comes of it again and again. Steps of such a pause are the base decoder's, with
    next to nothing added: where a model is small, a few lines of Python are a hundredth of a step.
    """

    def __init__(
        self,
        base: DecoderStrategy,
        drafter: Drafter,
        length: Length,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._base = base
        self._drafter = drafter
        self._length = length
        self._clock = clock
        self._began = 0.0
        self._step_seconds = 0.0  # of the last step that fed no prompt
        self._pause = Pause()
        self._paused = 0  # steps of the last pause that were not measured
        self._is_measured = True
        self._is_pure = False  # only decoding sequences are in the step

    def propose(self, sequences: list[Sequence], limit: Limit) -> list[list[int]]:
        if self._pause.takes(len(sequences)):
            self._paused += 1
            self._is_measured = self._paused % _MEASURED == 0
            return [[] for _ in sequences]
        if self._paused:
            self._length.paused(self._paused, self._paused * self._step_seconds)
            self._paused = 0
        self._is_measured = True
        started = self._clock()
        limits = [min(limit(sequence), self._most(sequence)) for sequence in sequences]
        drafts, asked = (self._find if self._drafter.free else self._make)(sequences, limits)
        seconds = self._clock() - started
        if not asked and self._length.may_pause:
            self._pause.begin(min(int(seconds / (_LOOKING * self._step_seconds)), _LEAST) if self._step_seconds else 0)
        return drafts

    def begin(self, entries: list[Scheduled]) -> None:
        if self._is_measured:
            self._is_pure = all(entry.yields_token and not entry.is_prefill for entry in entries)
            self._began = self._clock()
        self._base.begin(entries)

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[Accepted]:
        accepted = self._base.accept(logits, entries)
        if self._is_measured:
            self._measure(entries, accepted)
        return accepted

    def forget(self, sequence: Sequence) -> None:
        self._base.forget(sequence)
        self._drafter.forget(sequence)
        self._length.forget(sequence.id)
        self._pause.shorten()

    def _most(self, sequence: Sequence) -> int:
        wanted = sequence.request.most_drafts
        return self._drafter.most if wanted is None else min(wanted, self._drafter.most)

    def _measure(self, entries: list[Scheduled], accepted: list[Accepted]) -> None:
        """What the step has taken, and what has come of its drafts."""
        seconds = self._clock() - self._began
        steps = [
            Verified(entry.sequence.id, len(entry.tokens) - entry.drafts, entry.drafts, kept.drafts)
            for entry, kept in zip(entries, accepted, strict=True)
            if not entry.is_prefill
        ]
        if steps:
            self._length.verified(steps, seconds if self._is_pure else None)
            self._step_seconds = seconds if self._is_pure else self._step_seconds
        if any(step.right for step in steps):
            self._pause.end()
        elif any(step.drafts for step in steps) and self._length.may_pause:
            self._pause.begin(0)

    def _find(self, sequences: list[Sequence], limits: list[int]) -> tuple[list[list[int]], bool]:
        """Asks for all drafts there are, then chooses; and whether any were chosen."""
        drafts = _allowed(sequences, self._drafter.draft(sequences, limits))
        counts = self._length.choose(self._candidates(sequences, [len(tokens) for tokens in drafts]))
        return [tokens[:count] for tokens, count in zip(drafts, counts, strict=True)], any(counts)

    def _make(self, sequences: list[Sequence], limits: list[int]) -> tuple[list[list[int]], bool]:
        """Chooses, then has so many drafts made; and whether any were chosen."""
        before = self._candidates(sequences, limits)
        counts = self._length.choose(before)
        if not any(counts):
            return [[] for _ in sequences], False
        started = self._clock()
        drafts = self._drafter.draft(sequences, counts)
        seconds = self._clock() - started
        read = [old.behind - self._drafter.behind(sequence) for old, sequence in zip(before, sequences, strict=True)]
        self._length.drafted([len(tokens) for tokens in drafts], read, seconds)
        return _allowed(sequences, drafts), True

    def _candidates(self, sequences: list[Sequence], limits: list[int]) -> list[Candidate]:
        return [
            Candidate(sequence.id, sequence.pending, limit, self._drafter.behind(sequence), sequence.remaining)
            for sequence, limit in zip(sequences, limits, strict=True)
        ]


def _allowed(sequences: list[Sequence], drafts: list[list[int]]) -> list[list[int]]:
    """The drafts as far as the grammars allow them."""
    return [
        tokens[: sequence.grammar.valid_prefix(tokens)] if tokens and sequence.grammar else tokens
        for sequence, tokens in zip(sequences, drafts, strict=True)
    ]

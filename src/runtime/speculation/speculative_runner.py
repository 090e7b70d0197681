"""Speculative decoding: a drafter guesses, the model verifies, and the base decoder keeps what it would have chosen."""

import time
from collections.abc import Callable

import torch

from runtime.decoder.strategy import Accepted, DecoderStrategy
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence
from runtime.speculation.drafter import Drafter
from runtime.speculation.length import Candidate, Length, Verified
from runtime.speculation.speculation_figures import SpeculationFigures

_LOOKING = 0.005  # of all time that may go into looking for drafts in vain
_LONGEST_PAUSE = 64  # steps


class SpeculativeRunner:
    """Puts drafts in front of a decoder that proposes none. No draft changes a token: they change how long it takes.

    When nothing came of looking for drafts, it is not done again before so many steps that it takes next to no time.
    """

    def __init__(
        self,
        base: DecoderStrategy,
        drafter: Drafter,
        length: Length,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.figures = SpeculationFigures()
        self._base = base
        self._drafter = drafter
        self._length = length
        self._clock = clock
        self._began = 0.0
        self._step_seconds = 0.0  # of the last step that fed no prompt
        self._pause = 0  # steps
        self._is_pure = False  # only decoding sequences are in the step

    def propose(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        if self._pause:
            self._pause -= 1
            return [[] for _ in sequences]
        started = self._clock()
        limits = [min(limit, self._drafter.most) for limit in limits]
        drafts, asked = (self._find if self._drafter.free else self._make)(sequences, limits)
        seconds = self._clock() - started
        self.figures.draft_seconds += seconds
        if not asked and self._step_seconds:
            self._pause = min(int(seconds / (_LOOKING * self._step_seconds)), _LONGEST_PAUSE)
        return drafts

    def begin(self, entries: list[Scheduled]) -> None:
        self._is_pure = all(entry.yields_token and not entry.is_prefill for entry in entries)
        self._began = self._clock()
        self._base.begin(entries)

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[Accepted]:
        accepted = self._base.accept(logits, entries)
        seconds = self._clock() - self._began
        steps = [
            Verified(entry.sequence.id, len(entry.tokens) - entry.drafts, entry.drafts, kept.drafts)
            for entry, kept in zip(entries, accepted, strict=True)
            if not entry.is_prefill
        ]
        if steps:
            self._length.verified(steps, seconds if self._is_pure else None)
            self._step_seconds = seconds if self._is_pure else self._step_seconds
        for step in steps:
            self.figures.add(step.drafts, step.right)
        if self._is_pure and any(step.drafts for step in steps):
            self.figures.verify_seconds += seconds
        return accepted

    def forget(self, sequence: Sequence) -> None:
        self._base.forget(sequence)
        self._drafter.forget(sequence)
        self._length.forget(sequence.id)

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

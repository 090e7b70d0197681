"""Each token chosen from the model's logits alone: by argmax, or drawn, as its request says."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
from torch import Tensor

from kernels.ops import Ops
from runtime.decoder.draw_graph import Row
from runtime.decoder.logprobs import FORCED, report_logprobs
from runtime.decoder.mask_thread import MaskThread, compute_masks
from runtime.decoder.penalties import Penalties
from runtime.decoder.sampler import Sampler
from runtime.decoder.strategy import Accepted
from runtime.memory.common_length import common_length
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence


class Sampling:
    """Proposes nothing, but keeps drafts that others propose: those that it would have chosen."""

    def __init__(self, ops: Ops, vocab_size: int, order: tuple[str, ...], has_free_core: bool = True) -> None:
        """order: of the filters, see kernels.sample. has_free_core: the model leaves one, and grammar masks are
        computed in a thread beside it; else, as all its threads would wait for the one that gives way, before it."""
        self.sampler = Sampler(ops, order)
        self._ops = ops
        self._words = -(-vocab_size // 32)  # of a row's mask
        self._penalties = Penalties(ops)
        self._has_free_core = has_free_core
        self._is_masked = False  # this step has grammars
        self._thread: MaskThread | None = None  # once there is a grammar, and a core
        self._masks: np.ndarray | None = None  # of the last step with grammars, if they came before the model

    def propose(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [[] for _ in sequences]

    def begin(self, entries: list[Scheduled]) -> None:
        accepting = [entry for entry in entries if entry.yields_token]
        self._is_masked = any(entry.sequence.grammar for entry in accepting)
        if self._is_masked and self._has_free_core:
            self._thread = self._thread or MaskThread(self._words)
            self._thread.begin(accepting)
        elif self._is_masked:
            self._masks = compute_masks(accepting, self._words)

    def accept(self, logits: Tensor, entries: list[Scheduled]) -> list[Accepted]:
        firsts = [0, *accumulate(1 + entry.drafts for entry in entries)]
        wanted = [i for i, entry in enumerate(entries) if entry.sequence.request.sampling.logprobs is not None]
        untouched = {i: logits[firsts[i] : firsts[i + 1]].clone() for i in wanted}
        self._penalties.apply(logits, entries)
        rows = [row for entry in entries for row in _rows(entry)]
        chosen = self.sampler.draw(logits, rows, self._take_masks())
        runs = [_verify(entry, chosen[firsts[i] : firsts[i + 1]]) for i, entry in enumerate(entries)]
        accepted = [Accepted(run.tokens, run.drafts, [None] * len(run.tokens)) for run in runs]
        for i in wanted:
            top = entries[i].sequence.request.sampling.logprobs or 0
            reports = report_logprobs(untouched[i], runs[i].tokens, runs[i].rows, top, self._ops)
            accepted[i] = accepted[i]._replace(logprobs=reports)
        return accepted

    def forget(self, sequence: Sequence) -> None:
        self._penalties.forget(sequence)

    def _take_masks(self) -> np.ndarray | None:
        if not self._is_masked:
            return None
        return self._thread.take() if self._thread else self._masks


def _rows(entry: Scheduled) -> list[Row]:
    request, position = entry.sequence.request, len(entry.sequence.tokens)
    return [Row(request.sampling, request.seed, position + i) for i in range(1 + entry.drafts)]


class _Run(NamedTuple):
    """Tokens of one sequence, the row that each was chosen from (or FORCED), and how many drafts they begin with."""

    tokens: list[int]
    rows: list[int]
    drafts: int


def _verify(entry: Scheduled, chosen: list[int]) -> _Run:
    """The first choice, and each next one as long as the draft before its row is what has been chosen there. Tokens
    that the grammar forces come along: they need no row, but end the run where no draft agrees."""
    grammar, drafts = entry.sequence.grammar, entry.guesses
    if not grammar and not drafts:
        return _Run([chosen[0]], [0], 0)
    tokens: list[int] = []
    rows: list[int] = []
    kept = 0
    while True:
        run = [chosen[kept]]
        if grammar:
            grammar.advance(run[0])
            run += grammar.forced()
            for token in run[1:]:
                grammar.advance(token)
        tokens += run
        rows += [kept] + [FORCED] * (len(run) - 1)
        agreed = common_length(run, drafts[kept:])
        kept += agreed
        if agreed < len(run) or (grammar and grammar.is_complete):
            # Of a run that ends the answer the last token stays pending, whether the model has seen it or not.
            return _Run(tokens, rows, min(kept, len(tokens) - 1))

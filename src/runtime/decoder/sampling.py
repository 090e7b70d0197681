"""Each token chosen from the model's logits alone: by argmax, or drawn, as its request says."""

from itertools import accumulate

import numpy as np
from torch import Tensor

from kernels.ops import Ops
from runtime.decoder.draw_graph import Row
from runtime.decoder.logprobs import report_logprobs
from runtime.decoder.penalties import Penalties
from runtime.decoder.refusals import Refusals
from runtime.decoder.sampler import Sampler
from runtime.decoder.strategy import Accepted
from runtime.decoder.verification import Verification
from runtime.scheduler import Limit, Scheduled
from runtime.sequence import Sequence


class Sampling:
    """Proposes nothing, but keeps drafts that others propose: those that it would have chosen.

    A grammar's mask is computed where it could change what is chosen. The likeliest token, or the winner of the draw,
    is the same with a mask if the mask allows it, and to ask for one token takes less time. So a choice is made
    without, and again where the grammar does not allow it, unless that has been so time and again. Filters are
    different: what they keep depends on every token that a mask takes away.
    """

    def __init__(self, ops: Ops, vocab_size: int, order: tuple[str, ...]) -> None:
        """order: of the filters, see kernels.sample."""
        self.sampler = Sampler(ops, order)
        self._ops = ops
        self._words = -(-vocab_size // 32)  # of a row's mask
        self._bits = np.empty((0, self._words), np.int32)  # of the last masks: large enough that new memory takes time
        self._penalties = Penalties(ops)
        self._refusals = Refusals()

    def propose(self, sequences: list[Sequence], limit: Limit) -> list[list[int]]:
        return [[] for _ in sequences]

    def begin(self, entries: list[Scheduled]) -> None:
        pass

    def accept(self, logits: Tensor, entries: list[Scheduled]) -> list[Accepted]:
        firsts = [0, *accumulate([1 + entry.drafts for entry in entries])]
        wanted = [i for i, entry in enumerate(entries) if entry.sequence.request.sampling.logprobs is not None]
        untouched = {i: logits[firsts[i] : firsts[i + 1]].clone() for i in wanted}
        self._penalties.apply(logits, entries)
        # Where there is neither a draft nor a grammar, what is chosen is kept, and there is nothing to verify.
        runs = {
            i: Verification(entry, firsts[i])
            for i, entry in enumerate(entries)
            if entry.drafts or entry.sequence.grammar
        }
        chosen = self._choose(logits, entries, list(runs.values()))
        accepted = [Accepted([chosen[first]], 0, [None]) for first in firsts[:-1]]
        for i, run in runs.items():
            accepted[i] = Accepted(run.tokens, run.drafts, [None] * len(run.tokens))
        for i in wanted:
            top = entries[i].sequence.request.sampling.logprobs or 0
            rows = runs[i].rows if i in runs else [0]
            reports = report_logprobs(untouched[i], accepted[i].tokens, rows, top, self._ops)
            accepted[i] = accepted[i]._replace(logprobs=reports)
        return accepted

    def forget(self, sequence: Sequence) -> None:
        self._penalties.forget(sequence)
        self._refusals.forget(sequence.id)

    def _choose(self, logits: Tensor, entries: list[Scheduled], runs: list[Verification]) -> list[int]:
        """A token for each row; runs: those that verify theirs, and do so."""
        rows = [
            Row(entry.sequence.request.sampling, entry.sequence.request.seed, len(entry.sequence.tokens) + i)
            for entry in entries
            for i in range(1 + entry.drafts)
        ]
        first = [run for run in runs if run.entry.sequence.grammar and self._needs_mask(run.entry.sequence)]
        chosen = self.sampler.draw(logits, rows, self._masks(len(rows), first))
        refused = [run for run in runs if not self._keep(run, chosen)]
        if refused:
            again = self.sampler.draw(logits, rows, self._masks(len(rows), refused))
            for run in refused:
                run.keep(again)
        return chosen

    def _needs_mask(self, sequence: Sequence) -> bool:
        return sequence.request.sampling.filters or self._refusals.expected(sequence.id)

    def _keep(self, run: Verification, chosen: list[int]) -> bool:
        """Whether that has come to an end, as Verification has it."""
        is_kept = run.keep(chosen)
        if run.entry.sequence.grammar and not run.is_masked:
            self._refusals.note(run.entry.sequence.id, not is_kept)
        return is_kept

    def _masks(self, rows: int, runs: list[Verification]) -> np.ndarray | None:
        """int32 [rows, words] as mask_logits has it: what the grammars of these runs allow, and all tokens in the rows
        of others. None if there are no runs."""
        if not runs:
            return None
        if len(self._bits) < rows:
            self._bits = np.empty((rows, self._words), np.int32)
        bits = self._bits[:rows]
        bits.fill(-1)
        for run in runs:
            run.mask(bits)
        return bits

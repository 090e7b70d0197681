"""Log-probabilities of many spans: steps are filled to the budget, whatever lengths the spans have."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from model.memory import SequenceMemory
from model.sequence_step import SequenceStep
from runtime.evaluation.span import Score, Span
from runtime.events import Stepped
from runtime.memory.kv_block_allocator import KVBlockAllocator

LogProbs = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Executor(Protocol):
    @property
    def cache(self) -> SequenceMemory:
        """The memory that `step` reads and writes."""

    def step(self, steps: Sequence[SequenceStep]) -> Tensor:
        """The wanted logits f32 [L, V]."""


class Scorer:
    """Scores spans with one model. It has the whole cache to itself while it steps.

    Spans are fed one after the other, in order, as many in a step as the budget of tokens has room for; one that is
    cut by the end of the budget goes on in the next step, behind what its blocks hold. So every step but the last is
    full, nothing is padded, and a span may be longer than a step.
    """

    def __init__(self, executor: Executor, log_probs: LogProbs, token_budget: int, max_sequences: int) -> None:
        self._executor = executor
        self._log_probs = log_probs
        self._token_budget = token_budget
        self._max_sequences = max_sequences

    def steps(self, spans: Iterable[Span]) -> Iterator[tuple[Stepped, list[Score]]]:
        """Runs the model step by step; yields each step, with the scores that it completed, in the spans' order.

        All tokens of a span but its last fit the cache and the model's context.
        """
        cache = self._executor.cache
        allocator = KVBlockAllocator(cache.num_blocks)
        waiting = iter(spans)
        upcoming = next(waiting, None)
        cut: _Feed | None = None  # the span that goes on in the next step
        start = time.perf_counter()
        while cut or upcoming:
            before = time.perf_counter()
            feeds = [cut] if cut else []
            budget = self._token_budget - (cut.take(self._token_budget) if cut else 0)
            while upcoming and budget and len(feeds) < self._max_sequences:
                blocks = -(-(len(upcoming.tokens) - 1) // cache.block_size)
                if blocks > allocator.free_blocks:
                    break
                feeds.append(_Feed(upcoming, allocator.allocate(blocks)))
                budget -= feeds[-1].take(budget)
                upcoming = next(waiting, None)
            executor_seconds = self._run(feeds)
            done = [feed for feed in feeds if feed.is_done]
            for feed in done:
                allocator.free(feed.blocks)
            cut = None if feeds[-1].is_done else feeds[-1]
            now = time.perf_counter()
            stepped = Stepped(
                time=now - start,
                seconds=now - before,
                executor_seconds=executor_seconds,
                prefill_tokens=self._token_budget - budget,
                decode_tokens=0,
                free_blocks=allocator.free_blocks,
            )
            yield stepped, [feed.score for feed in done]

    def _run(self, feeds: Sequence["_Feed"]) -> float:
        """Runs one step and hands the results to the feeds. Returns the seconds in the model."""
        parts = [feed.part() for feed in feeds]
        before = time.perf_counter()
        logits = self._executor.step([part.step for part in parts])
        seconds = time.perf_counter() - before
        following = [token for part in parts for token in part.following]
        targets = torch.tensor(following, dtype=torch.int32, device=logits.device)
        log_probs, best = torch.empty_like(targets, dtype=torch.float32), torch.empty_like(targets)
        self._log_probs(logits, targets, log_probs, best)
        results = iter(zip(log_probs.tolist(), best.tolist(), strict=True))
        for feed, part in zip(feeds, parts, strict=True):
            for log_prob, is_best in islice(results, len(part.following)):
                feed.score.log_probs.append(log_prob)
                feed.score.best.append(bool(is_best))
        return seconds


class _Part(NamedTuple):
    step: SequenceStep
    following: Sequence[int]  # the tokens behind those whose logits are wanted


class _Feed:
    """A span on its way through the model; the last of its tokens is never fed."""

    def __init__(self, span: Span, blocks: list[int]) -> None:
        assert 0 < span.scored < len(span.tokens)
        self.blocks = blocks
        self.score = Score([], [])
        self._span = span
        self._fed = 0  # tokens of the steps before
        self._next = 0  # the same after the step that is planned

    @property
    def is_done(self) -> bool:
        return self._next == len(self._span.tokens) - 1

    def take(self, budget: int) -> int:
        """Plans the next step with at most `budget` tokens; returns how many it will feed."""
        self._fed = self._next
        self._next = min(self._fed + budget, len(self._span.tokens) - 1)
        return self._next - self._fed

    def part(self) -> _Part:
        """What the step that is planned feeds of this span."""
        tokens = self._span.tokens
        first = len(tokens) - 1 - self._span.scored  # the first whose logits are wanted
        wanted = max(0, self._next - max(first, self._fed))
        step = SequenceStep(tokens[self._fed : self._next], self._fed, self.blocks, wanted)
        return _Part(step, tokens[self._next + 1 - wanted : self._next + 1])

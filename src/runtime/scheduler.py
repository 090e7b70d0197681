"""What the next step feeds to the model: continuous batching with chunked prefill and preemption by
recompute."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from runtime.kept import Kept, KeptMemory
from runtime.kv_block_allocator import KVBlockAllocator
from runtime.sequence import Sequence

Propose = Callable[[Sequence], list[int]]


class Scheduled(NamedTuple):
    """One sequence's part of a step: the tokens fed, of which the last `drafts` are guesses to verify."""

    sequence: Sequence
    tokens: list[int]
    drafts: int = 0

    @property
    def is_prefill(self) -> bool:
        return len(self.tokens) - self.drafts > 1

    @property
    def yields_token(self) -> bool:
        """Whether the model sees the sequence's last token in this step, so that a new one can be
        accepted."""
        return len(self.tokens) - self.drafts == self.sequence.pending


class Plan(NamedTuple):
    scheduled: list[Scheduled]
    preempted: list[Sequence]


class InferenceScheduler:
    """Decides who runs, within a budget of tokens a step and the blocks of the cache.

    Decoding sequences go first, so that a long prompt does not stall them; what is left of the budget feeds
    prompts, in chunks where they are longer. A waiting sequence is admitted in order of arrival, when blocks
    for all its tokens are free. When a decoding one finds no block, kept memory goes first; then the youngest running
    sequence loses its own and waits again, at the head of the queue: the oldest always advances.
    """

    def __init__(
        self,
        allocator: KVBlockAllocator,
        block_size: int,
        token_budget: int,
        max_sequences: int,
        truncates: bool,
    ) -> None:
        assert token_budget >= max_sequences
        self.kept = KeptMemory(allocator, block_size, truncates)
        self.allocator = allocator
        self.block_size = block_size
        self.token_budget = token_budget
        self.max_sequences = max_sequences
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # oldest first

    @property
    def capacity(self) -> int:
        """Tokens that fit into the cache when one sequence has all of it."""
        return self.allocator.total * self.block_size

    @property
    def is_idle(self) -> bool:
        return not self.running and not self.waiting

    def add(self, sequence: Sequence) -> None:
        if sequence.request.resume is not None:
            sequence.resumes = self.kept.fit(sequence.request.resume, sequence.tokens)
        self.waiting.append(sequence)

    def schedule(self, propose: Propose) -> Plan:
        """Picks the sequences of the next step, with their tokens; allocates the blocks that these need."""
        plan = Plan([], [])
        budget = self.token_budget - self._schedule_decodes(propose, plan)
        decoding = {entry.sequence.id for entry in plan.scheduled}
        for sequence in self.running:
            if budget and sequence.id not in decoding:
                budget -= _feed(sequence, budget, plan)
        while budget and self._admit_next():
            budget -= _feed(self.running[-1], budget, plan)
        return plan

    def remove(self, sequence: Sequence) -> Kept | None:
        """Forgets a finished or cancelled sequence, and frees its blocks or keeps them, as its request says."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
            self._take_over(sequence)
        if not sequence.request.keep:
            self._release(sequence)
            return None
        return self.kept.keep(sequence.tokens[: sequence.computed], sequence.page_table)

    def _schedule_decodes(self, propose: Propose, plan: Plan) -> int:
        decoding = [sequence for sequence in self.running if sequence.pending == 1]
        used = 0
        for i, sequence in enumerate(decoding):
            if sequence in plan.preempted:
                continue
            spare = self.token_budget - used - (len(decoding) - i)  # each later one still gets its one token
            drafts = propose(sequence)[: min(spare, sequence.remaining - 1)]
            if self._missing_blocks(sequence, len(drafts)) > self.allocator.free_blocks:
                drafts = []  # a guess is not worth another sequence's blocks
            if self._grow(sequence, len(drafts), plan):
                plan.scheduled.append(Scheduled(sequence, [sequence.tokens[-1], *drafts], len(drafts)))
                used += 1 + len(drafts)
        return used

    def _grow(self, sequence: Sequence, drafts: int, plan: Plan) -> bool:
        """Gives the sequence the blocks it needs, taking from the youngest; False if it was itself the
        youngest."""
        missing = self._missing_blocks(sequence, drafts)
        while not self.kept.make_room(missing):
            victim = self.running.pop()
            self._release(victim)
            self.waiting.appendleft(victim)
            plan.preempted.append(victim)
            if victim is sequence:
                return False
        sequence.page_table += self.allocator.allocate(missing)
        return True

    def _admit_next(self) -> bool:
        if not self.waiting or len(self.running) == self.max_sequences:
            return False
        # One token more than there is, or the first decode step could preempt what was just admitted.
        missing = self._missing_blocks(self.waiting[0], 1)
        if not self.kept.make_room(missing, spare=self.waiting[0].resumes):
            return False
        sequence = self.waiting.popleft()
        self._take_over(sequence)
        sequence.page_table += self.allocator.allocate(missing)
        self.running.append(sequence)
        return True

    def _missing_blocks(self, sequence: Sequence, extra_tokens: int) -> int:
        needed = -(-(len(sequence.tokens) + extra_tokens) // self.block_size)
        resumed = len(sequence.resumes.page_table) if sequence.resumes and sequence.resumes in self.kept else 0
        return max(0, needed - len(sequence.page_table) - resumed)

    def _take_over(self, sequence: Sequence) -> None:
        """Gives the sequence the memory that it resumes, if that is still kept."""
        if sequence.resumes and sequence.resumes in self.kept:
            sequence.computed = len(sequence.resumes.tokens)
            sequence.page_table = self.kept.take(sequence.resumes)
        sequence.resumes = None

    def _release(self, sequence: Sequence) -> None:
        self.allocator.free(sequence.page_table)
        sequence.page_table = []
        sequence.computed = 0


def _feed(sequence: Sequence, budget: int, plan: Plan) -> int:
    tokens = sequence.tokens[sequence.computed : sequence.computed + budget]
    plan.scheduled.append(Scheduled(sequence, tokens))
    return len(tokens)

"""What the next step feeds to the model: continuous batching, chunked prefill, priorities, preemption by recompute."""

from bisect import insort
from collections.abc import Callable
from typing import NamedTuple

from runtime.config import BatchingConfig
from runtime.memory.block_store import BlockStore
from runtime.memory.common_length import common_length
from runtime.sequence import Sequence

Limit = Callable[[Sequence], int]
Propose = Callable[[list[Sequence], Limit], list[list[int]]]

LOOKAHEAD = 64  # waiting sequences that are looked at in one step
MOST_OVERTAKEN = 16  # how often a sequence may be overtaken by others of its priority


class Scheduled(NamedTuple):
    """One sequence's part of a step: the tokens fed, of which the last `drafts` are guesses to verify.

    yields_token: whether the model sees the sequence's last token in this step, so that a new one can be accepted.
    """

    sequence: Sequence
    tokens: list[int]
    drafts: int = 0
    is_prefill: bool = False
    yields_token: bool = True

    @property
    def guesses(self) -> list[int]:
        return self.tokens[len(self.tokens) - self.drafts :]


class Started(NamedTuple):
    """A sequence begins to run; the memory of its first `reused` tokens was there."""

    sequence: Sequence
    reused: int


class Plan(NamedTuple):
    scheduled: list[Scheduled]
    preempted: list[Sequence]
    started: list[Started]


class InferenceScheduler:
    """Decides who runs, within a budget of tokens a step and the blocks of the cache.

    Decoding sequences go first, so that a long prompt does not stall them; what is left of the budget feeds prompts, in
    chunks where they are longer. Who waits is admitted by priority, then in order of arrival, when there are blocks for
    all its tokens. When a decoding sequence finds no block, the last in that order loses its own and waits again: the
    first always advances. A sequence that begins like one whose prompt is just being fed waits until it can share that.
    """

    def __init__(self, store: BlockStore, batching: BatchingConfig) -> None:
        self.store = store
        self.batching = batching
        self.waiting: list[Sequence] = []  # in the order of `_rank`, as is running
        self.running: list[Sequence] = []

    @property
    def is_idle(self) -> bool:
        return not self.running and not self.waiting

    def add(self, sequence: Sequence) -> None:
        insort(self.waiting, sequence, key=_rank)

    def schedule(self, propose: Propose) -> Plan:
        """Picks the sequences of the next step, with their tokens; takes the blocks that these need."""
        plan = Plan([], [], [])
        joins = self.batching.name == "continuous" or not self.running
        budget = self.batching.token_budget - self._schedule_decodes(propose, plan)
        if joins and self.waiting and budget:
            self._admit(budget, plan)
        if len(plan.scheduled) < len(self.running):
            self._schedule_prompts(budget, plan)
        return plan

    def remove(self, sequence: Sequence) -> None:
        """Forgets a finished or cancelled sequence and gives its blocks back."""
        (self.running if sequence in self.running else self.waiting).remove(sequence)
        self.store.release(sequence)

    def _schedule_decodes(self, propose: Propose, plan: Plan) -> int:
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        if not decoding:
            return 0
        budget, rollback = self.batching.token_budget, self.store.memory.rollback
        spare = max(0, budget - sum([1 + sequence.forced for sequence in decoding]))

        def limit(sequence: Sequence) -> int:
            return max(0, min(spare, sequence.remaining - 1, rollback - sequence.forced))

        room = budget - len(decoding)  # beside one token of each
        for sequence, drafts in zip(decoding, propose(decoding, limit), strict=True):
            room += 1
            if sequence in plan.preempted:
                continue
            tokens = sequence.tokens[sequence.computed :]
            is_whole = len(tokens) <= room
            drafts = drafts[:spare] if is_whole else []
            if drafts and not self.store.has_room(self.store.missing(sequence, len(sequence.tokens) + len(drafts))):
                drafts = []  # a guess is not worth another sequence's blocks
            if self._grow(sequence, len(sequence.tokens) + len(drafts), plan):
                fed = tokens[:room] + drafts
                is_asked = is_whole and not sequence.only_fills
                plan.scheduled.append(Scheduled(sequence, fed, len(drafts), yields_token=is_asked))
                room -= len(fed)
                spare -= len(drafts)
        return sum([len(entry.tokens) for entry in plan.scheduled])

    def _schedule_prompts(self, budget: int, plan: Plan) -> None:
        scheduled = {entry.sequence.id for entry in plan.scheduled}
        for sequence in [sequence for sequence in self.running if sequence.id not in scheduled]:
            # It has its blocks, but may have to copy one: a handle on it can have been taken since the last step.
            if (
                budget
                and sequence.pending
                and sequence in self.running
                and self._grow(sequence, len(sequence.tokens), plan)
            ):
                budget -= _feed(sequence, budget, plan)

    def _grow(self, sequence: Sequence, tokens: int, plan: Plan) -> bool:
        """Gives the sequence the blocks it needs, taking from the last; False if it was itself the last."""
        while not self.store.grow(sequence, tokens):
            victim = self.running[-1]
            self._preempt(victim, plan)
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence, plan: Plan) -> None:
        self.running.remove(victim)
        self.store.release(victim)
        victim.forced = 0
        victim.cuts.clear()
        self.add(victim)
        plan.preempted.append(victim)
        plan.scheduled[:] = [entry for entry in plan.scheduled if entry.sequence is not victim]

    def _admit(self, budget: int, plan: Plan) -> None:
        """Lets waiting sequences run as long as the budget is not spoken for. When the next one finds no room, none
        that comes after it is let in before it."""
        feeding = [sequence for sequence in self.running if not sequence.is_decoding]
        is_open = self._has_seat()
        if not is_open and not feeding:
            return
        wanted = sum(sequence.pending for sequence in feeding)
        for sequence in self._candidates():
            if sequence in plan.preempted:
                is_open = False
            elif not self._awaits_prefix(sequence, feeding) and is_open and wanted < budget:
                is_open = self._start(sequence, plan)
                if is_open:
                    feeding.append(sequence)
                    wanted += sequence.pending

    def _has_seat(self) -> bool:
        """Whether one more may run, if need be in the place of one of lower priority."""
        if len(self.running) < self.batching.most_running:
            return True
        return self.waiting[0].request.priority > self.running[-1].request.priority

    def _candidates(self) -> list[Sequence]:
        """Those who could run next, in the order in which they may."""
        first = self.waiting[:LOOKAHEAD]
        if self.batching.order == "arrival" or len(first) < 2:
            return first

        def rank(sequence: Sequence) -> tuple[int, bool, int, int]:
            may_be_overtaken = sequence.overtaken < MOST_OVERTAKEN
            matched = self.store.match(sequence).length if may_be_overtaken else 0
            return -sequence.request.priority, may_be_overtaken, -matched, sequence.id

        return sorted(first, key=rank)

    def _awaits_prefix(self, sequence: Sequence, feeding: list[Sequence]) -> bool:
        """Whether a prompt that is being fed begins like this one, further than what is shared already; it is made to
        leave behind what both have in common."""
        if self.store.index is None or self.batching.name != "continuous":
            return False
        for other in feeding:
            # The last token of each has yet to be seen, whatever memory there is.
            common = min(common_length(sequence.tokens, other.tokens), sequence.reusable, other.reusable)
            if common < other.computed + self.store.snapshot_gap:
                continue
            if common >= self.store.match(sequence).length + self.store.snapshot_gap:
                if common not in other.cuts:
                    insort(other.cuts, common)
                return True
        return False

    def _start(self, sequence: Sequence, plan: Plan) -> bool:
        """Moves a waiting sequence to the running ones; False if there is no room."""
        while len(self.running) >= self.batching.most_running:
            if not self._yield_to(sequence, plan):
                return False
        match = self.store.attach(sequence)
        # One token more than there is, or the first decode step could preempt what was just admitted.
        while sequence.pending and not self.store.grow(sequence, len(sequence.tokens) + (not sequence.only_fills)):
            if self._yield_to(sequence, plan):
                continue
            shared = sequence.computed > 0
            self.store.detach(sequence)
            if self.running or not shared:
                return False
            # Alone, it has room for all its tokens: only what it shares cannot both be kept and be copied to write.
        self.waiting.remove(sequence)
        for other in self.waiting:
            if _rank(other) > _rank(sequence):
                break
            other.overtaken += 1
        insort(self.running, sequence, key=_rank)
        plan.started.append(Started(sequence, sequence.computed))
        sequence.cuts = self._cuts(sequence, match.known)
        return True

    def _yield_to(self, sequence: Sequence, plan: Plan) -> bool:
        """Preempts the last of the running sequences if its priority is lower."""
        if not self.running or self.running[-1].request.priority >= sequence.request.priority:
            return False
        self._preempt(self.running[-1], plan)
        return True

    def _cuts(self, sequence: Sequence, known: int) -> list[int]:
        """Where snapshots of a recurrent state pay: where others went another way, and before the prompt's last token,
        for whoever asks the same again. (Pages need none: they can be cut anywhere.) The latter puts the first new
        token off by a step, so it is not taken while others wait for the same steps, nor where there is to be none."""
        if self.store.index is None or self.store.memory.truncates:
            return []
        cuts: list[int] = []
        for length in sorted((known,) if self.waiting or sequence.only_fills else (known, len(sequence.tokens) - 1)):
            if length >= (cuts[-1] if cuts else sequence.computed) + self.store.snapshot_gap:
                cuts.append(length)
        return cuts


def _rank(sequence: Sequence) -> tuple[int, int]:
    return -sequence.request.priority, sequence.id


def _feed(sequence: Sequence, budget: int, plan: Plan) -> int:
    end = min(sequence.computed + budget, len(sequence.tokens))
    end = next((cut for cut in sequence.cuts if sequence.computed < cut < end), end)
    tokens = sequence.tokens[sequence.computed : end]
    yields_token = end == len(sequence.tokens) and not sequence.only_fills
    plan.scheduled.append(Scheduled(sequence, tokens, 0, not sequence.is_decoding, yields_token))
    return len(tokens)

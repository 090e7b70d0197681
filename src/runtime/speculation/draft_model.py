"""A small model guesses what a large one will say."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor

from model.memory import SequenceMemory
from model.sequence_step import SequenceStep
from runtime.decoder.draw_graph import Row
from runtime.decoder.sampler import Sampler
from runtime.memory.common_length import common_length
from runtime.sequence import Sequence


class Executor(Protocol):
    cache: SequenceMemory

    def step(self, steps: list[SequenceStep]) -> Tensor:
        """The wanted logits f32 [L, V]; the cache has the tokens afterwards."""
        ...


@dataclass
class _Record:
    """A sequence in the draft model's memory: its first `length` tokens, then the drafts that were fed."""

    length: int = 0
    fed: list[int] = field(default_factory=list)
    page_table: list[int] = field(default_factory=list)

    def right(self, tokens: list[int]) -> int:
        """How many of the drafts have come true."""
        return common_length(self.fed, tokens[self.length : self.length + len(self.fed)])


class _Turn(NamedTuple):
    """A sequence that gets so many drafts; those it has so far."""

    sequence: Sequence
    record: _Record
    wanted: int
    drafts: list[int]

    @property
    def row(self) -> Row:
        """How its next draft is drawn: as the target will draw the token there."""
        request = self.sequence.request
        return Row(request.sampling, request.seed, len(self.sequence.tokens) + len(self.drafts))


class DraftModel:
    """A model with a memory of its own, which follows the sequences that ask for drafts.

    A call catches up on the tokens that were accepted since the last one, all sequences in one step, then drafts one
    token of each a step. It draws with the target's own random numbers (request's seed, position), so that where both
    models agree on the probabilities they agree on the token. Rejected drafts are taken back: pages are written over, a
    state's log is cut. Who has not been asked for longest loses its memory first; a sequence for which there is none
    gets no drafts.
    """

    free = False

    def __init__(self, executor: Executor, sampler: Sampler, most: int, token_budget: int, max_context: int) -> None:
        """token_budget: tokens of a step; a sequence that is further behind is caught up on in several calls.
        max_context: tokens of the longest sequence that the draft model takes."""
        assert executor.cache.rollback >= most - 1, "drafts could not be taken back"
        self.most = most
        self._executor = executor
        self._sampler = sampler
        self._token_budget = token_budget
        self._max_context = max_context
        self._free_blocks = list(range(executor.cache.num_blocks))
        self._records: dict[int, _Record] = {}  # who was asked for last comes last

    def behind(self, sequence: Sequence) -> int:
        record = self._records.get(sequence.id) or _Record()
        return len(sequence.tokens) - record.length - record.right(sequence.tokens)

    def forget(self, sequence: Sequence) -> None:
        self._drop(sequence.id)

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        turns = [
            _Turn(sequence, self._record(sequence), min(limit, self.most), [])
            for sequence, limit in zip(sequences, limits, strict=True)
            if limit > 0 and len(sequence.tokens) + min(limit, self.most) <= self._max_context
        ]
        drafting = self._catch_up(self._with_memory(turns))
        while drafting:
            drafting = self._next(drafting)
        drafts = {turn.sequence.id: turn.drafts for turn in turns}
        return [drafts.get(sequence.id, []) for sequence in sequences]

    def _record(self, sequence: Sequence) -> _Record:
        """The sequence's record, as the last one asked for. Drafts that came true are tokens now; the next step takes
        the others back."""
        if self.behind(sequence) == 0:  # asked again for the same: logits are gone, and a state cannot be cut for them
            self._drop(sequence.id)
        record = self._records.pop(sequence.id, None) or _Record()
        record.length += record.right(sequence.tokens)
        record.fed = []
        self._records[sequence.id] = record
        return record

    def _with_memory(self, turns: list[_Turn]) -> list[_Turn]:
        """Those for whose tokens and drafts there are blocks."""
        block_size = self._executor.cache.block_size
        asking = {turn.sequence.id for turn in turns}
        granted = []
        for turn in turns:
            needed = -(-(len(turn.sequence.tokens) + turn.wanted) // block_size) - len(turn.record.page_table)
            for number in list(self._records):
                if len(self._free_blocks) >= needed:
                    break
                if number not in asking:
                    self._drop(number)
            if len(self._free_blocks) >= needed:
                turn.record.page_table += [self._free_blocks.pop() for _ in range(needed)]
                granted.append(turn)
        return granted

    def _catch_up(self, turns: list[_Turn]) -> list[_Turn]:
        """Feeds what was accepted since; returns those with a first draft now."""
        budget = self._token_budget
        steps, ready = [], []
        for turn in turns:
            record = turn.record
            tokens = turn.sequence.tokens[record.length :][:budget]
            if not tokens:
                break
            budget -= len(tokens)
            is_ready = record.length + len(tokens) == len(turn.sequence.tokens)
            ahead = turn.wanted - 1 if is_ready else 0
            steps.append(SequenceStep(tokens, record.length, record.page_table, int(is_ready), ahead))
            record.length += len(tokens)
            if is_ready:
                ready.append(turn)
        if steps:
            self._draw(ready, steps)
        return ready

    def _next(self, turns: list[_Turn]) -> list[_Turn]:
        """Feeds each sequence's last draft and draws the next, where there are more to come."""
        turns = [turn for turn in turns if len(turn.drafts) < turn.wanted]
        steps = []
        for turn in turns:
            record, token = turn.record, turn.drafts[-1]
            cached = record.length + len(record.fed)
            steps.append(SequenceStep([token], cached, record.page_table, 1, turn.wanted - len(turn.drafts) - 1))
            record.fed.append(token)
        if steps:
            self._draw(turns, steps)
        return turns

    def _draw(self, turns: list[_Turn], steps: list[SequenceStep]) -> None:
        """Runs the model and draws a token for each turn (whose logits are wanted, in this order)."""
        logits = self._executor.step(steps)
        if not turns:
            return
        for turn, token in zip(turns, self._sampler.draw(logits, [turn.row for turn in turns]), strict=True):
            turn.drafts.append(token)

    def _drop(self, number: int) -> None:
        record = self._records.pop(number, None)
        if record is not None:
            self._free_blocks += record.page_table

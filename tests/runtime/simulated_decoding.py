"""Decoding on a simulated clock, where steps take as long, and guesses are as often right, as a test says."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from runtime.speculation.draft_length import DraftLength
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.length import Candidate, Length, Verified

Cost = Callable[[int, int], float]  # sequences, tokens -> seconds
Chance = Callable[[int, int, int], float]  # sequence, position, right drafts before -> that a draft is right

MOST = 8
BUDGET = 256  # tokens that a drafter reads before a step
COSTS: dict[str, Cost] = {
    "flat": lambda sequences, tokens: 1.0,
    "slight": lambda sequences, tokens: 1 + 0.02 * tokens,
    "quarter": lambda sequences, tokens: 1 + 0.25 * (tokens - 1),
    "half": lambda sequences, tokens: 1 + 0.5 * (tokens - 1),
    "linear": lambda sequences, tokens: float(tokens),
    "steps of 4": lambda sequences, tokens: float(math.ceil(tokens / 4)),
    "steps of 8": lambda sequences, tokens: 0.6 + 0.4 * math.ceil(tokens / 8),
    "powers of two": lambda sequences, tokens: 1 + 0.1 * (1 << (tokens - 1).bit_length()),
    "fast path": lambda sequences, tokens: 1.0 if tokens == sequences else 1.6 + 0.05 * tokens,
    "superlinear": lambda sequences, tokens: 1.0 if tokens == sequences else 2.0 * tokens / sequences,
}
CHANCES: dict[str, Chance] = {
    **{f"{p}": lambda sequence, position, before, p=p: p for p in (0.0, 0.3, 0.6, 0.8, 0.9, 1.0)},  # type: ignore[misc]
    "drift": lambda sequence, position, before: 0.475 + 0.475 * math.sin(position / 300 + sequence),
    "quick drift": lambda sequence, position, before: 0.475 + 0.475 * math.sin(position / 30 + sequence),
    "switch": lambda sequence, position, before: 0.95 if (position // 500 + sequence) % 2 else 0.05,
    "mixed": lambda sequence, position, before: (0.05, 0.5, 0.8, 0.95)[sequence % 4],
    "runs": lambda sequence, position, before: 0.97 if before else 0.4,
}


@dataclass(frozen=True)
class Workload:
    """sequences: of the batch. tokens: in all. round: seconds of a round of drafting, and read: of each token that the
    drafter has to catch up on; None: drafts are free. found: how often there are any. noise: standard deviation of a
    step's logarithm; besides, one in a hundred takes four times as long. request: tokens after which another sequence
    takes a sequence's place. slower: by how much steps get slower in all, a factor. part: sequences that are there only
    every other 40 steps."""

    cost: Cost
    chance: Chance
    sequences: int = 1
    tokens: int = 2000
    round: float | None = None
    read: float = 0.0
    found: float = 1.0
    noise: float = 0.03
    request: int = 1 << 30
    slower: float = 1.0
    part: int = 0


class Simulation:
    def __init__(self, workload: Workload, length: Length, seed: int = 0) -> None:
        self.workload = workload
        self.length = length
        self.seconds = 0.0
        self.steps = 0
        self.lengths: list[list[int]] = []
        self._noise = random.Random(seed)
        uniform = random.Random(seed + 1)
        room = range(2 * workload.tokens + 2 * MOST)
        self._luck = [[uniform.random() for _ in room] for _ in range(workload.sequences)]
        self._finds = [[uniform.random() < workload.found for _ in room] for _ in range(workload.sequences)]
        self._position = [0] * workload.sequences
        self._read = [0] * workload.sequences
        self._made = 0

    def run(self) -> "Simulation":
        while self._made < self.workload.tokens:
            self._step()
        return self

    def _step(self) -> None:
        work = self.workload
        running = range(work.sequences)
        if self.steps // 40 % 2:
            running = range(work.sequences - work.part)
        candidates = [self._candidate(i) for i in running]
        counts = self.length.choose(candidates)
        self.lengths.append(counts)
        if work.round is not None and any(counts):
            counts = self._draft(list(running), candidates, counts, work.round)
        seconds = self._noisy(work.cost(len(running), len(running) + sum(counts)))
        seconds *= work.slower ** (self._made / work.tokens)
        steps = [self._verify(i, count) for i, count in zip(running, counts, strict=True)]
        self.length.verified(steps, seconds)
        self.seconds += seconds
        self.steps += 1

    def _draft(self, running: list[int], candidates: list[Candidate], wanted: list[int], round: float) -> list[int]:
        """Reads, up to a budget, and makes drafts for those of whom all is read."""
        budget, made, read = BUDGET, [], []
        for i, candidate, count in zip(running, candidates, wanted, strict=True):
            read.append(min(candidate.behind, budget) if count else 0)
            made.append(count if read[-1] == candidate.behind else 0)
            self._read[i] += read[-1]
            budget -= read[-1]
        seconds = self._noisy(max(made) * round + sum(max(0, tokens - 2) for tokens in read) * self.workload.read)
        self.length.drafted(made, read, seconds)
        self.seconds += seconds
        return made

    def _candidate(self, i: int) -> Candidate:
        behind = 0 if self.workload.round is None else self._position[i] + 1 - self._read[i]
        return Candidate(self._number(i), 1, MOST * self._finds[i][self._position[i]], behind, 1000)

    def _verify(self, i: int, drafts: int) -> Verified:
        position, right = self._position[i], 0
        while right < drafts and self._luck[i][position + right] < self.workload.chance(i, position + right, right):
            right += 1
        verified = Verified(self._number(i), 1, drafts, right)
        self._position[i] += right + 1
        self._made += right + 1
        if drafts:
            self._read[i] = self._position[i] - 1
        if self._number(i) != verified.number:
            self.length.forget(verified.number)
            self._read[i] = 0  # as a prompt of so many tokens
        return verified

    def _number(self, i: int) -> int:
        return i + self.workload.sequences * (self._position[i] // self.workload.request)

    def _noisy(self, seconds: float) -> float:
        return seconds * math.exp(self._noise.gauss(0, self.workload.noise)) * (4 if self._noise.random() < 0.01 else 1)


def adaptive(workload: Workload, seed: int = 0) -> Simulation:
    return Simulation(workload, DraftLength(workload.round is None), seed).run()


def fixed(workload: Workload, count: int, seed: int = 0) -> Simulation:
    return Simulation(workload, FixedLength(count), seed).run()

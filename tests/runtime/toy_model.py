"""A deterministic model of a few lines, for tests of what surrounds a model."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from kernels.ops import Ops, load_ops
from model.memory import check_saved
from model.sequence_step import SequenceStep
from runtime.config import FILTERS, BatchingConfig
from runtime.decoder.sampling import Sampling
from runtime.decoder.strategy import DecoderStrategy
from runtime.engine import Engine
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.memory.block_store import BlockStore
from runtime.memory.eviction import POLICIES
from runtime.memory.handle_shelf import HandleShelf
from runtime.memory.kv_block_allocator import KVBlockAllocator
from runtime.memory.radix_prefix_index import RadixPrefixIndex

VOCAB_SIZE = 256
FREE = -1


class ToyPages:
    """The tokens of sequences in pages, in place of keys and values."""

    layout = "toy pages"
    truncates = True
    rollback = 1 << 30
    mode = None

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._tokens = torch.full((num_blocks * block_size,), FREE)

    def prepare(self, steps: list[SequenceStep]) -> None:
        for step in steps:
            slots = self._slots(step.blocks, step.cached + len(step.tokens))[step.cached :]
            self._tokens[slots] = torch.tensor(step.tokens)

    def copy_block(self, source: int, target: int) -> None:
        pages = self._tokens.view(self.num_blocks, self.block_size)
        pages[target] = pages[source]

    def history(self, blocks: Sequence[int], tokens: int) -> list[int]:
        history = self._tokens[self._slots(blocks, tokens)]
        assert FREE not in history
        return history.tolist()

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, torch.Tensor]:
        return {"tokens": torch.tensor(self.history(blocks, tokens))}

    def restore(self, tensors: dict[str, torch.Tensor], blocks: Sequence[int], tokens: int) -> None:
        check_saved(tensors, {"tokens": torch.empty(tokens, dtype=torch.int64)})
        self._tokens[self._slots(blocks, tokens)] = tensors["tokens"]

    def _slots(self, blocks: Sequence[int], tokens: int) -> torch.Tensor:
        slots = torch.tensor(blocks, dtype=torch.int64)[:, None] * self.block_size + torch.arange(self.block_size)
        return slots.flatten()[:tokens]


class ToyStates:
    """The tokens of a sequence in one slot, in place of a recurrent state: of a step of at most 1 + rollback tokens
    (with those that it looks ahead to) all but the first can be taken back, until more have been fed than it looked
    ahead to."""

    block_size = 1 << 30
    layout = "toy states"
    truncates = False
    mode = None

    def __init__(self, num_blocks: int, rollback: int = 0) -> None:
        self.num_blocks = num_blocks
        self.rollback = rollback
        self._states: dict[int, list[int]] = {}
        self._final: dict[int, int] = {}  # so many tokens of a state stay
        self._ahead: dict[int, int] = {}  # and do so for so many tokens more

    def prepare(self, steps: list[SequenceStep]) -> None:
        log_size = self.rollback + 1 if self.rollback else 0
        for step in steps:
            slot, new = step.blocks[0], len(step.tokens)
            before = self.history([slot], step.cached) if step.cached else []
            if not before or new > self._ahead[slot]:
                self._final[slot] = len(before) + (1 if new + step.lookahead <= log_size else new)
                self._ahead[slot] = step.lookahead
            else:
                self._ahead[slot] -= new
            self._states[slot] = [*before, *step.tokens]

    def copy_block(self, source: int, target: int) -> None:
        self._states[target] = list(self._states[source])
        self._final[target], self._ahead[target] = self._final[source], self._ahead[source]

    def history(self, blocks: Sequence[int], tokens: int) -> list[int]:
        state = self._states[blocks[0]]
        assert self._final[blocks[0]] <= tokens <= len(state)
        return state[:tokens]

    def save(self, blocks: Sequence[int], tokens: int) -> dict[str, torch.Tensor]:
        return {"tokens": torch.tensor(self.history(blocks, tokens))}

    def restore(self, tensors: dict[str, torch.Tensor], blocks: Sequence[int], tokens: int) -> None:
        check_saved(tensors, {"tokens": torch.empty(tokens, dtype=torch.int64)})
        self._states[blocks[0]] = tensors["tokens"].tolist()
        self._final[blocks[0]], self._ahead[blocks[0]] = tokens, 0


class ToyExecutor:
    """Logits are a hash of all tokens of the sequence up to the row's own, read back from its memory:
    a wrong block or length anywhere changes what comes next."""

    def __init__(self, cache: ToyPages | ToyStates) -> None:
        self.cache = cache
        self.batch_tokens: list[int] = []

    def step(self, steps: list[SequenceStep]) -> torch.Tensor:
        self.batch_tokens.append(sum(len(step.tokens) for step in steps))
        self.cache.prepare(steps)
        rows = []
        for step in steps:
            length = step.cached + len(step.tokens)
            history = self.cache.history(step.blocks, length)
            rows += [toy_logits(history[: end + 1]) for end in range(length - step.n_logits, length)]
        return torch.stack(rows) if rows else torch.empty(0, VOCAB_SIZE)


def toy_logits(history: list[int]) -> torch.Tensor:
    digest = hashlib.sha256(repr(history).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(VOCAB_SIZE, generator=generator)


def toy_continuation(prompt: list[int], count: int) -> list[int]:
    """The greedy continuation, without an engine."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(toy_logits(tokens).argmax()))
    return tokens[len(prompt) :]


class ToyVocabulary:
    """Each byte is a token."""

    vocab_size = VOCAB_SIZE

    def token_bytes(self, id: int) -> bytes:
        return bytes([id])


def toy_engine(
    *,
    blocks: int = 64,
    block_size: int = 4,
    token_budget: int = 64,
    max_sequences: int = 8,
    context_length: int = 1024,
    decoder: DecoderStrategy | None = None,
    recurrent: bool = False,
    state_log: int = 0,
    prefix: bool = True,
    eviction: str = "lru",
    snapshot_gap: int = 1,
    batching: Literal["continuous", "static", "one_by_one"] = "continuous",
    order: Literal["arrival", "prefix"] = "arrival",
    max_waiting: int | None = None,
    handle_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Engine:
    cache = ToyStates(blocks, state_log) if recurrent else ToyPages(blocks, block_size)
    allocator = KVBlockAllocator(blocks)
    index = RadixPrefixIndex(allocator, cache.block_size, cache.truncates, POLICIES[eviction]) if prefix else None
    handles = HandleShelf(allocator, handle_seconds, clock)
    return Engine(
        ToyExecutor(cache),
        BlockStore(cache, allocator, index, handles, snapshot_gap, "toy"),
        BatchingConfig(batching, token_budget, max_sequences, max_waiting, order),
        decoder or Sampling(reference_ops(), VOCAB_SIZE, FILTERS),
        ToyVocabulary(),
        context_length,
        no_grammars,
    )


def no_grammars() -> GrammarEnforcer:
    raise AssertionError("the toy model has no grammars")


def reference_ops() -> Ops:
    return load_ops("reference")

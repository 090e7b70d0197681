"""A deterministic model of a few lines, for tests of what surrounds a model."""

import hashlib

import torch

from kernels.ops import Ops, load_ops
from model.batch import Batch
from runtime.decoder.greedy import Greedy
from runtime.decoder.strategy import DecoderStrategy
from runtime.engine import Engine
from runtime.kv_block_allocator import KVBlockAllocator
from runtime.scheduler import InferenceScheduler

VOCAB_SIZE = 256
FREE = -1


class ToyExecutor:
    """Logits are a hash of all tokens of the sequence up to the row's own, read back from the paged cache:
    a wrong slot, position, block table or length anywhere changes what comes next."""

    def __init__(self, blocks: int, block_size: int) -> None:
        self.cache = torch.full((blocks * block_size,), FREE)
        self.block_size = block_size
        self.batch_tokens: list[int] = []

    def step(self, batch: Batch) -> torch.Tensor:
        self.batch_tokens.append(len(batch.tokens))
        self.cache[batch.slots] = batch.tokens.long()
        rows = []
        for i, table in enumerate(batch.block_tables):
            start, end = batch.cu_seqlens[i : i + 2].tolist()
            slots = (table.long()[:, None] * self.block_size + torch.arange(self.block_size)).flatten()
            context = int(batch.context_lens[i])
            assert batch.positions[start:end].tolist() == list(range(context - (end - start), context))
            for row in range(start, end):
                if row in batch.logit_rows:
                    history = self.cache[slots[: context - (end - row - 1)]]
                    assert FREE not in history
                    rows.append(toy_logits(history.tolist()))
        return torch.stack(rows) if rows else torch.empty(0, VOCAB_SIZE)


def toy_logits(history: list[int]) -> torch.Tensor:
    digest = hashlib.sha256(bytes(history)).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(VOCAB_SIZE, generator=generator)


def toy_continuation(prompt: list[int], count: int) -> list[int]:
    """The greedy continuation, without an engine."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(toy_logits(tokens).argmax()))
    return tokens[len(prompt) :]


def toy_engine(
    *,
    blocks: int = 64,
    block_size: int = 4,
    token_budget: int = 64,
    max_sequences: int = 8,
    context_length: int = 1024,
    decoder: DecoderStrategy | None = None,
) -> Engine:
    scheduler = InferenceScheduler(KVBlockAllocator(blocks), block_size, token_budget, max_sequences)
    return Engine(
        ToyExecutor(blocks, block_size),
        scheduler,
        decoder or Greedy(reference_ops()),
        lambda token: bytes([token]),
        context_length,
    )


def reference_ops() -> Ops:
    return load_ops("reference")

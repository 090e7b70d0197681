"""What a node asks a model for, and what it gets."""

from dataclasses import dataclass
from typing import Literal

from runtime.dag.json_value import Json, JsonObject
from runtime.dag.trace.record import NativeInference

Strategy = Literal["greedy", "sampling", "speculative"]


@dataclass(frozen=True)
class Inference:
    """A text to continue.

    prompt: raw text, begun as the model wants texts to begin; with a kv_handle it is appended to what that stands for,
    as it is. model: a name or alias of the loaded model; None: that one. max_tokens: new ones at most (fewer where the
    model's context or the cache ends). temperature: 0 is greedy. top_k: 0 is off. output_schema: JSON Schema that the
    answer obeys. stop_condition: the name of a control token, or a text; it ends the answer and is no part of it.
    draft_model: which model guesses, if it is loaded; else the engine's own drafter does. max_speculative_tokens:
    guesses of a step at most. decoder_strategy: greedy (whatever the temperature) and sampling take no guesses,
    speculative has them verified; None: as the engine is set up. keep: a handle is wanted.
    """

    prompt: str
    model: str | None = None
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    output_schema: Json = None
    kv_handle: str | None = None
    stop_condition: str | None = None
    draft_model: str | None = None
    max_speculative_tokens: int | None = None
    decoder_strategy: Strategy | None = None
    keep: bool = False

    @property
    def speculates(self) -> bool:
        """Whether it asks for guesses; an engine that makes them may do so for others as well."""
        return self.draft_model is not None or self.decoder_strategy == "speculative"


@dataclass(frozen=True)
class InferenceResult:
    """kv_handle: of prompt and text, if it was wanted. parsed_output: the text as JSON, if there was a schema.
    acceptance_rate: of the guesses (0 without any; None: not asked for). finish_reason: stop, length, or deadline (the
    text is what there was in time). used_features: which fields of the inference had a part in it. notes: what was done
    otherwise than asked, a line each."""

    text: str
    kv_handle: str | None
    parsed_output: Json
    acceptance_rate: float | None
    finish_reason: str
    native: NativeInference
    used_features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_deterministic(self) -> bool:
        """Whether the same inference gives the same result whenever it is made. All draws are the seed's; but how much
        is guessed depends on the time it takes."""
        return self.finish_reason != "deadline" and self.acceptance_rate is None

    @property
    def llm_call(self) -> JsonObject:
        """The specification's record of it."""
        return {
            "model": self.native.model,
            "prompt_tokens": self.native.prompt_tokens,
            "completion_tokens": self.native.completion_tokens,
            "used_features": list(self.used_features),
            "backend_used": "native_inference_core",
        }

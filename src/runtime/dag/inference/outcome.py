"""What an answer means for who asked."""

import json

from runtime.dag.errors import Code, NodeError
from runtime.dag.inference.inference import Inference
from runtime.dag.json_value import Json
from runtime.events import Finished
from runtime.request import FinishReason

_FEATURES = (
    "output_schema",
    "kv_handle",
    "stop_condition",
    "draft_model",
    "max_speculative_tokens",
    "decoder_strategy",
)


def parsed(inference: Inference, finished: Finished) -> Json:
    """The answer as JSON, None if no schema was asked for. Raises NodeError if it was cut off: half an object is none,
    and the node says which limit cut it."""
    if inference.output_schema is None:
        return None
    details = {"finish_reason": finished.reason.value, "text": finished.text}
    if finished.reason is FinishReason.DEADLINE:
        raise NodeError(Code.BUDGET_EXCEEDED, "time ended before the structured answer did (max_duration_sec)", details)
    problem = finished.warnings[0] if finished.warnings else ""
    if finished.reason is not FinishReason.STOP:
        problem = f"the answer was cut off after {finished.new_tokens} tokens: raise max_tokens, or bound the schema"
    if not problem:
        try:
            return json.loads(finished.text)
        except ValueError:
            problem = "the answer is no JSON"
    raise NodeError(Code.GENERATION, f"no value for output_schema: {problem}", details)


def acceptance_rate(inference: Inference, finished: Finished) -> float | None:
    """Of the guesses that were verified, 0 if there were none; None if none were asked for."""
    if not inference.speculates:
        return None
    return finished.drafts_kept / finished.drafted if finished.drafted else 0.0


def features(inference: Inference) -> tuple[str, ...]:
    """The optional fields that had a part in it, for traces."""
    return tuple(name for name in _FEATURES if getattr(inference, name) is not None)

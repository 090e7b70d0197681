"""What inference tools take."""

import json
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runtime.dag.contract.permission import Permission
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.tools.parameters import one_line


def _nothing(value: Json) -> Json:
    """A template of a field that is missing may give an empty text."""
    return None if value == "" else value


def _schema(value: Json) -> Json:
    """A schema may come as JSON text, as contexts may hold it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON Schema: {error}") from None


Text = Annotated[str | None, BeforeValidator(_nothing)]
Whole = Annotated[int | None, BeforeValidator(_nothing)]
Number = Annotated[float | None, BeforeValidator(_nothing)]


class InferenceArguments(BaseModel):
    """The fields of all contracts. What else there is (n_ctx, n_threads, ...) is passed over: fields that a backend
    does not know are no error. None: the tool's default."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    prompt: str = Field(validation_alias=AliasChoices("prompt", "new_prompt"))
    model: Text = Field(None, validation_alias=AliasChoices("model", "target_model"))
    seed: Whole = Field(None, ge=-(2**63), lt=2**63)
    temperature: Number = Field(None, ge=0)
    top_p: Number = Field(None, gt=0, le=1)
    top_k: Whole = Field(None, ge=0, lt=2**31)
    max_tokens: Whole = Field(None, ge=1)
    output_schema: Annotated[dict[str, Any] | bool | None, BeforeValidator(_schema)] = None
    kv_handle: Text = None
    stop_condition: Text = None
    draft_model: Text = Field(None, validation_alias=AliasChoices("draft_model", "draft_model_id"))
    max_speculative_tokens: Whole = Field(None, ge=0)
    decoder_strategy: Annotated[Literal["greedy", "sampling", "speculative"] | None, BeforeValidator(_nothing)] = None

    @classmethod
    def read(cls, arguments: JsonObject) -> "InferenceArguments":
        """Raises ValueError, in one line."""
        try:
            return cls.model_validate(arguments)
        except ValidationError as error:
            raise ValueError(one_line(error)) from None

    @property
    def speculates(self) -> bool:
        return self.draft_model is not None or self.decoder_strategy == "speculative"

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """Of `reasoning`, for what is made use of; plain text generation needs one only where nothing else does."""
        used = {
            "structured_generate": self.output_schema is not None,
            "speculative_decode": self.speculates,
            "stream_output": self.stop_condition is not None,
        }
        names = [name for name, is_used in used.items() if is_used] or ["llm_generate"]
        return tuple(Permission("reasoning", name) for name in names)

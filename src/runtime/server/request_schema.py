"""What clients send: the OpenAI API's bodies, with some settings of this engine's own.

A field that would change the answer is understood or refused; one that cannot is ignored. null is the same as absent.
"""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MOST_STOPS = 16
Neutral = dict[str, tuple[Any, ...] | None]
Stop = str | list[str]


class Body(BaseModel):
    """neutral: fields that are no part of this, and the values with which they may be ignored; None: with any."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    neutral: ClassVar[Neutral] = {}

    @model_validator(mode="before")
    @classmethod
    def _prune(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value is not None and not cls._is_neutral(key, value)}

    @classmethod
    def _is_neutral(cls, key: str, value: Any) -> bool:
        if key not in cls.neutral:
            return False
        allowed = cls.neutral[key]
        return allowed is None or any(value == one and type(value) is type(one) for one in allowed)


class StreamOptions(Body):
    neutral: ClassVar[Neutral] = {"include_obfuscation": None}
    include_usage: bool = False


class JsonSchema(Body):
    """strict: what cannot be enforced is refused; else it is checked at the end, and reported under "warnings"."""

    neutral: ClassVar[Neutral] = {"description": None}
    name: str = ""
    schema_: dict[str, Any] | bool = Field(alias="schema")
    strict: bool = False


class ResponseFormat(Body):
    """What an answer must be. "regex" and "lark" are this engine's own."""

    type: Literal["text", "json_object", "json_schema", "regex", "lark"]
    json_schema: JsonSchema | None = None
    regex: str | None = None
    lark: str | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> "ResponseFormat":
        for kind in ("json_schema", "regex", "lark"):
            if (getattr(self, kind) is not None) != (self.type == kind):
                raise ValueError(f"'{kind}' belongs to type={kind}, and to that only")
        return self


class GenerationBody(Body):
    """What both kinds of completion have. Settings of sampling that are left out are the server's."""

    neutral: ClassVar[Neutral] = {
        "user": None,
        "metadata": None,
        "store": None,
        "service_tier": None,
        "safety_identifier": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "prompt_cache_options": None,
        "best_of": (1,),
        "echo": (False,),
        "suffix": ("",),
    }

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    stop: Stop = []
    n: int = Field(1, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] = {}
    response_format: ResponseFormat | None = None

    top_k: int | None = Field(None, ge=0, lt=2**31)
    min_p: float | None = Field(None, ge=0, lt=1)
    repetition_penalty: float | None = Field(None, gt=0, le=100)
    priority: int = Field(0, ge=-1000, le=1000)
    deadline: float | None = Field(None, gt=0)

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @field_validator("stop")
    @classmethod
    def _stop_is_short(cls, stop: Stop) -> Stop:
        stops = [stop] if isinstance(stop, str) else stop
        if len(stops) > MOST_STOPS or not all(1 <= len(text) <= 1000 for text in stops):
            raise ValueError(f"at most {MOST_STOPS} texts of 1 to 1000 characters")
        return stop

    @field_validator("logit_bias")
    @classmethod
    def _bias_is_of_tokens(cls, bias: dict[str, float]) -> dict[str, float]:
        for token, value in bias.items():
            if not (token.isascii() and token.isdigit()) or not -100 <= value <= 100:
                raise ValueError(f"{token!r}: {value}: a token's number, and a value between -100 and 100")
        return bias

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> "GenerationBody":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream=true")
        return self


class CompletionBody(GenerationBody):
    """POST /v1/completions. prompt: texts or tokens, one or several."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each by itself."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if prompt and isinstance(prompt[0], int):
            return [[token for token in prompt if isinstance(token, int)]]
        return [one for one in prompt if not isinstance(one, int)]


class TextPart(Body):
    type: Literal["text"]
    text: str


class ChatMessage(Body):
    neutral: ClassVar[Neutral] = {"tool_calls": ([],), "annotations": None, "refusal": None}
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    neutral: ClassVar[Neutral] = GenerationBody.neutral | {
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "parallel_tool_calls": None,
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "prediction": None,
        "verbosity": ("medium",),
        "reasoning_effort": ("none",),
        "audio": (),
        "moderation": (),
        "web_search_options": (),
    }

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens are to be reported with each, None: nothing is."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs=true")
        return self

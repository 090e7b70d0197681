"""What the server answers: the OpenAI API's objects. Fields that have a default are left
out where they have it."""

from typing import Literal

from pydantic import BaseModel, SerializeAsAny

FinishReason = Literal["stop", "length"]
Kind = Literal["chat.completion", "chat.completion.chunk", "text_completion"]


class PromptTokensDetails(BaseModel):
    cached_tokens: int


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]


class CompletionLogprobs(BaseModel):
    """text_offset: where each token's text begins in the answer, in characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class ChatMessage(BaseModel):
    """role is null in all pieces of a message but the first."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class Choice(BaseModel):
    """warnings: this engine's own: what a response_format could not promise."""

    index: int
    finish_reason: FinishReason | None
    warnings: tuple[str, ...] = ()


class ChatChoice(Choice):
    message: ChatMessage
    logprobs: ChatLogprobs | None


class ChatChunkChoice(Choice):
    delta: ChatMessage
    logprobs: ChatLogprobs | None


class CompletionChoice(Choice):
    text: str
    logprobs: CompletionLogprobs | None


class Completion(BaseModel):
    """Whole, or a piece of it."""

    id: str
    object: Kind
    created: int
    model: str
    choices: list[SerializeAsAny[Choice]]
    usage: Usage | None = None


class ModelCard(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelCard]

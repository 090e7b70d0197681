"""From what clients send to the requests that the engine serves."""

import json
from collections.abc import Sequence
from dataclasses import replace

from model.chat_template import Message
from model.errors import ModelFileError
from model.loader import LoadedModel
from runtime.config import HttpConfig
from runtime.grammar.grammar import Grammar
from runtime.request import Request, SamplingParams
from runtime.server.api_error import ApiError
from runtime.server.request_schema import ChatBody, CompletionBody, GenerationBody, ResponseFormat

COMPLETION_TOKENS = 16  # where a text completion does not say how many: the API's default
SAMPLING_FIELDS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


class Translator:
    """Makes one request for each choice: for each prompt, `n` with seeds that follow each other. All of these share the
    memory of their prompt through the prefix index. Methods raise ApiError for what cannot be served."""

    def __init__(
        self,
        loaded: LoadedModel,
        sampling: SamplingParams,
        grammar: Grammar | None,
        limits: HttpConfig,
        context_length: int,
    ) -> None:
        """sampling, grammar: of requests that say nothing of them. context_length: tokens that model and cache hold."""
        self._loaded = loaded
        self._sampling = sampling
        self._grammar = grammar
        self._limits = limits
        self._context_length = context_length

    def chat(self, body: ChatBody, seed: int) -> list[Request]:
        """seed: of a request that has none."""
        if self._loaded.chat_template is None:
            raise ApiError(400, "this model has no chat template: use /v1/completions")
        messages = [
            Message(role="system" if message.role == "developer" else message.role, content=message.text)
            for message in body.messages
        ]
        try:
            prompt = self._loaded.chat_template.encode(messages, self._loaded.encoder)
        except ModelFileError as error:
            raise ApiError(400, str(error), "messages") from None
        room = max(1, self._context_length - len(prompt))
        asked = body.max_completion_tokens or body.max_tokens or min(self._limits.max_new_tokens, room)
        request = self._request(body, asked, body.alternatives, seed)
        if request.grammar is None:
            request = replace(request, stop=request.stop + self._loaded.stop)
        return self._choices(request, [prompt], body.n, "messages")

    def completion(self, body: CompletionBody, seed: int) -> list[Request]:
        """seed: of a request that has none."""
        encode = self._loaded.encoder.encode
        prompts = [encode(one, bos=True) if isinstance(one, str) else one for one in body.prompts]
        request = self._request(body, body.max_tokens or COMPLETION_TOKENS, body.logprobs, seed)
        return self._choices(request, prompts, body.n, "prompt")

    def _request(self, body: GenerationBody, max_new_tokens: int, logprobs: int | None, seed: int) -> Request:
        """What all choices have in common."""
        limit = self._limits.max_new_tokens
        if max_new_tokens > limit:
            raise ApiError(400, f"max_tokens is {max_new_tokens}, and at most {limit} here", "max_tokens")
        grammar = self._grammar if body.response_format is None else _grammar(body.response_format)
        if grammar is not None and body.stops:
            raise ApiError(400, "response_format says where an answer ends: leave out stop", "stop")
        return Request(
            (),
            max_new_tokens,
            body.stops,
            self._loaded.encoder.eos_ids,
            seed=seed if body.seed is None else body.seed,
            sampling=self._sampling_of(body, logprobs),
            grammar=grammar,
            priority=body.priority,
            deadline=min((t for t in (body.deadline, self._limits.timeout) if t is not None), default=None),
        )

    def _sampling_of(self, body: GenerationBody, logprobs: int | None) -> SamplingParams:
        asked = {name: value for name in SAMPLING_FIELDS if (value := getattr(body, name)) is not None}
        bias = {int(token): value for token, value in body.logit_bias.items()}
        return replace(self._sampling, **asked, logit_bias=tuple(bias.items()), logprobs=logprobs)

    def _choices(self, request: Request, prompts: Sequence[Sequence[int]], n: int, param: str) -> list[Request]:
        choices, limits = len(prompts) * n, self._limits
        if not 1 <= choices <= limits.max_choices:
            raise ApiError(400, f"{choices} answers are asked for, and 1 to {limits.max_choices} can be had", "n")
        for prompt in prompts:
            if limits.max_prompt_tokens is not None and len(prompt) > limits.max_prompt_tokens:
                message = f"the prompt has {len(prompt)} tokens, and at most {limits.max_prompt_tokens} are taken"
                raise ApiError(400, message, param, "context_length_exceeded")
            total = len(prompt) + request.max_new_tokens
            if total > self._context_length:
                message = f"the context holds {self._context_length} tokens, and {len(prompt)} in the prompt with "
                message += f"{request.max_new_tokens} for the answer are {total}: shorten the prompt or max_tokens"
                raise ApiError(400, message, param, "context_length_exceeded")
        return [
            replace(request, prompt=tuple(prompt), seed=_wrap(request.seed + i)) for prompt in prompts for i in range(n)
        ]


def _grammar(asked: ResponseFormat) -> Grammar | None:
    if asked.json_schema is not None:
        try:
            source = json.dumps(asked.json_schema.schema_, allow_nan=False)
        except ValueError as error:
            raise ApiError(400, f"the schema is no JSON: {error}", "response_format") from None
        return Grammar("json_schema", source, lenient=not asked.json_schema.strict)
    if asked.regex is not None:
        return Grammar("regex", asked.regex)
    if asked.lark is not None:
        return Grammar("lark", asked.lark)
    return Grammar("json_schema", '{"type": "object"}') if asked.type == "json_object" else None


def _wrap(seed: int) -> int:
    """Into 64 bits with a sign."""
    return (seed + 2**63) % 2**64 - 2**63

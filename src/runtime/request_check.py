"""Whether a request could ever be served."""

import math

from runtime.errors import RequestError
from runtime.memory.block_store import BlockStore
from runtime.request import Request, SamplingParams

MOST_LOGPROBS = 20  # alternatives that can be reported with a token


def check_request(request: Request, store: BlockStore, context_length: int, vocab_size: int) -> None:
    """Raises RequestError, in one line that names the fix, if the request is empty, longer than the context or the
    cache, out of range, or continues the memory of another model."""
    _check_length(request, store, context_length)
    if request.most_drafts is not None and request.most_drafts < 0:
        raise RequestError(f"most_drafts must be 0 or more, not {request.most_drafts}")
    if not all(0 <= token < vocab_size for token in request.prompt):
        raise RequestError(f"the prompt holds a token that is not in 0..{vocab_size - 1}, the model's vocabulary")
    if request.grammar is not None and request.stop:
        raise RequestError("a grammar says itself where an answer ends: leave out the stop strings")
    if request.deadline is not None and not request.deadline > 0:
        raise RequestError(f"deadline must be above 0 seconds, not {request.deadline}")
    if not -(2**63) <= request.seed < 2**63:
        raise RequestError(f"seed must fit into 64 bits, not be {request.seed}")
    if (handle := request.resume) is not None:
        for name, theirs, ours in (
            ("model", handle.model, store.model),
            ("layout", handle.layout, store.memory.layout),
        ):
            if theirs != ours:
                raise RequestError(f"the handle is of the {name} {theirs!r}, here it is {ours!r}")
    _check_sampling(request.sampling, vocab_size)


def _check_length(request: Request, store: BlockStore, context_length: int) -> None:
    prompt, new = len(request.prompt), request.max_new_tokens
    if prompt == 0:
        raise RequestError("a prompt is empty: it needs at least one token")
    if new < 1 and not (new == 0 and request.keep):
        raise RequestError(f"max_new_tokens must be 1 or more (or 0, with keep), not {new}")
    total = prompt + new
    need = f"a prompt of {prompt} tokens with {new} new ones needs a context of {total} tokens"
    if total > context_length:
        fix = "shorten the prompt or workload.max_new_tokens"
        raise RequestError(f"{need}, but the model's is {context_length}: {fix}")
    if total > store.capacity:
        fix = "raise cache.blocks or cache.memory_mib"
        raise RequestError(f"{need}, but the cache holds {store.capacity}: {fix}")


def _check_sampling(params: SamplingParams, vocab_size: int) -> None:
    ranges = {
        "temperature": 0 <= params.temperature < math.inf,
        "top_k": 0 <= params.top_k < 2**31,
        "top_p": 0 < params.top_p <= 1,
        "min_p": 0 <= params.min_p < 1,
        "repetition_penalty": 0 < params.repetition_penalty < math.inf,
        "presence_penalty": math.isfinite(params.presence_penalty),
        "frequency_penalty": math.isfinite(params.frequency_penalty),
    }
    for name, is_valid in ranges.items():
        if not is_valid:
            raise RequestError(f"{name}={getattr(params, name)} is out of range")
    if params.logprobs is not None and not 0 <= params.logprobs <= MOST_LOGPROBS:
        raise RequestError(f"logprobs must be between 0 and {MOST_LOGPROBS}, not {params.logprobs}")
    for token, bias in params.logit_bias:
        if not 0 <= token < vocab_size or not math.isfinite(bias):
            raise RequestError(
                f"logit_bias of token {token}: the token must be in 0..{vocab_size - 1}, the bias finite"
            )
    if len({token for token, _ in params.logit_bias}) < len(params.logit_bias):
        raise RequestError("logit_bias names a token twice")

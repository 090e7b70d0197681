"""Where a text goes on that has ended."""

from model.token_encoder import TokenEncoder
from runtime.dag.inference.kv_handles import Continuation
from runtime.memory.handle import Handle
from runtime.request import FinishReason


def continuation_of(
    handle: Handle, prompt_tokens: int, text: str, reason: FinishReason, encoder: TokenEncoder
) -> Continuation:
    """The prompt and the text that an inference gave: what ended the text, a control token or a stop text, is no part
    of it. A stop text may begin inside a token; then what comes before it is written in other tokens."""
    tokens = handle.tokens
    if reason is not FinishReason.STOP:
        return Continuation(tokens, handle)
    end = len(tokens)
    while end > prompt_tokens and not text.startswith(before := encoder.decode(tokens[prompt_tokens:end])):
        end -= 1
    if end > prompt_tokens and not encoder.token_bytes(tokens[end - 1]):
        end -= 1  # the control token that ended it
    before = encoder.decode(tokens[prompt_tokens:end])
    return Continuation((*tokens[:end], *encoder.encode(text[len(before) :])), handle)

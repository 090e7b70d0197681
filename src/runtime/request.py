"""A prompt to continue, and how a finished request is reported."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from runtime.grammar.grammar import Grammar
from runtime.memory.handle import Handle


class FinishReason(StrEnum):
    STOP = "stop"  # a stop token, a stop string, the caller's predicate, or the end of what a grammar allows
    LENGTH = "length"  # max_new_tokens reached
    CANCELLED = "cancelled"
    DEADLINE = "deadline"  # not finished in time


@dataclass(frozen=True)
class SamplingParams:
    """How a token is chosen. Penalties and bias come first, then what a grammar allows, then the filters (in the order
    of the decoder's settings), then the draw.

    temperature: 0 is greedy. top_k: 0 is off. top_p: 1 is off. min_p: 0 is off. repetition_penalty: divides positive
    and multiplies negative logits of tokens in the prompt or the answer, 1 is off. presence_penalty, frequency_penalty:
    subtracted once, or for each time, from the logits of tokens in the answer. logit_bias: (token, added to its
    logit). logprobs: so many likely alternatives are reported with each token, 0: the token's own log-probability only,
    None: nothing; they are the model's, before any of the above.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None

    @cached_property
    def adjusts_logits(self) -> bool:
        penalties = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
        return bool(self.logit_bias) or penalties != (1.0, 0.0, 0.0)

    @cached_property
    def filters(self) -> bool:
        """Whether the draw is among the likelier tokens only."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1 or self.min_p > 0)


GREEDY = SamplingParams()


@dataclass(frozen=True)
class Request:
    """One prompt to continue.

    prompt: token ids, at least one. max_new_tokens: 0, with keep, asks for the memory of the prompt alone. stop:
    strings that end the answer and are left out of it. stop_tokens: ids that end it and have no text. until: ends the
    answer when it is true of the text so far. seed: keys the random numbers, together with the position. grammar: what
    the answer must be; with it stop strings are refused. priority: higher ones run first. deadline: seconds from
    submission, after which the answer ends as it is. keep: leave a handle on the memory behind, see `Engine.handle`;
    resume: the memory of an earlier request, as far as the prompt begins with its tokens. most_drafts: guesses that a
    step may verify; None: as many as the engine's settings say.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    until: Callable[[str], bool] | None = None
    seed: int = 0
    sampling: SamplingParams = GREEDY
    grammar: Grammar | None = None
    priority: int = 0
    deadline: float | None = None
    keep: bool = False
    resume: Handle | None = None
    most_drafts: int | None = None


class TokenLogprob(NamedTuple):
    """A token's natural log-probability under the model, and the most likely tokens in its place (best first)."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Completion(NamedTuple):
    """A finished request: its new tokens (a stop token included), their text (a stop string left out), why it ended,
    log-probabilities if it asked for them, and what a lenient grammar could not promise."""

    tokens: list[int]
    text: str
    reason: FinishReason
    logprobs: list[TokenLogprob | None]
    warnings: tuple[str, ...] = ()

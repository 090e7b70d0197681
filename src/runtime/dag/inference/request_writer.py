"""From what a node asks for to a request of the engine."""

import json

from model.token_encoder import TokenEncoder
from runtime.dag.errors import Code, NodeError
from runtime.dag.inference.inference import Inference
from runtime.dag.inference.kv_handles import Continuation
from runtime.dag.inference.model_card import ModelCard
from runtime.grammar.grammar import Grammar
from runtime.request import Request, SamplingParams


class RequestWriter:
    """room: tokens of the longest sequence that model and cache take."""

    def __init__(self, encoder: TokenEncoder, model: ModelCard, room: int) -> None:
        self._encoder = encoder
        self._model = model
        self._room = room

    def write(self, inference: Inference, past: Continuation | None) -> Request:
        """past: what the prompt is appended to. Raises NodeError for what this model cannot do."""
        self._check_model(inference)
        prompt = self._prompt(inference.prompt, past)
        room = self._room - len(prompt)
        if room < 1:
            text = f"the prompt has {len(prompt)} tokens, and model and cache take {self._room} with the answer"
            raise NodeError(Code.INVALID_INPUT, f"{text}: shorten it, or raise model.max_context or cache.memory_mib")
        stop, stop_tokens = self._stop(inference.stop_condition)
        is_greedy = inference.decoder_strategy == "greedy"
        sampling = SamplingParams(0.0 if is_greedy else inference.temperature, inference.top_k, inference.top_p)
        return Request(
            prompt,
            min(inference.max_tokens, room),
            stop,
            stop_tokens,
            seed=inference.seed,
            sampling=sampling,
            grammar=_grammar(inference.output_schema),
            keep=inference.keep,
            resume=past.handle if past else None,
            most_drafts=0
            if is_greedy or inference.decoder_strategy == "sampling"
            else inference.max_speculative_tokens,
        )

    def notes(self, inference: Inference) -> tuple[str, ...]:
        """What is done otherwise than asked."""
        wanted = inference.draft_model
        if wanted is None or wanted == self._model.draft_model:
            return ()
        drafter = self._model.draft_model or "looking up what the text had before"
        return (f"draft_model {wanted!r} is not loaded: guesses come from {drafter}",)

    def _check_model(self, inference: Inference) -> None:
        wanted = inference.model
        if wanted is not None and not self._model.is_called(wanted):
            names = ", ".join(sorted({self._model.name, *self._model.aliases}))
            text = f"there is no model {wanted!r} here, but {names}: leave `model` out, or load it"
            raise NodeError(Code.RESOURCE_UNAVAILABLE, text)
        if inference.speculates and not self._model.drafts:
            text = "this engine makes no guesses: start it with speculation=ngram or speculation=draft_model"
            raise NodeError(Code.UNSUPPORTED_CAPABILITY, text, {"capability": "speculative_decode"})

    def _prompt(self, text: str, past: Continuation | None) -> tuple[int, ...]:
        try:
            tokens = self._encoder.encode(text, bos=past is None)
        except UnicodeError as error:
            raise NodeError(Code.INVALID_INPUT, f"the prompt is no text: {error}") from error
        if not tokens and past is None:
            raise NodeError(Code.INVALID_INPUT, "the prompt is empty: give some text to continue")
        return (*(past.tokens if past else ()), *tokens)

    def _stop(self, condition: str | None) -> tuple[tuple[str, ...], frozenset[int]]:
        """Texts and tokens that end the answer; the model's own end always does."""
        if condition is None:
            return (), self._encoder.eos_ids
        token = self._encoder.special_ids.get(condition)
        if token is not None:
            return (), self._encoder.eos_ids | {token}
        return (condition,), self._encoder.eos_ids


def _grammar(schema: object) -> Grammar | None:
    if schema is None:
        return None
    try:
        return Grammar("json_schema", json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise NodeError(Code.INVALID_INPUT, "output_schema is no JSON, or nests too deep: simplify it") from error

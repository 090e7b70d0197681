"""A model of this project as one of EleutherAI's Language Model Evaluation Harness, under the name `agentic`.

    pip install -e '.[eval]'
    python -m runtime.lm_eval_adapter run --model agentic --tasks lambada_openai
        --model_args model=file model.source=model.gguf batching.token_budget=1024

The command is the harness's own (`lm-eval`), which knows the model because this module is what starts it; the model's
arguments are settings of `python -m runtime.run`. From Python: `lm_eval.simple_evaluate(HarnessModel.compose([...]))`.
Answers are scored and generated in batches of this project's making: the harness's batch sizes mean nothing here.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

from hydra.errors import HydraException
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string
from omegaconf.errors import OmegaConfBaseException
from rich.progress import track

from model.errors import ModelFileError
from runtime.assembly import Assembly, assemble
from runtime.command_line import compose_settings, explain
from runtime.errors import UserError
from runtime.evaluation.evaluation import context_length, make_scorer
from runtime.evaluation.span import Score, Span, continuation_span, start_token, window_spans
from runtime.events import Finished
from runtime.request import Request

MAX_NEW_TOKENS = 256  # the harness's own default


@register_model("agentic")
class HarnessModel(LM):
    """What the harness asks of a model, with its conventions: white space at the end of a context belongs to the
    continuation; a text without context stands behind the model's start token; generation is greedy."""

    def __init__(self, assembly: Assembly) -> None:
        super().__init__()
        self._assembly = assembly
        self._encoder = assembly.loaded.encoder
        self._window = context_length(assembly)

    @classmethod
    def compose(cls, overrides: Sequence[str]) -> "HarnessModel":
        """The model of these settings, as on the command line of runtime.run. Raises UserError or ModelFileError."""
        return cls(assemble(compose_settings(overrides)))

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: Any = None) -> "HarnessModel":
        """arg_dict: settings; additional_config: the harness's batch size and device, which are settings here."""
        return cls.compose([f"{key}={_quoted(value)}" for key, value in arg_dict.items()])

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Any = None) -> "HarnessModel":
        """The same from `setting=value,setting=value`."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string))

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        spans = [self._span(*request.args) for request in requests]
        return [(score.log_prob, all(score.best)) for score in self._scores(spans, "log-likelihoods")]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        texts = [self._windows(request.args[0]) for request in requests]
        scores = iter(self._scores([span for spans in texts for span in spans], "rolling log-likelihoods"))
        return [math.fsum(next(scores).log_prob for _ in spans) for spans in texts]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        asked = [self._request(*request.args) for request in requests]
        texts = dict.fromkeys(range(len(asked)), "")
        finished = (event for event in self._assembly.engine().serve(asked) if isinstance(event, Finished))
        for event in track(finished, "answers", total=len(asked)):
            texts[event.request] = event.text
        return list(texts.values())

    def _span(self, context: str, continuation: str) -> Span:
        kept = context.rstrip()
        return continuation_span(self._encoder, kept, context[len(kept) :] + continuation, self._window)

    def _windows(self, text: str) -> list[Span]:
        tokens, start = self._encoder.encode(text), start_token(self._encoder)
        return window_spans([start, *tokens], self._window, self._window)

    def _scores(self, spans: Sequence[Span], title: str) -> list[Score]:
        steps = make_scorer(self._assembly).steps(spans)
        return list(track((score for _, done in steps for score in done), title, total=len(spans)))

    def _request(self, context: str, settings: dict[str, Any]) -> Request:
        if settings.get("do_sample") or settings.get("temperature"):
            raise UserError("generation is greedy: leave do_sample and temperature out of the task's generation_kwargs")
        until = settings.get("until") or []
        new_tokens = min(settings.get("max_gen_toks", MAX_NEW_TOKENS), self._window - 1)
        prompt = self._encoder.encode(context, bos=True) or [start_token(self._encoder)]
        return Request(
            tuple(prompt[-(self._window - new_tokens) :]),
            new_tokens,
            (until,) if isinstance(until, str) else tuple(filter(None, until)),
            self._encoder.eos_ids,
        )


def _quoted(value: object) -> str:
    """As Hydra reads it: a source such as pypi:<name>==<version>/<file> has to be quoted."""
    return f"'{value}'" if "=" in str(value) else str(value)


if __name__ == "__main__":
    try:
        cli_evaluate()
    except (HydraException, OmegaConfBaseException, UserError, ModelFileError) as error:
        sys.exit(f"error: {explain(error)}")

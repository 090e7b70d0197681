"""Conversations with the toy model, in words of the tiny model's tokenizer."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import torch
from tiny_model import CHATML
from toy_model import ToyExecutor, ToyPages, ToyStates, reference_ops, toy_logits

from model.chat_template import ChatTemplate
from model.loader import LoadedModel, load_model
from model.sequence_step import SequenceStep
from runtime.assembly import Assembly
from runtime.chat.conversation import Conversation
from runtime.command_line import compose_settings
from runtime.config import ChatWorkload, RunConfig
from runtime.engine import Engine
from runtime.events import Event, Prefilled

END = 2  # <|im_end|>, of which the toy model is fond
CONTEXT = 2048
PLAIN = [END, *(3 + byte for byte in b"abth. \n")]  # which spell "th" otherwise than the tokenizer
ANYTHING = list(range(256))


class SpeakingExecutor(ToyExecutor):
    """The toy model, restricted to some tokens."""

    def __init__(self, cache: ToyPages | ToyStates, tokens: Sequence[int]) -> None:
        super().__init__(cache)
        self.tokens = tokens

    def step(self, steps: list[SequenceStep]) -> torch.Tensor:
        return _restricted(super().step(steps), self.tokens)


def _restricted(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    masked = torch.full_like(logits, -torch.inf)
    masked[:, tokens] = logits[:, tokens]
    return masked


def toy_assembly(
    tiny_gguf: Path,
    *overrides: str,
    recurrent: bool = False,
    tokens: Sequence[int] = PLAIN,
    template: str = CHATML,
    blocks: int | None = None,
    fingerprint: str = "toy",
    prefix: str = "none",
) -> Assembly:
    loaded = replace(_load(tiny_gguf), model=SimpleNamespace(max_context=CONTEXT), chat_template=ChatTemplate(template))
    cache = ToyStates(blocks or 64) if recurrent else ToyPages(blocks or 1024, 4)
    executor = SpeakingExecutor(cache, tokens)
    return Assembly(_read((*overrides, f"cache.prefix={prefix}")), reference_ops(), loaded, executor, fingerprint)  # type: ignore[arg-type]


@cache
def _load(path: Path) -> LoadedModel:
    return load_model(path)


@cache
def _read(overrides: tuple[str, ...]) -> RunConfig:
    return compose_settings(["workload=chat", "workload.max_new_tokens=12", *overrides])


def toy_conversation(assembly: Assembly, engine: Engine | None = None) -> Conversation:
    workload = assembly.config.workload
    assert isinstance(workload, ChatWorkload)
    return Conversation(assembly, engine or assembly.engine(), workload)


def hear(conversation: Conversation, question: str, stop_after: int = 10**6) -> tuple[str, list[Event]]:
    """The answer and all events; stops it after so many steps."""
    steps = iter(range(stop_after))
    events = list(conversation.ask(question, lambda: next(steps, None) is None))
    return conversation.messages[-1]["content"] if conversation.messages else "", events


def fed(events: Sequence[Event]) -> int:
    return sum(event.tokens for event in events if isinstance(event, Prefilled))


def expected_answer(loaded: LoadedModel, prompt: Sequence[int], tokens: Sequence[int], limit: int = 12) -> list[int]:
    """What the restricted toy model writes after the prompt, without an engine."""
    answer: list[int] = []
    while len(answer) < limit and not (answer and answer[-1] in loaded.encoder.eos_ids):
        answer.append(int(_restricted(toy_logits([*prompt, *answer])[None], tokens).argmax()))
    return answer

"""The threads of each kind of requests, of given sizes, from real text: the same ones every time."""

import json
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from model.loader import LoadedModel
from runtime.comparison.settings import (
    ConversationRequests,
    JsonRequests,
    LatecomerRequests,
    MixedRequests,
    PlainRequests,
    QuestionRequests,
    RepeatingRequests,
    Requests,
    SharedPrefixRequests,
)
from runtime.comparison.thread import Thread
from runtime.errors import ConfigError, UserError
from runtime.text_file import Line, json_object, read_lines


class Passages:
    """Hands out the tokens of a text, each once. where: names the text in an error."""

    def __init__(self, tokens: list[int], where: str) -> None:
        self._tokens = iter(tokens)
        self._length = len(tokens)
        self._where = where

    def take(self, count: int) -> tuple[int, ...]:
        """The next `count` tokens. Raises ConfigError if there are no more."""
        passage = tuple(islice(self._tokens, count))
        if len(passage) < count:
            fix = "ask less in workload.requests, or give a longer workload.text"
            raise ConfigError(f"{self._where} has only {self._length} tokens: {fix}")
        return passage


def make_threads(requests: Requests, passages: Passages, loaded: LoadedModel) -> list[Thread]:
    """What the clients of this kind ask of a model. Raises UserError if the texts for it are missing, or too short."""
    match requests:
        case SharedPrefixRequests():
            shared = passages.take(requests.shared_tokens)
            turns = [(passages.take(requests.own_tokens),) for _ in range(requests.count)]
            return [Thread(turn, requests.new_tokens, opening=shared) for turn in turns]
        case LatecomerRequests():
            return _latecomers(requests, passages)
        case ConversationRequests():
            return [
                Thread(_turns(requests.turns, requests.turn_tokens, passages), requests.new_tokens, remembers=True)
                for _ in range(requests.count)
            ]
        case QuestionRequests():
            return [
                Thread(
                    opening=passages.take(requests.document_tokens),
                    turns=_turns(requests.questions, requests.question_tokens, passages),
                    new_tokens=requests.new_tokens,
                )
                for _ in range(requests.documents)
            ]
        case PlainRequests():
            prompts = [passages.take(requests.prompt_tokens) for _ in range(requests.count)]
            return [Thread((prompt,), requests.new_tokens, temperature=requests.temperature) for prompt in prompts]
        case MixedRequests():
            return _mixed(requests, passages)
        case RepeatingRequests():
            prompts = [passages.take(requests.passage_tokens) * requests.repeats for _ in range(requests.count)]
            return [Thread((prompt,), requests.new_tokens, temperature=requests.temperature) for prompt in prompts]
        case JsonRequests():
            return _json_tasks(requests, loaded)


def _turns(count: int, tokens: int, passages: Passages) -> tuple[tuple[int, ...], ...]:
    return tuple(passages.take(tokens) for _ in range(count))


def _mixed(requests: MixedRequests, passages: Passages) -> list[Thread]:
    random = Random(requests.count)
    return [
        Thread(
            (passages.take(random.randint(requests.shortest_prompt, requests.longest_prompt)),),
            random.randint(requests.fewest_new, requests.most_new),
        )
        for _ in range(requests.count)
    ]


def _latecomers(requests: LatecomerRequests, passages: Passages) -> list[Thread]:
    first, late = requests.first, requests.late
    threads = [Thread((passages.take(first.prompt_tokens),), first.new_tokens) for _ in range(first.count)]
    return threads + [
        Thread(
            (passages.take(late.prompt_tokens),),
            late.new_tokens,
            after=requests.every * i,
            priority=int(requests.urgent),
        )
        for i in range(1, late.count + 1)
    ]


def _json_tasks(requests: JsonRequests, loaded: LoadedModel) -> list[Thread]:
    """Prompts in the model's chat template; an answer ends where a turn would."""
    template = loaded.chat_template
    if template is None:
        raise ConfigError("requests of the kind json need a model with a chat template")
    threads = []
    for line in read_lines(Path(requests.path)):
        messages, schema = (_part(line, key, kind) for key, kind in (("messages", list), ("schema", dict)))
        prompt = tuple(template.encode(messages, loaded.encoder))
        stops = loaded.encoder.eos_ids
        threads.append(Thread((prompt,), requests.new_tokens, schema=json.dumps(schema), stop_tokens=stops))
    if not threads:
        raise UserError(f"{requests.path}: there is nothing in it")
    return threads


def _part(line: Line, key: str, kind: type) -> Any:
    value = json_object(line).get(key)
    if not isinstance(value, kind):
        raise UserError(f"{line.where}: '{key}' must be there, as a JSON {'array' if kind is list else 'object'}")
    return value

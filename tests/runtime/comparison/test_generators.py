"""Threads are of the sizes asked for, and the same every time."""

import json
from pathlib import Path

import pytest

from model.loader import LoadedModel, load_model
from runtime.command_line import CONF
from runtime.comparison.generators import Passages, make_threads
from runtime.comparison.settings import (
    ConversationRequests,
    JsonRequests,
    LatecomerRequests,
    MixedRequests,
    PlainRequests,
    QuestionRequests,
    RepeatingRequests,
    Requests,
    RequestSizes,
    SharedPrefixRequests,
)
from runtime.comparison.thread import Thread
from runtime.errors import ConfigError, UserError

DATA = CONF.parent / "experiments" / "data"
TOKENS = list(range(1000))
KINDS: list[Requests] = [
    SharedPrefixRequests("shared_prefix", count=3, shared_tokens=10, own_tokens=4, new_tokens=5),
    LatecomerRequests("latecomers", RequestSizes(2, 3, 4), RequestSizes(3, 50, 2), every=7, urgent=True),
    ConversationRequests("conversation", count=2, turns=3, turn_tokens=5, new_tokens=4),
    QuestionRequests("questions", documents=2, document_tokens=20, questions=3, question_tokens=2, new_tokens=1),
    PlainRequests(count=2, prompt_tokens=6, new_tokens=3, name="plain", temperature=1.0),
    RepeatingRequests("repeating", count=2, passage_tokens=5, repeats=3, new_tokens=8, temperature=0.0),
    JsonRequests("json", str(DATA / "json_tasks.jsonl"), new_tokens=9),
    MixedRequests("mixed", count=4, shortest_prompt=2, longest_prompt=9, fewest_new=1, most_new=5),
]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(CONF.parent / "experiments" / "models" / "llama-1m")


def threads(requests: Requests, loaded: LoadedModel) -> list[Thread]:
    return make_threads(requests, Passages(TOKENS, "a text"), loaded)


@pytest.mark.parametrize("requests", KINDS, ids=lambda requests: requests.name)
def test_they_are_the_same_every_time(requests: Requests, loaded: LoadedModel) -> None:
    assert threads(requests, loaded) == threads(requests, loaded)
    assert {thread.new_tokens for thread in threads(requests, loaded)} <= {1, 2, 3, 4, 5, 8, 9}


def test_a_prefix_is_shared_and_the_rest_is_not(loaded: LoadedModel) -> None:
    prompts = [thread.prompt(0, []) for thread in threads(KINDS[0], loaded)]
    assert [len(prompt) for prompt in prompts] == [14] * 3
    assert len({prompt[:10] for prompt in prompts}) == 1
    assert len({token for prompt in prompts for token in prompt[10:]}) == 12


def test_mixed_requests_are_of_sizes_within_bounds(loaded: LoadedModel) -> None:
    mixed = threads(MixedRequests("mixed", 40, shortest_prompt=2, longest_prompt=9, fewest_new=1, most_new=5), loaded)
    assert {len(thread.prompt(0, [])) for thread in mixed} == set(range(2, 10))
    assert {thread.new_tokens for thread in mixed} == set(range(1, 6))
    with pytest.raises(ConfigError, match="must not be more than the most"):
        MixedRequests("mixed", 4, shortest_prompt=5, longest_prompt=4, fewest_new=1, most_new=5)


def test_latecomers_come_one_by_one_with_a_higher_priority(loaded: LoadedModel) -> None:
    found = [(thread.after, thread.priority, len(thread.prompt(0, []))) for thread in threads(KINDS[1], loaded)]
    assert found == [(0, 0, 3), (0, 0, 3), (7, 1, 50), (14, 1, 50), (21, 1, 50)]


def test_a_conversation_remembers_what_was_said_and_answered(loaded: LoadedModel) -> None:
    thread = threads(KINDS[2], loaded)[0]
    answers = [[7, 7], [8]]
    prompt = thread.prompt(2, answers)
    assert prompt == (*thread.turns[0], 7, 7, *thread.turns[1], 8, *thread.turns[2])
    assert len(thread.longest_prompt()) == 3 * 5 + 2 * 4


def test_a_document_is_asked_without_the_questions_before(loaded: LoadedModel) -> None:
    thread = threads(KINDS[3], loaded)[0]
    prompts = [thread.prompt(turn, [[9]] * turn) for turn in range(3)]
    assert {len(prompt) for prompt in prompts} == {22} and len({prompt[:20] for prompt in prompts}) == 1


def test_a_passage_comes_again(loaded: LoadedModel) -> None:
    (prompt, other) = (thread.prompt(0, []) for thread in threads(KINDS[5], loaded))
    assert prompt == prompt[:5] * 3 and not set(prompt) & set(other)


def test_tasks_have_schemas_of_their_own(loaded: LoadedModel) -> None:
    tasks = threads(KINDS[6], loaded)
    names = [json.loads(task.schema or "")["properties"]["name"]["const"] for task in tasks]
    assert len(set(names)) == len(tasks) == 12
    assert all(name in loaded.encoder.decode(task.prompt(0, [])) for name, task in zip(names, tasks, strict=True))
    assert all(task.stop_tokens == loaded.encoder.eos_ids for task in tasks)


def test_too_short_a_text_is_named(loaded: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="a text has only 10 tokens"):
        make_threads(KINDS[0], Passages(TOKENS[:10], "a text"), loaded)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "nothing in it"), ('{"messages": 3}', "line 1: 'messages' must be there, as a JSON array")],
)
def test_a_file_without_tasks_is_named(tmp_path: Path, loaded: LoadedModel, content: str, message: str) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        threads(JsonRequests("json", str(path), 1), loaded)

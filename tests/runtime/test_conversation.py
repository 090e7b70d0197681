"""Conversations with a model whose memory is pages, or a state that cannot be cut: nobody can tell by the answers."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tiny_model import CHATML
from torch.nn.functional import one_hot
from toy_chat import ANYTHING, PLAIN, expected_answer, fed, hear, toy_assembly, toy_conversation
from toy_model import ToyExecutor, ToyStates

from model.chat_template import Message
from model.errors import ModelFileError
from model.sequence_step import SequenceStep
from model.world_chat import WORLD_STOP, world_chat_template
from model.world_encoder import world_encoder
from runtime.assembly import Assembly
from runtime.chat.conversation import UNDOABLE, Conversation
from runtime.chat.turn import unpack
from runtime.errors import RequestError, UserError
from runtime.events import Finished, Submitted, TokenAccepted

families = pytest.mark.parametrize("recurrent", [False, True])
TRIMMING = CHATML.replace("message['content']", "message['content'] | trim")
COUNTING = "{{ messages | length }}" + CHATML  # no turn's text begins with that of the turn before
FORGETFUL = CHATML.replace("message['content']", "(message['content'] if message['role'] == 'user' else '')")
NAMES = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n\n' }}{% endfor %}assistant:"
ACTIONS = ["ask", "ask", "ask", "stop", "undo", "undo", "save", "load", "reset"]
TEMPLATES = [CHATML, TRIMMING, COUNTING, FORGETFUL, NAMES]


@families
def test_a_turn_is_fed_its_new_tokens_only(tiny_gguf: Path, recurrent: bool) -> None:
    assembly = toy_assembly(tiny_gguf, "workload.system=be brief", recurrent=recurrent)
    conversation = toy_conversation(assembly)
    before = 0
    for question in ("first", "th second", "third"):
        answer, events = hear(conversation, question)
        (submitted,) = [event for event in events if isinstance(event, Submitted)]
        tokens = [event.token for event in events if isinstance(event, TokenAccepted)]
        assert fed(events) == submitted.prompt_tokens - before
        new_text = f"<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        if before:
            assert fed(events) <= len(assembly.loaded.encoder.encode(new_text, special=True)) + 1
        before = submitted.prompt_tokens + len(tokens) - 1  # the last token has not been read
        assert answer == assembly.loaded.encoder.decode(tokens)


@families
def test_a_taken_back_question_is_answered_alike_when_asked_again(tiny_gguf: Path, recurrent: bool) -> None:
    conversation = toy_conversation(toy_assembly(tiny_gguf, recurrent=recurrent))
    heard = [hear(conversation, question) for question in ("one", "two", "three")]
    assert (conversation.undo(), conversation.undo()) == ("three", "two")
    hear(conversation, "two", stop_after=0)  # not asked
    assert hear(conversation, "another")[0] != heard[1][0]
    conversation.undo()
    for question, (answer, events) in zip(("two", "three"), heard[1:], strict=True):
        again, events_again = hear(conversation, question)
        assert again == answer and fed(events_again) == fed(events)  # and so the same to the last bit


@families
def test_turns_are_taken_back_as_far_as_is_promised(tiny_gguf: Path, recurrent: bool) -> None:
    conversation = toy_conversation(toy_assembly(tiny_gguf, "workload.max_new_tokens=1", recurrent=recurrent))
    with pytest.raises(UserError, match=r"there is no turn to take back$"):
        conversation.undo()
    for i in range(UNDOABLE + 2):
        hear(conversation, str(i))
    assert [conversation.undo() for _ in range(UNDOABLE)] == [str(i) for i in range(UNDOABLE + 1, 1, -1)]
    with pytest.raises(UserError, match="only 32"):
        conversation.undo()
    assert [message["content"] for message in conversation.messages[::2]] == ["0", "1"]
    conversation.reset()
    assert conversation.messages == ()


@families
def test_a_stopped_answer_counts_as_far_as_it_came(tiny_gguf: Path, recurrent: bool) -> None:
    assembly = toy_assembly(tiny_gguf, recurrent=recurrent, tokens=PLAIN[1:])
    conversation = toy_conversation(assembly)
    whole, _ = hear(conversation, "one")
    conversation.undo()
    part, events = hear(conversation, "one", stop_after=4)
    assert whole.startswith(part) and 0 < len(part) < len(whole)
    assert [event.reason for event in events if isinstance(event, Finished)] == ["cancelled"]
    _, events = hear(conversation, "two")
    assert 0 < fed(events) < 60 and len(conversation.messages) == 4
    hear(conversation, "three", stop_after=0)  # before anything came: it was not asked
    assert len(conversation.messages) == 4
    abandoned = conversation.ask("four", lambda: False)
    for _ in range(6):
        next(abandoned)
    abandoned.close()
    assert conversation.messages[4]["content"] == "four" and len(conversation.messages) == 6
    hear(conversation, "five")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.data(),
    st.booleans(),
    st.sampled_from(["none", "radix"]),
    st.sampled_from(TEMPLATES),
    st.sampled_from([PLAIN, ANYTHING]),
    st.integers(1, 3),
)
def test_whatever_happens_each_answer_is_that_of_a_fresh_engine(
    tiny_gguf: Path,
    tmp_path: Path,
    data: st.DataObject,
    recurrent: bool,
    prefix: str,
    template: str,
    tokens: list[int],
    count: int,
) -> None:
    """Turns, stops, undo, save, load and reset of conversations that take the memory from each other, beside what was
    said: a list of messages for each turn."""
    blocks = 2 if recurrent else 150
    assembly = toy_assembly(
        tiny_gguf, recurrent=recurrent, tokens=tokens, template=template, blocks=blocks, prefix=prefix
    )
    engine, loaded = assembly.engine(), assembly.loaded
    conversations = [toy_conversation(assembly, engine) for _ in range(count)]
    said: list[list[tuple[str, ...]]] = [[()] for _ in range(count)]
    saved: list[tuple[str, ...]] | None = None
    for action in data.draw(st.lists(st.sampled_from(ACTIONS), min_size=6, max_size=14)):
        i = data.draw(st.integers(0, count - 1))
        conversation, turns = conversations[i], said[i]
        if action in ("ask", "stop"):
            question = data.draw(st.sampled_from(["a", "a b", "th", "<|im_end|>", "ä\n"]))
            prompt, answer = ask(conversation, question, 10**6 if action == "ask" else data.draw(st.integers(0, 5)))
            expected = expected_answer(loaded, prompt, tokens)
            assert answer == expected if action == "ask" else answer == expected[: len(answer)]
            roles = zip(["user", "assistant"] * 99, (*turns[-1], question), strict=False)
            messages = [Message(role=role, content=content) for role, content in roles]
            assert spelled(assembly, prompt) == spelled(assembly, loaded.chat_template.encode(messages, loaded.encoder))
            if answer:
                turns.append((*turns[-1], question, conversation.messages[-1]["content"]))
        elif action == "undo" and len(turns) > 1:
            conversation.undo()
            turns.pop()
        elif action == "save" and len(turns) > 1:
            conversation.save(tmp_path / "saved")
            saved = list(turns)
        elif action == "load" and saved:
            conversation.load(tmp_path / "saved")
            said[i] = list(saved)
        elif action == "reset":
            conversation.reset()
            said[i] = [()]
        assert tuple(message["content"] for message in conversation.messages) == said[i][-1]
        engine.store.allocator.check()


def ask(conversation: Conversation, question: str, stop_after: int) -> tuple[tuple[int, ...], list[int]]:
    """The prompt as it was fed, and the answer's tokens."""
    requests = []
    submit = conversation._engine.submit
    conversation._engine.submit = lambda request: requests.append(request) or submit(request)  # type: ignore[method-assign]
    _, events = hear(conversation, question, stop_after)
    conversation._engine.submit = submit  # type: ignore[method-assign]
    return requests[-1].prompt, [event.token for event in events if isinstance(event, TokenAccepted)]


def spelled(assembly: Assembly, tokens: Sequence[int]) -> list[bytes]:
    """The text between control tokens, and the control tokens."""
    encoder = assembly.loaded.encoder
    parts, text = [], b""
    for token in tokens:
        if token in encoder.special_ids.values():
            parts += [text, str(token).encode()]
            text = b""
        text += encoder.token_bytes(token)
    return [*parts, text]


@families
def test_a_saved_conversation_goes_on_in_another_process(tiny_gguf: Path, tmp_path: Path, recurrent: bool) -> None:
    conversation, other = (toy_conversation(toy_assembly(tiny_gguf, recurrent=recurrent)) for _ in range(2))
    answers = [hear(conversation, question)[0] for question in ("one", "two")]
    path = tmp_path / "saved.safetensors"
    conversation.save(path)
    hear(other, "something else")
    other.load(path)
    assert other.messages == conversation.messages
    with safe_open(str(path), framework="pt") as file:
        assert file.metadata()["layout"] == ("toy states" if recurrent else "toy pages")
    (expected, _), (answer, events) = hear(conversation, "three"), hear(other, "three")
    assert answer == expected and fed(events) < 50
    assert (other.undo(), other.undo()) == ("three", "two")
    assert hear(other, "two")[0] == answers[1]
    assert (other.undo(), other.undo()) == ("two", "one")
    with pytest.raises(UserError, match="no turn"):
        other.undo()
    assert hear(other, "one")[0] == answers[0]


@families
def test_what_cannot_be_loaded_or_saved_is_refused_and_the_conversation_goes_on(
    tiny_gguf: Path, tmp_path: Path, recurrent: bool
) -> None:
    conversation = toy_conversation(toy_assembly(tiny_gguf, recurrent=recurrent))
    with pytest.raises(UserError, match="nothing to save"):
        conversation.save(tmp_path / "empty")
    hear(conversation, "one")
    path = tmp_path / "saved"
    conversation.save(path)
    before = conversation.messages
    for other, words in (
        (toy_assembly(tiny_gguf, recurrent=not recurrent), "laid out as"),
        (toy_assembly(tiny_gguf, recurrent=recurrent, fingerprint="another"), "saved with the model"),
    ):
        stranger = toy_conversation(other)
        with pytest.raises(ModelFileError, match=words):
            stranger.load(path)
        hear(stranger, "one")
        assert len(stranger.messages) == 2
    (tmp_path / "mine").write_bytes(b"my data")
    with pytest.raises(UserError, match="no saved conversation"):
        conversation.save(tmp_path / "mine")
    with pytest.raises(ModelFileError, match="cannot be read"):
        conversation.load(tmp_path / "mine")
    with pytest.raises(ModelFileError, match="cannot be written"):
        conversation.save(tmp_path / "missing" / "file")
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        with contextlib.suppress(ModelFileError):  # not every byte matters
            conversation.load(path)
            conversation.load(make_good(path, content))
    assert conversation.messages == before
    assert len(hear(conversation, "two")[1]) > 1 and len(conversation.messages) == 4


def make_good(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"", "damaged"),
        (b"[" * 5000, "damaged"),
        (b'{"messages": 3, "turns": []}', "damaged"),
        (b'{"messages": [], "turns": []}', "damaged"),
        (b'{"messages": [], "turns": [[0, 3, []]]}', "damaged"),
        (b'{"messages": [], "turns": [[0, 2, [1]]]}', "damaged"),
        (b'{"messages": [], "turns": [[0, 3, [1e999]]]}', "damaged"),
        (b'{"messages": [], "turns": [[0, 3, [9999]]]}', "damaged"),
        (b'{"messages": [], "turns": [[-1, 3, [1]]]}', "damaged"),
        (b'{"messages": [{"role": 3, "content": "a"}], "turns": [[1, 3, [1]]]}', "damaged"),
        (b'{"messages": [{"role": "user", "content": "a"}], "turns": [[0, 3, [1]]]}', "damaged"),
        (b'{"messages": [{"role": "user", "content": "a"}], "turns": [[0, 0, []], [1, 3, [1]]]}', "damaged"),
    ],
)
def test_a_hostile_record_is_refused(record: bytes, words: str) -> None:
    packed = torch.frombuffer(bytearray(record or b" "), dtype=torch.uint8)
    with pytest.raises(ModelFileError, match=words):
        unpack(packed, (1, 2, 3), vocab_size=264)


def test_a_file_without_a_conversation_is_refused() -> None:
    for packed in (None, torch.zeros(3)):
        with pytest.raises(ModelFileError, match="no conversation"):
            unpack(packed, (1, 2, 3), vocab_size=264)


@families
def test_a_full_context_is_said_and_the_conversation_goes_on(tiny_gguf: Path, recurrent: bool) -> None:
    assembly = toy_assembly(tiny_gguf, recurrent=recurrent, tokens=PLAIN[1:])
    conversation = toy_conversation(assembly)
    _, events = hear(conversation, "x" * 1900)
    around = "<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    used = fed(events) + 12 + len(assembly.loaded.encoder.encode(around, special=True))
    with pytest.raises(RequestError, match="its context is full at 2048"):
        hear(conversation, "y" * 200)
    answer, _ = hear(conversation, "z" * (2048 - used - 5))
    assert len(answer) == 5
    conversation.undo()
    assert hear(conversation, "short")[0]


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ([" Hello", " there", ".", "\n\n", "User", ":"], " Hello there."),  # goes on by itself
        ([" Hello", " there", ".", "\n\n", "User", ':"'], " Hello there."),
        ([" Hello", " there", ".", None], " Hello there."),  # a stop token that the template does not write
        ([" Hel", "lo", " th", "er", "e"], " Hello there"),  # as no tokenizer would; ended by its length
        ([" Hello", ".", "\n", "\n", "More", None], " Hello.\n\nMore"),
    ],
)
def test_turns_of_a_world_model_extend_its_state(tiny_gguf: Path, written: list[str | None], answer: str) -> None:
    encoder = world_encoder()
    tokens = [0 if text is None else encoder._tokens.index(text.encode()) for text in written]
    assembly = toy_assembly(tiny_gguf, f"workload.max_new_tokens={len(tokens)}", recurrent=True)
    loaded = replace(assembly.loaded, encoder=encoder, chat_template=world_chat_template(), stop=WORLD_STOP)
    executor = RecitingExecutor(assembly.executor.cache, tokens, encoder.vocab_size)
    conversation = toy_conversation(assembly._replace(loaded=loaded, executor=executor))
    assert hear(conversation, "Hi")[0] == answer
    for question in ("And now?", "What else?"):
        heard, events = hear(conversation, question)
        assert heard == answer
        assert fed(events) <= len(encoder.encode(f".\n\nUser: {question}\n\nAssistant:")) + 1


class RecitingExecutor(ToyExecutor):
    """Says the same tokens over and over."""

    def __init__(self, cache: ToyStates, tokens: list[int], vocab_size: int) -> None:
        super().__init__(cache)
        self.tokens = cycle(tokens)
        self.vocab_size = vocab_size

    def step(self, steps: list[SequenceStep]) -> torch.Tensor:
        rows = super().step(steps).shape[0]
        return torch.stack([one_hot(torch.tensor(next(self.tokens)), self.vocab_size) for _ in range(rows)]).float()


def test_a_question_that_the_template_refuses_changes_nothing(tiny_gguf: Path) -> None:
    template = "{% if messages[-1].content == 'no' %}{{ raise_exception('not that') }}{% endif %}" + CHATML
    conversation = toy_conversation(toy_assembly(tiny_gguf, template=template))
    hear(conversation, "yes")
    with pytest.raises(ModelFileError, match="not that"):
        hear(conversation, "no")
    assert len(conversation.messages) == 2 and hear(conversation, "yes")[0]

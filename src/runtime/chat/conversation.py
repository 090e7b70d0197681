"""A conversation whose turns cost their new tokens only: what was said stays in the model's memory."""

import os.path
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.chat_template import Message
from model.memory import is_saved_sequence, load_sequence
from runtime.assembly import Assembly
from runtime.chat.splice import splice
from runtime.chat.turn import Turn, pack, unpack
from runtime.config import ChatWorkload
from runtime.engine import Engine
from runtime.errors import RequestError, UserError
from runtime.events import Event, Finished, TokenAccepted
from runtime.memory.handle import Handle
from runtime.memory.handle_file import restore_handle, save_handle
from runtime.request import Request
from runtime.workload import opening

UNDOABLE = 32  # turns that can be taken back


@dataclass
class _Answer:
    """What a request has got: its tokens, and their text once it has ended."""

    number: int
    tokens: list[int] = field(default_factory=list)
    text: str | None = None

    def add(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, TokenAccepted) and event.request == self.number:
                self.tokens.append(event.token)
            elif isinstance(event, Finished) and event.request == self.number:
                self.text = event.text


class Conversation:
    """One of the conversations that an engine serves, one after another, with a model of any kind.

    A turn's prompt is the whole conversation as the chat template renders it. Each turn keeps a handle on the memory of
    all before its end: what that begins with is not fed again. If there is less (the memory was needed elsewhere, or
    the template now renders otherwise what was said), the rest is computed again.
    """

    def __init__(self, assembly: Assembly, engine: Engine, workload: ChatWorkload) -> None:
        self._assembly = assembly
        self._engine = engine
        self._workload = workload
        self._requests = assembly.requests(workload)
        self._turns = deque([Turn()], maxlen=UNDOABLE + 1)

    @property
    def messages(self) -> tuple[Message, ...]:
        return self._turns[-1].messages

    def ask(self, question: str, is_stopped: Callable[[], bool]) -> Generator[Event, None, None]:
        """Yields what happens until the answer has ended, at the latest when `is_stopped` says so. What there is of a
        stopped answer is the answer; if there is nothing, the question was not asked.

        Raises RequestError if there is no room for an answer, ModelFileError if the template refuses the question.
        """
        messages, request = self._prepare(question)
        answer = _Answer(self._engine.submit(request))

        def advance(stop: bool) -> list[Event]:
            events = self._engine.cancel_all() if stop else self._engine.step()
            answer.add(events)
            if answer.text is not None:
                self._end_turn(messages, request, answer)
            return events

        try:
            while answer.text is None:
                yield from advance(is_stopped())
        except GeneratorExit:  # nobody is interested any more
            if answer.text is None:
                advance(stop=True)
            raise

    def undo(self) -> str:
        """Takes the last turn back; returns its question. Raises UserError if there is none, or it is too long ago."""
        if len(self._turns) == 1:
            old = f": only {UNDOABLE} can be taken back" if self.messages else ""
            raise UserError(f"there is no turn to take back{old}")
        turn = self._turns.pop()
        self._release(turn)
        return turn.messages[-2]["content"]

    def reset(self) -> None:
        """Forgets everything."""
        self._replace([Turn()])

    def save(self, path: Path) -> None:
        """Writes the conversation and its memory to a Safetensors file, over one that was saved before.

        Raises UserError if there is nothing to save or the file is another's, ModelFileError if it cannot be written.
        """
        turn = self._turns[-1]
        if not turn.tokens:
            raise UserError("there is nothing to save yet")
        if os.path.exists(path) and not is_saved_sequence(path):
            raise UserError(f"{path} exists and is no saved conversation")
        handle = self._whole(turn)
        self._turns[-1] = turn._replace(handle=handle)
        record = pack(list(self._turns), handle.tokens[: handle.computed])
        save_handle(self._engine.store, handle, path, {"conversation": record})

    def load(self, path: Path) -> None:
        """Goes on with a saved conversation instead of this one.

        Raises ModelFileError, and changes nothing, if the file is damaged or another model's; RequestError if the
        memory does not fit.
        """
        saved = load_sequence(path, self._assembly.executor.cache.layout, self._assembly.fingerprint)
        turns = unpack(saved.tensors.pop("conversation", None), saved.tokens, self._assembly.loaded.encoder.vocab_size)
        handle = restore_handle(self._engine.store, saved, self._assembly.loaded.encoder.vocab_size)
        turns[-1] = turns[-1]._replace(handle=handle)
        self._replace(turns)

    def _prepare(self, question: str) -> tuple[tuple[Message, ...], Request]:
        """The messages up to the question, and the request for the answer."""
        asked: Message = {"role": "user", "content": question}
        messages = (*self.messages, asked) if self.messages else tuple(opening(self._workload, question))
        request = self._requests.chat(messages, len(messages))
        turn, encode = self._turns[-1], self._assembly.loaded.encoder.encode
        prompt = splice(turn.tokens, request.prompt, self._spell, encode)
        limit = min(self._engine.context_length, self._engine.store.capacity)
        if len(prompt) >= limit:
            raise RequestError(f"the conversation would have {len(prompt)} tokens, and its context is full at {limit}")
        new_tokens = min(request.max_new_tokens, limit - len(prompt))
        return messages, replace(
            request, prompt=tuple(prompt), max_new_tokens=new_tokens, keep=True, resume=turn.handle
        )

    def _spell(self, token: int) -> bytes:
        return self._assembly.loaded.encoder.token_bytes(token) or b"\xff%d\xff" % token  # as no text can

    def _end_turn(self, messages: tuple[Message, ...], request: Request, answer: _Answer) -> None:
        handle = self._engine.handle(answer.number)
        reply: Message = {"role": "assistant", "content": answer.text or ""}
        turn = Turn((*messages, reply), handle.tokens, handle)
        if not answer.tokens:
            self._release(turn)
            return
        if len(self._turns) == self._turns.maxlen:
            self._release(self._turns[0])
        self._turns.append(turn)

    def _whole(self, turn: Turn) -> Handle:
        """A handle on the memory of all tokens but the last."""
        if turn.handle is not None and turn.handle in self._engine.store.handles:
            return turn.handle
        number = self._engine.submit(Request(turn.tokens[:-1], max_new_tokens=1, keep=True))
        while not self._engine.is_idle:
            self._engine.step()
        return self._engine.handle(number)

    def _release(self, turn: Turn) -> None:
        if turn.handle is not None:
            self._engine.release(turn.handle)

    def _replace(self, turns: list[Turn]) -> None:
        for turn in self._turns:
            self._release(turn)
        self._turns = deque(turns, maxlen=self._turns.maxlen)

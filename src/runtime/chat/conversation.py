"""A conversation whose turns cost their new tokens only: what was said stays in the model's memory."""

import os.path
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.chat_template import Message
from model.errors import ModelFileError
from model.memory import SavedSequence, is_saved_sequence, load_sequence, save_sequence
from runtime.assembly import Assembly
from runtime.chat.splice import splice
from runtime.chat.turn import Turn, pack, unpack
from runtime.config import ChatWorkload, SamplingConfig
from runtime.engine import Engine
from runtime.errors import RequestError, UserError
from runtime.events import Event, Finished, TokenAccepted
from runtime.kept import Kept
from runtime.request import Request
from runtime.workload import make_chat_request, opening

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

    A turn's prompt is the whole conversation as the chat template renders it; what the memory begins with is not fed
    again. If it does not (the memory was needed elsewhere, is that of a turn taken back, or the template now renders
    otherwise what was said), the best of what was saved is restored and the rest computed again.
    """

    def __init__(self, assembly: Assembly, engine: Engine, workload: ChatWorkload) -> None:
        self._assembly = assembly
        self._engine = engine
        self._workload = workload
        self._memory = assembly.executor.cache
        self._kept: Kept | None = None  # at most of what the last turn's memory is to hold
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
            events = self._engine.cancel() if stop else self._engine.step()
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
        question = self._turns.pop().messages[-2]["content"]
        self._cut_back()
        return question

    def reset(self) -> None:
        """Forgets everything."""
        if self._kept is not None:
            self._engine.scheduler.kept.release(self._kept)
        self._turns = deque([Turn()], maxlen=UNDOABLE + 1)

    def save(self, path: Path) -> None:
        """Writes the conversation and its memory to a Safetensors file, over one that was saved before.

        Raises UserError if there is nothing to save or the file is another's, ModelFileError if it cannot be written.
        """
        turn = self._turns[-1]
        if not turn.tokens:
            raise UserError("there is nothing to save yet")
        if os.path.exists(path) and not is_saved_sequence(path):
            raise UserError(f"{path} exists and is no saved conversation")
        self._kept = kept = self._computed(turn.tokens)
        tensors = self._memory.save(kept.page_table, len(kept.tokens))
        tensors["conversation"] = pack(list(self._turns), kept.tokens)
        save_sequence(path, SavedSequence(kept.tokens, tensors), self._memory.layout, self._assembly.fingerprint)

    def load(self, path: Path) -> None:
        """Goes on with a saved conversation instead of this one.

        Raises ModelFileError, and changes nothing, if the file is damaged or another model's; RequestError if the
        memory does not fit.
        """
        saved = load_sequence(path, self._memory.layout, self._assembly.fingerprint)
        turns = unpack(saved.tensors.pop("conversation", None), saved.tokens, self._assembly.loaded.encoder.vocab_size)
        kept = self._restore(saved)
        self.reset()
        self._kept = kept
        turns[-1] = turns[-1]._replace(saved=None if self._memory.truncates else saved)
        self._turns = deque(turns, maxlen=self._turns.maxlen)

    def _prepare(self, question: str) -> tuple[tuple[Message, ...], Request]:
        """The messages up to the question, and the request for the answer."""
        config, loaded = self._assembly.config, self._assembly.loaded
        asked: Message = {"role": "user", "content": question}
        messages = (*self.messages, asked) if self.messages else tuple(opening(self._workload, question))
        seed = config.decoder.seed if isinstance(config.decoder, SamplingConfig) else 0
        request = make_chat_request(messages, self._workload, loaded, seed + len(messages))
        prompt = splice(self._turns[-1].tokens, request.prompt, self._spell, loaded.encoder.encode)
        limit = min(self._engine.context_length, self._engine.scheduler.capacity)
        if len(prompt) >= limit:
            raise RequestError(f"the conversation would have {len(prompt)} tokens, and its context is full at {limit}")
        return messages, replace(
            request,
            prompt=tuple(prompt),
            max_new_tokens=min(request.max_new_tokens, limit - len(prompt)),
            keep=True,
            resume=self._resumable(prompt),
        )

    def _spell(self, token: int) -> bytes:
        return self._assembly.loaded.encoder.token_bytes(token) or b"\xff%d\xff" % token  # as no text can

    def _end_turn(self, messages: tuple[Message, ...], request: Request, answer: _Answer) -> None:
        self._kept = kept = self._engine.kept(answer.number)
        if not answer.tokens:
            self._cut_back()
            return
        saved = None
        if kept in self._engine.scheduler.kept and not self._memory.truncates:
            saved = SavedSequence(kept.tokens, self._memory.save(kept.page_table, len(kept.tokens)))
        reply: Message = {"role": "assistant", "content": answer.text or ""}
        self._turns.append(Turn((*messages, reply), (*request.prompt, *answer.tokens), saved))

    def _cut_back(self) -> None:
        """Leaves what the last turn left, so that the next is fed the same as if there had been no other."""
        if self._kept is not None:
            self._kept = self._engine.scheduler.kept.fit(self._kept, self._turns[-1].tokens)

    def _resumable(self, tokens: Sequence[int]) -> Kept | None:
        """Memory with which a sequence of these tokens can begin: as it was left, or restored."""
        held, kept = self._engine.scheduler.kept, self._kept
        if kept is not None and kept in held and (self._memory.truncates or _begins(tokens, kept.tokens)):
            return kept
        if kept is not None:
            held.release(kept)
        choices = [turn.saved for turn in self._turns if turn.saved and _begins(tokens, turn.saved.tokens)]
        return self._restore(choices[-1]) if choices else None

    def _computed(self, tokens: Sequence[int]) -> Kept:
        """The memory of all tokens but the last."""
        kept = self._resumable(tokens)
        if kept is None or len(kept.tokens) < len(tokens) - 1:
            number = self._engine.submit(Request(tuple(tokens[:-1]), max_new_tokens=1, keep=True, resume=kept))
            while not self._engine.is_idle:
                self._engine.step()
            kept = self._engine.kept(number)
        return kept

    def _restore(self, saved: SavedSequence) -> Kept:
        held = self._engine.scheduler.kept
        kept = held.allocate(saved.tokens)
        try:
            self._memory.restore(saved.tensors, kept.page_table, len(kept.tokens))
        except ModelFileError:
            held.release(kept)
            raise
        return kept


def _begins(tokens: Sequence[int], start: Sequence[int]) -> bool:
    return len(start) < len(tokens) and tuple(tokens[: len(start)]) == tuple(start)

"""A conversation in each window of a browser. Imported only where it is asked for, as it needs gradio."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from model.chat_template import Message
from model.errors import ModelFileError
from runtime.chat.conversation import Conversation
from runtime.chat.job import Stage
from runtime.command_line import explain
from runtime.errors import UserError
from runtime.events import Event, TokenAccepted

REDRAW_SECONDS = 0.05  # between two updates of an answer that grows
REFUSED = (UserError, ModelFileError)
Result = TypeVar("Result")


def browse(stage: Stage) -> bool:
    """Serves the page until Ctrl-C, for which it returns True. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio asks its own server whether it is there
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none that is fetched
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=1) as worker:
        os.environ["GRADIO_TEMP_DIR"] = folder  # files that come and go; they are nobody else's, and go at the end
        page = _Page(stage, worker, Path(folder))
        blocks = page.lay_out()
        try:
            _, url, _ = blocks.launch(quiet=True, prevent_thread_lock=True, footer_links=[], theme=theme)
        except OSError as error:
            raise UserError(f"the page cannot be served: {error}") from error
        stage.console.print(f"chat at {url} (Ctrl-C ends it)", highlight=False, soft_wrap=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            page.is_closing.set()
        blocks.close(verbose=False)
    return True


@dataclass
class _Window:
    """What belongs to one window. stop: ends the answer that it is getting."""

    conversation: Conversation
    stop: threading.Event = field(default_factory=threading.Event)


class _Page:
    """The page, and what its buttons do. Whatever threads gradio has, the engine is used in the worker's only one; an
    answer whose window has been closed ends there, too."""

    def __init__(self, stage: Stage, worker: ThreadPoolExecutor, folder: Path) -> None:
        self.is_closing = threading.Event()
        self._stage = stage
        self._worker = worker
        self._folder = folder

    def lay_out(self) -> gr.Blocks:
        with gr.Blocks(title="Chat", analytics_enabled=False, fill_height=True) as blocks:
            window = gr.State()
            said = gr.Chatbot(show_label=False, buttons=["copy", "copy_all"], elem_id="said", scale=1)
            question = gr.Textbox(show_label=False, placeholder="Ask something", autofocus=True, elem_id="question")
            with gr.Row():
                stop = gr.Button("Stop", elem_id="stop")
                undo = gr.Button("Undo", elem_id="undo")
                reset = gr.Button("Reset", elem_id="reset")
                save = gr.Button("Save", elem_id="save")
                load = gr.UploadButton("Load", elem_id="load")
            saved = gr.File(label="the conversation, with the model's memory of it", visible=False, elem_id="saved")
            one_at_a_time: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}
            blocks.load(lambda: _Window(self._stage.begin()), outputs=window)
            question.submit(self._ask, [question, window], [said, question], **one_at_a_time)
            stop.click(lambda window: window.stop.set(), window, queue=False)
            undo.click(self._undo, window, [said, question], **one_at_a_time)
            gr.on([reset.click, said.clear], self._reset, window, said, **one_at_a_time)
            save.click(self._save, window, saved, **one_at_a_time)
            load.upload(self._load, [load, window], said, **one_at_a_time)
        return blocks

    def _ask(self, question: str, window: _Window) -> Iterator[tuple[list[Message], str]]:
        """The conversation as it grows, and what is in the input field."""
        stop = window.stop = threading.Event()
        before = window.conversation.messages
        answer = window.conversation.ask(question, lambda: stop.is_set() or self.is_closing.is_set())
        asked, text, drawn = Message(role="user", content=question), "", 0.0
        try:
            yield [*before, asked], ""
            while (event := self._do(self._advance, answer)) is not None:
                text += event.text if isinstance(event, TokenAccepted) else ""
                if text and time.monotonic() - drawn > REDRAW_SECONDS:
                    yield [*before, asked, Message(role="assistant", content=text)], ""
                    drawn = time.monotonic()
            yield list(window.conversation.messages), ""
        except REFUSED as error:
            gr.Warning(explain(error))
            yield list(before), question
        finally:
            stop.set()
            if not self.is_closing.is_set():
                self._worker.submit(self._finish, answer)

    def _undo(self, window: _Window) -> Any:
        try:
            question = self._do(window.conversation.undo)
        except REFUSED as error:
            return _warn(error)
        return list(window.conversation.messages), question

    def _reset(self, window: _Window) -> list[Message]:
        self._do(window.conversation.reset)
        return []

    def _save(self, window: _Window) -> Any:
        path = Path(tempfile.mkdtemp(dir=self._folder)) / "conversation.safetensors"
        try:
            self._do(window.conversation.save, path)
        except REFUSED as error:
            return _warn(error)
        return gr.File(value=str(path), visible=True)

    def _load(self, path: str, window: _Window) -> Any:
        try:
            self._do(window.conversation.load, Path(path))
        except REFUSED as error:
            return _warn(error)
        return list(window.conversation.messages)

    def _do(self, action: Callable[..., Result], *arguments: Any) -> Result:
        return self._worker.submit(action, *arguments).result()

    def _advance(self, answer: Iterator[Event]) -> Event | None:
        event = next(answer, None)
        if event is not None:
            for observer in self._stage.observers:
                observer.add(event)
        return event

    def _finish(self, answer: Iterator[Event]) -> None:
        while self._advance(answer) is not None:
            pass


def _warn(error: Exception) -> Any:
    """Shows what was wrong, and leaves the page as it is."""
    gr.Warning(explain(error))
    return gr.skip()

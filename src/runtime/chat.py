"""A conversation on the terminal."""

from dataclasses import replace

from rich.console import Console

from model.chat_template import Message
from model.loader import LoadedModel
from runtime.config import RunConfig, SamplingConfig
from runtime.engine import Engine
from runtime.events import Finished, TokenAccepted
from runtime.interrupt import DeferredInterrupt
from runtime.observer import Observer
from runtime.workload import make_chat_request, opening


def converse(
    console: Console, engine: Engine, loaded: LoadedModel, config: RunConfig, observers: list[Observer]
) -> bool:
    """Reads a line, streams the answer, and so on: until an empty line, the end of input, a full context or
    Ctrl-C.

    True if it was Ctrl-C. Each turn is a request of its own, with the whole conversation as its prompt.
    """
    seed = config.decoder.seed if isinstance(config.decoder, SamplingConfig) else 0
    messages: list[Message] = []
    console.print("An empty line ends the conversation.")
    while text := _read_line(console):
        messages = [*messages, {"role": "user", "content": text}] if messages else opening(config.workload, text)
        request = make_chat_request(messages, config.workload, loaded, seed + len(messages))
        room = min(engine.context_length, engine.scheduler.capacity) - len(request.prompt)
        if room < 1:
            console.print(f"The conversation has filled the context of {engine.context_length} tokens.")
            break
        engine.submit(replace(request, max_new_tokens=min(request.max_new_tokens, room)))
        with DeferredInterrupt() as interrupt:
            answer = _stream_answer(console, engine, observers, interrupt)
        if interrupt.requested:
            return True
        messages.append({"role": "assistant", "content": answer})
    return False


def _read_line(console: Console) -> str:
    try:
        return console.input("> ", markup=False).strip()
    except EOFError:
        console.print()
        return ""


def _stream_answer(console: Console, engine: Engine, observers: list[Observer], interrupt: DeferredInterrupt) -> str:
    answer = ""
    while not engine.is_idle:
        for event in engine.cancel() if interrupt.requested else engine.step():
            for observer in observers:
                observer.add(event)
            if isinstance(event, TokenAccepted):
                console.file.write(event.text)
                console.file.flush()
            elif isinstance(event, Finished):
                answer = event.text
    console.print()
    return answer

"""One HTTP request while it is being answered."""

import json
from collections.abc import AsyncIterator

from pydantic import BaseModel

from runtime.async_stream import AsyncStream, EngineStopped
from runtime.request import FinishReason
from runtime.server.answers import Answers, Piece
from runtime.server.api_error import ApiError
from runtime.server.form import Form
from runtime.server.response_schema import Completion

ENDING = ApiError(503, "the server is ending", code="server_ending")


class Reply:
    """The events of its engine requests, and what they add up to. Who drops it cancels what is still running."""

    def __init__(self, stream: AsyncStream, answers: Answers) -> None:
        self._stream = stream
        self._answers = answers

    async def whole(self, form: Form) -> Completion:
        """All answers, once they are there. Raises ApiError if the server ends before."""
        async with self._stream as stream:
            while await _wait(stream):
                for event in stream.take():
                    self._answers.add(event)
        return form.whole(self._take(), self._answers.usage())

    async def chunks(self, form: Form, include_usage: bool) -> AsyncIterator[str]:
        """Server-sent events: pieces of answers, merged if they come faster than they are taken; if the server ends
        before, an error without the mark of a proper end."""
        async with self._stream as stream:
            for start in form.opening(len(stream.numbers)):
                yield _sse(start)
            try:
                while await _wait(stream):
                    for event in stream.take():
                        self._answers.add(event)
                    for piece in self._take():
                        yield _sse(form.chunk(piece))
            except ApiError as error:
                yield f"data: {json.dumps(error.body())}\n\n"
                return
            if include_usage:
                yield _sse(form.end(self._answers.usage()))
            yield "data: [DONE]\n\n"

    def _take(self) -> list[Piece]:
        pieces = self._answers.take()
        if any(piece.reason is FinishReason.CANCELLED for piece in pieces):  # not by the client, who is there
            raise ENDING
        return pieces


async def _wait(stream: AsyncStream) -> bool:
    try:
        return await stream.wait()
    except EngineStopped:
        raise ENDING from None


def _sse(value: BaseModel) -> str:
    return f"data: {value.model_dump_json(exclude_defaults=True)}\n\n"

"""The endpoints."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from runtime.async_stream import EngineStopped
from runtime.server.access import Access
from runtime.server.api_error import ApiError
from runtime.server.chat_form import ChatForm
from runtime.server.completion_form import CompletionForm
from runtime.server.form import Form
from runtime.server.reply import ENDING, Reply
from runtime.server.request_body import read_body
from runtime.server.request_schema import ChatBody, CompletionBody, GenerationBody
from runtime.server.response_schema import Completion, ModelCard, ModelList
from runtime.server.service import Service

CLIENT_CLOSED = 499  # for nobody to read: the client has gone


def make_app(service: Service, api_key: str | None) -> FastAPI:
    """An ASGI application. api_key: what clients must have; None: nothing."""
    app = FastAPI(title="Agentic native inference", lifespan=service.running, openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        if service.engine.stopped.done():
            raise ENDING
        return {"status": "ok"}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(object="list", data=[service.card])

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> ModelCard:
        service.check_name(name)
        return service.card

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await read_body(request, ChatBody, service.max_body_bytes)
        form = ChatForm(service.card.id, service.encoder, body.logprobs)
        return await _answer(request, body, await service.chat(body), form)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        body = await read_body(request, CompletionBody, service.max_body_bytes)
        form = CompletionForm(service.card.id, service.encoder, body.logprobs)
        return await _answer(request, body, await service.completion(body), form)

    app.add_exception_handler(ApiError, _tell)
    app.add_exception_handler(HTTPException, _tell)
    app.add_exception_handler(EngineStopped, _tell)
    app.add_exception_handler(Exception, _tell)
    if api_key is not None:
        app.add_middleware(Access, api_key=api_key)
    return app


async def _answer(request: Request, body: GenerationBody, reply: Reply, form: Form) -> Response:
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return StreamingResponse(reply.chunks(form, include_usage), media_type="text/event-stream")
    completion = await _unless_disconnected(request, reply.whole(form))
    if completion is None:
        return Response(status_code=CLIENT_CLOSED)
    return Response(completion.model_dump_json(exclude_defaults=True), media_type="application/json")


async def _unless_disconnected(request: Request, answer: Coroutine[Any, Any, Completion]) -> Completion | None:
    """The answer; None if the client goes before it is there, and it is given up then."""
    answering, leaving = asyncio.create_task(answer), asyncio.create_task(_disconnection(request))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        answering.cancel()
        leaving.cancel()


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _tell(request: Request, error: Exception) -> Response:
    """Whatever has happened, as the API tells errors."""
    match error:
        case ApiError():
            return error.response()
        case EngineStopped():
            return ENDING.response()
        case HTTPException():
            return ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}").response()
        case _:
            return ApiError(500, "something went wrong in the server: its log says what").response()

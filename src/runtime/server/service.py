"""A model behind HTTP: what all its endpoints share."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.types import ASGIApp

from runtime.assembly import Assembly
from runtime.async_engine import AsyncEngine
from runtime.config import HttpConfig
from runtime.errors import RequestError
from runtime.model_name import model_name
from runtime.request import Request
from runtime.server.answers import Answers
from runtime.server.api_error import ApiError, refused
from runtime.server.metrics import ServerMetrics
from runtime.server.reply import Reply
from runtime.server.request_schema import ChatBody, CompletionBody, GenerationBody
from runtime.server.response_schema import ModelCard
from runtime.server.translator import Translator
from runtime.workload import default_sampling, read_grammar

BodyT = TypeVar("BodyT", bound=GenerationBody)
Translate = Callable[[BodyT, int], list[Request]]


class Service:
    """Is in use within `running`."""

    engine: AsyncEngine

    def __init__(self, assembly: Assembly, config: HttpConfig) -> None:
        """Raises UserError for a grammar of the settings that cannot be read."""
        settings, loaded = assembly.config, assembly.loaded
        self.encoder = loaded.encoder
        self.max_body_bytes = config.max_body_kib * 1024
        name = config.model_name or model_name(settings.model.source)
        self.card = ModelCard(id=name, object="model", created=int(time.time()), owned_by="local")
        self._engine = assembly.engine()
        self.metrics = ServerMetrics(self._engine)
        room = min(self._engine.context_length, self._engine.store.capacity)
        sampling, grammar = default_sampling(settings.decoder), read_grammar(settings.grammar)
        self._translator = Translator(loaded, sampling, grammar, config, room)
        self._worker = ThreadPoolExecutor(1, "translator")  # one: see Engine.prepare

    @asynccontextmanager
    async def running(self, app: ASGIApp) -> AsyncIterator[None]:
        """The lifespan of an application."""
        self.engine = AsyncEngine(self._engine, [self.metrics])
        try:
            yield
        finally:
            await self.engine.close()
            self._worker.shutdown()

    async def chat(self, body: ChatBody) -> Reply:
        return await self._begin(body, self._translator.chat)

    async def completion(self, body: CompletionBody) -> Reply:
        return await self._begin(body, self._translator.completion)

    async def _begin(self, body: BodyT, translate: Translate[BodyT]) -> Reply:
        """Raises ApiError for what cannot be served."""
        self.check_name(body.model)
        loop, seed = asyncio.get_running_loop(), secrets.randbits(63)
        try:
            requests = await loop.run_in_executor(self._worker, self._prepare, body, translate, seed)
            stream = await self.engine.submit(*requests)
        except RequestError as error:
            raise refused(error) from None
        return Reply(stream, Answers(requests, stream.numbers, body.n, self.encoder))

    def _prepare(self, body: BodyT, translate: Translate[BodyT], seed: int) -> list[Request]:
        """In the worker: all that takes some time, so that it takes none of the engine's."""
        requests = translate(body, seed)
        if requests[0].grammar is not None:
            self._engine.prepare(requests[0].grammar)
        return requests

    def check_name(self, model: str | None) -> None:
        """Raises ApiError if it is another model's."""
        if model not in (None, self.card.id):
            raise ApiError(404, f"there is no model {model!r} here, but {self.card.id!r}", "model", "model_not_found")

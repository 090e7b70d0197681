"""Reads what a client sends: JSON of limited length, in limited time."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from runtime.server.api_error import ApiError, invalid
from runtime.server.request_schema import Body

BodyT = TypeVar("BodyT", bound=Body)
SECONDS = 30.0  # for all of a body to arrive


async def read_body(request: Request, model: type[BodyT], most_bytes: int) -> BodyT:
    """The body as a `model`. Raises ApiError if it is none, too long or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "the body must be JSON, with the header Content-Type: application/json")
    content = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for piece in request.stream():
                content += piece
                if len(content) > most_bytes:
                    raise ApiError(413, f"the body has more than {most_bytes} bytes (serve.max_body_kib)")
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {SECONDS:.0f} s") from None
    try:
        return model.model_validate_json(bytes(content))
    except ValidationError as error:
        raise invalid(error, model) from None

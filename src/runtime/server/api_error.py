"""Errors as the OpenAI API tells them."""

import json
import re
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from runtime.errors import EngineBusy, UserError
from runtime.server.request_schema import Body
from runtime.typed_config import unknown_key

RETRY_SECONDS = 1


class ApiError(Exception):
    """A request that is refused. param: the field that is wrong; code: for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        self.status = status
        self.message = " ".join(message.split())  # one line, whatever of the client's is quoted in it
        super().__init__(self.message)
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status == 503 else {}
        headers |= {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        return JSONResponse(self.body(), self.status, headers)


def refused(error: UserError) -> ApiError:
    """For a request that the engine does not take."""
    if isinstance(error, EngineBusy):
        return ApiError(503, str(error), code="engine_busy")
    return ApiError(400, str(error))


def invalid(error: ValidationError, model: type[Body]) -> ApiError:
    """For a body that is not what it should be: the first field that is wrong, and why."""
    errors = error.errors(include_url=False)
    first = max(errors, key=lambda one: _param(one["loc"]).count("."))  # of a union's cases, the one that fits best
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}")
    param = _param(first["loc"])
    if first["type"] == "extra_forbidden":
        field = str(first["loc"][-1])
        if field == param and field in model.neutral:
            allowed = "".join(f", or set it to {json.dumps(value)}" for value in model.neutral[field] or ())
            return ApiError(400, f"'{field}' is not supported: leave it out{allowed}", field)
        known = unknown_key(field, model.model_fields).replace("key", "field", 1)
        return ApiError(400, known if field == param else f"unknown field '{param}'", param)
    reasons = dict.fromkeys(one["msg"] for one in errors if _param(one["loc"]) == param)
    reason = " or ".join(reason.removeprefix("Value error, ") for reason in reasons)
    return ApiError(400, f"{param}: {reason}" if param else reason, param or None)


def _param(location: tuple[int | str, ...]) -> str:
    """As messages.0.content: without the names of types that tell the cases of a union apart."""
    return ".".join(str(part) for part in location if not re.fullmatch(r"(str|int|bool|list|dict)(\[.*)?", str(part)))

"""Who may use the server."""

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.server.api_error import ApiError

OPEN = ("/health",)  # paths that need no key


class Access:
    """ASGI middleware that lets nobody through without the key."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                error = ApiError(
                    401, "a wrong API key, or none: send Authorization: Bearer <key>", code="invalid_api_key"
                )
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

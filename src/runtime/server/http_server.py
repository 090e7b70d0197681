"""A service on a socket, until it is told to end."""

import asyncio
import ipaddress
import socket

import uvicorn
from rich.console import Console

from runtime.assembly import assemble
from runtime.async_stream import EngineStopped
from runtime.config import HttpConfig, ServeConfig
from runtime.errors import ConfigError
from runtime.server.app import make_app
from runtime.server.service import Service
from runtime.server.warm_up import warm_up

LAST_SECONDS = 5  # for connections to close after the last answer has ended


def serve(config: ServeConfig) -> None:
    """Serves until SIGINT or SIGTERM, which takes its usual effect then.

    Raises UserError or ModelFileError for what a user can mend, and whatever error has ended the engine.
    """
    console = Console(highlight=False, soft_wrap=True)
    listener = bind(config.serve)
    assembly = assemble(config)
    service = Service(assembly, config.serve)
    if config.kernels.backend == "compiled":
        console.print(f"kernels ready in {warm_up(assembly):.1f} s")
    server = HttpServer(service, config.serve, console)
    server.run([listener])
    reason = service.engine.stopped.result()
    if not isinstance(reason, EngineStopped):
        raise reason


def bind(config: HttpConfig) -> socket.socket:
    """The address is the server's from now on; it listens once it can answer. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # By the protocol asyncio knows that it must not let the system hold back what it sends until all before has been
    # confirmed: on a connection that is used again, that took the first token 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        message = f"serve.host={config.host} serve.port={config.port}: {error.strerror}"
        raise ConfigError(message) from error
    return listener


class HttpServer(uvicorn.Server):
    """uvicorn's server, which ends with the engine, and the engine with it."""

    def __init__(self, service: Service, config: HttpConfig, console: Console) -> None:
        app = make_app(service, config.api_key)
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=round(config.shutdown_seconds) + LAST_SECONDS,
            )
        )
        self._service = service
        self._settings = config
        self._console = console

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
        self._console.print(f"{self._service.card.id} at {url} (Ctrl-C ends it)")
        if self._settings.api_key is None and not ipaddress.ip_address(host).is_loopback:
            self._console.print("whoever reaches this address may use it: set serve.api_key")

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._service.engine.stopped.done()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Running answers have some time to finish."""
        ending = asyncio.create_task(self._end())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end(self) -> None:
        await asyncio.sleep(self._settings.shutdown_seconds)
        await self._service.engine.close()

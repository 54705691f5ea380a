"""Run the application on an address until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from recolor_cli.batch.messages import ReadyMessage, WorkerConfig
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.errors import UsageError
from recolor_cli.serve.app import create_app
from recolor_cli.serve.connection import Connection
from recolor_cli.serve.service import Service
from recolor_cli.serve.settings import RequestOptions, ServeSettings

_BACKLOG = 512
_GRACE = 2  # seconds
_TICK = 0.1  # seconds between looks for a second Ctrl-C
_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if sys.platform != "win32":  # has no terminals that hang up
    _SIGNALS = (*_SIGNALS, signal.SIGHUP)


def serve(
    settings: ServeSettings,
    options: RequestOptions,
    config: WorkerConfig,
    preamble: str,
    announce: Callable[[str, ReadyMessage], None],
) -> None:
    """Answer requests until Ctrl-C or SIGTERM, and finish the pictures that have begun.

    Parameters
    ----------
    settings : ServeSettings
    options : RequestOptions
    config : WorkerConfig
    preamble : str
        Python code that the worker processes run first.
    announce : callable
        Gets the address as soon as it is open, and what the processes say of themselves.

    Raises
    ------
    UsageError
        If the server cannot listen on its address.
    ModelError, DeviceError
        If the network cannot be run.
    """
    with listen(settings.host, settings.port) as listener:
        url = _url(settings.host, listener)
        workers = ProcessWorkers(config, preamble)
        try:
            app = create_app(settings, options, workers)
            server = Server(app, settings.limits.seconds, lambda: announce(url, workers.ready))
            server.run([listener])
            if workers.failure:
                raise workers.failure
        finally:
            workers.close(_GRACE)  # nobody waits for a picture any more


class Server(uvicorn.Server):
    """Runs an application until a signal comes, or it cannot work any more.

    Parameters
    ----------
    app : Starlette
        Of `create_app`.
    seconds : float
        For the requests in hand when it is stopped.
    on_start : callable
        Called when the address is open.
    """

    def __init__(self, app: Starlette, seconds: float, on_start: Callable[[], None]) -> None:
        # uvicorn answers a malformed request with 400. That need not be in the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config = uvicorn.Config(
            app,
            http=Connection,
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=math.ceil(seconds) + _GRACE,
        )
        super().__init__(config)
        self._service: Service = app.state.service
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the address, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the pictures that have begun, unless Ctrl-C comes again."""
        self._service.work.stop()
        self._service.studio.stop()
        finished = asyncio.ensure_future(super().shutdown(sockets))
        while not (finished.done() or self.force_exit):
            await asyncio.wait({finished}, timeout=_TICK)
        finished.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await finished
        self._service.studio.close()  # ends what took longer

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to stop; called many times a second."""
        return self._service.work.failure is not None or await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal. uvicorn's own raises it again, so that the exit code is not 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:  # as nohup sets it
                    signal.signal(number, self.handle_exit)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """Open an address; raises UsageError if that is not possible."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:  # a name that no host can have
        advice = "name an address of this machine with --host"
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            advice = "another program uses the port; choose another --port, or 0 for a free one"
        elif isinstance(error, PermissionError):
            advice = "choose a --port from 1024"
        raise UsageError(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            advice,
        ) from error


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

"""A server of S3 for tests: moto in a process of its own, and a proxy that fails on demand."""

import http.client
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
ERRORS = {
    403: b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    500: b"<Error><Code>InternalError</Code><Message>Please try again.</Message></Error>",
    503: b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
}
SILENCE = 0


@contextmanager
def server_process(command: Callable[[int], list[str]], log: Path) -> Iterator[int]:
    """Start a server by the command for a port; yield the port when it takes connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as told:
        server = subprocess.Popen(command(port), stdout=told, stderr=told)
        try:
            for _ in range(600):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
            server.wait()


def moto_server(folder: Path) -> AbstractContextManager[int]:
    """Start a server of S3; yields its port."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    return server_process(lambda port: [*command, str(port)], folder / "moto.log")


class Proxy:
    """Passes requests on to a server, counts them, and fails some.

    Attributes
    ----------
    seen : list of (str, str)
        Method and path of each request.
    fails : callable
        Gets method and path; tells whether to fail.
    ways : tuple of int
        How requests fail, in turn: statuses, or `SILENCE` until the client gives up.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.seen: list[tuple[str, str]] = []
        self.fails = lambda method, path: False
        self.ways: tuple[int, ...] = (503,)
        failed = itertools.count()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                proxy.seen.append((self.command, self.path))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.fails(self.command, self.path):
                    way = proxy.ways[next(failed) % len(proxy.ways)]
                    if way == SILENCE:
                        self.close_connection = not self.rfile.read(1)
                    else:
                        self.answer(way, [], ERRORS[way])
                    return
                server = http.client.HTTPConnection("127.0.0.1", port)
                server.request(self.command, self.path, body, dict(self.headers))
                response = server.getresponse()
                kept = [
                    item
                    for item in response.getheaders()
                    if item[0].lower() not in ("transfer-encoding", "connection", "content-length")
                ]
                size = response.getheader("Content-Length")
                self.answer(response.status, kept, response.read(), size)
                server.close()

            def answer(self, code, headers, body, size=None):
                self.send_response(code)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", size or str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

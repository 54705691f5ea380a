"""Somebody's networks, and a server on this machine that gives them away, well or badly."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """A server whose answers are functions, by path; it keeps what it was asked."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str]] = []  # path, Range
        self.ended = threading.Event()

    def address(self, path: str, answer: Answer) -> str:
        """Give this answer at a path from now on, and return the address."""
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request, client_address) -> None:
        """Say nothing: the program hangs up on a lie."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", "")))
        self.server.answers[self.path](self)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Server]:
    server = Server(port)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler, status: int, headers: dict[str, object], body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)


def gives(data: bytes, cuts: list[int] | None = None, tag: str = '"1"', resumes: bool = True):
    """Return an answer with a file, of which each request in `cuts` gets only so many bytes."""
    cuts = cuts if cuts is not None else []

    def answer(handler) -> None:
        wanted = handler.headers.get("Range", "") if resumes else ""
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        headers = {"Content-Length": len(data) - start, "ETag": tag}
        if wanted and start >= len(data):
            reply(handler, 416, {"Content-Range": f"bytes */{len(data)}"})
            return
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        reply(handler, 206 if wanted else 200, headers, body[: cuts.pop(0)] if cuts else body)

    return answer


def redirects(path: str):
    return lambda handler: reply(handler, 302, {"Location": path, "Content-Length": 0})


def fails(status: int):
    return lambda handler: reply(handler, status, {"Content-Length": 0})


def stalls(data: bytes, after: int):
    """Return an answer that goes silent after so many bytes, until the server ends."""

    def answer(handler) -> None:
        reply(handler, 200, {"Content-Length": len(data), "ETag": '"1"'}, data[:after])
        handler.wfile.flush()
        handler.server.ended.wait(60)

    return answer


def trickles(data: bytes, pause: float):
    """Return an answer of a byte at a time."""

    def answer(handler) -> None:
        reply(handler, 200, {"Content-Length": len(data)})
        for byte in data:
            handler.wfile.write(bytes([byte]))
            if handler.server.ended.wait(pause):
                return

    return answer


def network(path: Path, shape: tuple[int | str, ...], channels: int, factor: float = 1.0) -> bytes:
    """Write a network of a published form: one convolution of random weights, and some ballast.

    Parameters
    ----------
    shape : tuple
        Of the input `input`; names stand for any size.
    channels : int
        Of the output `output`.
    """
    random = np.random.default_rng(0)
    kernel = random.normal(0, factor, (channels, shape[1], 1, 1)).astype(np.float32)
    ballast = random.normal(size=50_000).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["color"]),
        helper.make_node("ReduceMean", ["ballast"], ["shift"], keepdims=0),
        helper.make_node("Add", ["color", "shift"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "published",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, channels, *shape[2:]))],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(ballast, "ballast")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path.read_bytes()

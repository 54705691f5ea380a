"""Clients that are slow, vanish, or speak no HTTP; real connections to a server in a thread."""

import contextlib
import json
import socket
import threading
import time

import pytest
from test_serve import TOKEN, DeskWorkers, SlowWorkers, picture

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.commands.request_options import RunOptions
from recolor_cli.errors import UsageError
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.serve import bodies, connection, results, unread_bodies
from recolor_cli.serve.app import create_app
from recolor_cli.serve.problems import RefusedError
from recolor_cli.serve.server import Server, listen
from recolor_cli.serve.settings import Limits, ServeSettings
from recolor_cli.serve.studio.wishes import PaletteWish


class Address:
    """A running server, and clients that write bytes to it."""

    def __init__(self, port: int, app, server: Server) -> None:
        self.port = port
        self.server = server
        self.service = app.state.service

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        return client

    def head(self, length: int | str, more: str = "") -> bytes:
        text = f"POST /v1/recolor HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{more}"
        return f"{text}\r\n".encode()

    def ask(self, data: bytes) -> tuple[int, bytes]:
        """Send bytes on a connection of their own; return the status and the body."""
        with self.connect() as client:
            client.sendall(data)
            return answer(client)

    def recolor(self) -> int:
        data = picture()
        return self.ask(self.head(len(data), "Connection: close\r\n") + data)[0]


def answer(client: socket.socket) -> tuple[int, bytes]:
    """Return the status and the body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := client.recv(1 << 16)):
            return 0, data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length")), None)
    while length is None or len(body) < length:
        if not (chunk := client.recv(1 << 16)):
            break
        body += chunk
    return int(lines[0].split()[1]), body


@contextlib.contextmanager
def serving(workers, **values):
    settings = ServeSettings(port=0, **values)
    app = create_app(settings, RunOptions(settings), workers)
    started = threading.Event()
    server = Server(app, 3, started.set)
    server.config.timeout_keep_alive = 1
    server.config.timeout_graceful_shutdown = 1
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        assert started.wait(20)
        try:
            yield Address(listener.getsockname()[1], app, server)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def impatient(monkeypatch):
    """Read on in a refused body for a moment only, because the client will send no more of it."""
    monkeypatch.setattr(unread_bodies, "_SECONDS", 0.2)


@pytest.fixture(scope="module")
def workers():
    return DeskWorkers(OnnxColorNetwork.load("fruitnet", "cpu"))


def until(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.mark.usefixtures("impatient")
def test_slow_bodies_keep_nobody_waiting_and_are_cut(workers, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 1.0)
    with serving(workers, limits=Limits(waiting=0)) as server:
        slow = [server.connect() for _ in range(40)]
        for client in slow:
            client.sendall(server.head(100_000) + b"\xff\xd8\xff")
        assert until(lambda: server.service.memory.used == 3 * 40)
        assert server.recolor() == 200
        for client in slow:
            status, body = answer(client)
            assert status == 408, body
            assert json.loads(body)["hint"]
            client.close()
        assert server.service.memory.used == 0


@pytest.mark.usefixtures("impatient")
def test_slow_bodies_are_cut_on_the_addresses_of_the_page_too(workers, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.5)
    with serving(workers) as server:
        for path in (b"/studio/pictures", b"/studio/guides", b"/studio/palette", b"/login"):
            with server.connect() as client:
                client.sendall(server.head(4000).replace(b"/v1/recolor", path) + b"{")
                assert answer(client)[0] == 408
        assert server.service.memory.used == 0


@pytest.mark.usefixtures("impatient")
def test_a_body_that_trickles_is_cut(workers, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.5)
    with serving(workers) as server, server.connect() as client:
        client.sendall(server.head(100_000))
        with contextlib.suppress(OSError):
            for _ in range(20):
                client.sendall(b"x")
                time.sleep(0.1)
        assert answer(client)[0] == 408


def test_slow_readers_keep_nobody_waiting_and_are_cut(monkeypatch):
    monkeypatch.setattr(connection, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(results, "_CHUNK", 1 << 20)
    large = Outcome(Job(STREAM, STREAM), Status.WRITTEN, result=picture("BMP", (4000, 3000)))

    class LargeWorkers(SlowWorkers):
        def submit(self, job, missing, request=None):
            future = super().submit(job, missing, request)
            future.set_result(large)
            return future

    with serving(LargeWorkers()) as server:
        slow = [server.connect(receive_buffer=4096) for _ in range(8)]
        for client in slow:
            client.sendall(server.head(1) + b"x")
        assert until(lambda: server.service.memory.used >= 8 * len(large.result))
        assert server.recolor() == 200
        assert until(lambda: server.service.memory.used == 0)
        for client in slow:
            client.close()


def test_connections_without_a_request_are_cut(workers, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    with serving(workers) as server:
        silent, half, again = (server.connect() for _ in range(3))
        half.sendall(b"POST /v1/recolor HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        data = picture()
        again.sendall(server.head(len(data)) + data)
        assert answer(again)[0] == 200
        again.sendall(b"GET /healthz HT")  # a second request that never ends
        for client in (silent, half, again):
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
            client.close()


def test_a_client_that_goes_loses_its_turn(monkeypatch):
    workers = SlowWorkers()
    with serving(workers, limits=Limits(waiting=8)) as server:
        clients = [server.connect() for _ in range(4)]
        for client in clients:
            client.sendall(server.head(1) + b"x")
        assert until(lambda: server.service.work.in_hand == 4)
        for client in clients:
            client.close()
        assert until(lambda: server.service.work.in_hand == 2)  # these have begun
        for future in workers.futures:
            future.set_result(Outcome(Job(STREAM, STREAM), Status.WRITTEN, result=b"\xff\xd8"))
        assert until(lambda: server.service.work.in_hand == 0)
        assert until(lambda: server.service.memory.used == 0)
        assert len(workers.futures) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST /v1/recolor HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/recolor HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(workers, data, caplog):
    with serving(workers) as server:
        with contextlib.suppress(ConnectionError):
            assert server.ask(data)[0] in (0, 400, 421)
        assert server.recolor() == 200
    assert not caplog.records


def test_a_large_body_is_refused_without_being_read(workers):
    with serving(workers, limits=Limits(body=1000)) as server:
        # A client that asks first is told before it sends anything.
        status, body = server.ask(server.head(10_000_000, "Expect: 100-continue\r\n"))
        assert status == 413, body
        # One that does not ask still gets the answer.
        assert server.ask(server.head(300_000) + b"x" * 300_000)[0] == 413
        chunk = b"fff0\r\n" + b"x" * 0xFFF0 + b"\r\n"
        head = b"POST /v1/recolor HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert server.ask(head + 3 * chunk + b"0\r\n\r\n")[0] == 413


@pytest.mark.usefixtures("impatient")
def test_who_has_no_token_cannot_make_the_server_read(workers):
    with serving(workers, token=TOKEN) as server, server.connect() as client:
        client.sendall(server.head(100_000_000) + b"x" * 1000)
        assert answer(client)[0] == 401
        assert client.recv(10) == b""  # closed
        assert server.service.memory.used == 0


def test_all_of_a_refused_body_is_read_for_a_moment(workers):
    size = 64 << 20  # most clients read the answer after they have sent all of it
    with serving(workers, limits=Limits(body=1000)) as server:
        assert server.ask(server.head(size) + bytes(size))[0] == 413


@pytest.mark.parametrize("is_forced", [False, True])
def test_work_that_takes_longer_than_the_stop_is_refused(is_forced, caplog):
    with serving(SlowWorkers()) as server, server.connect() as working, server.connect() as sending:
        working.sendall(server.head(1) + b"x")
        sending.sendall(server.head(1000) + b"x")
        assert until(lambda: server.service.memory.used == 2)
        server.server.should_exit = True
        if is_forced:  # as the second Ctrl-C does
            server.server.force_exit = True
        for client in (working, sending):
            status, body = answer(client)
            assert (status, json.loads(body)["detail"]) == (503, "the server stops")
    assert server.service.memory.used == 0
    assert not any(record.exc_info for record in caplog.records)
    assert "Traceback" not in caplog.text
    with pytest.raises(RefusedError, match="the server stops"):  # as for the page
        server.service.studio.palette_colors(PaletteWish("name", "noir"))


def test_an_address_that_is_taken_is_an_error():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = f"cannot listen on 127.0.0.1, port {port}: Address"
        with pytest.raises(UsageError, match=taken) as raised:
            listen("127.0.0.1", port)
        assert "another program" in raised.value.hint
    for host in ("no such host", "192.0.2.1"):
        with pytest.raises(UsageError, match=f"cannot listen on {host}") as raised:
            listen(host, 0)
        assert "address of this machine" in raised.value.hint


def test_the_zone_of_an_address_is_kept(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "create_server", lambda address, **kwargs: asked.append(address))
    listen("fe80::1%lo", 0)
    assert asked == [("fe80::1", 0, 0, socket.if_nametoindex("lo"))]

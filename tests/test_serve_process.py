"""`recolor serve` as people start it: a process with worker processes."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from test_serve import picture

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.messages import WorkerConfig
from recolor_cli.batch.outcome import Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.commands.request_options import RunOptions
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.serve.settings import Limits, ServeSettings

COMMAND = [sys.executable, "-m", "recolor_cli", "serve", "--port", "0", "--device", "cpu"]
# A picture that holds the word CRASH kills its process; with SLEEP it takes for ever.
DECODER = """
import os, signal, time
import recolor_cli.commands.request_options
from recolor_cli.batch import picture
original = picture.decode_pages
def decode_pages(data, *args, **kwargs):
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"SLEEP" in data:
        time.sleep(600)
    return original(data, *args, **kwargs)
picture.decode_pages = decode_pages
"""


class Program:
    """A running server."""

    def __init__(self, process: subprocess.Popen, url: str) -> None:
        self.process = process
        self.host = urlsplit(url).netloc

    def post(self, data: bytes, path: str = "/v1/recolor") -> tuple[int, bytes]:
        client = http.client.HTTPConnection(self.host, timeout=60)
        with contextlib.closing(client):
            client.request("POST", path, body=data)
            response = client.getresponse()
            return response.status, response.read()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.host}{path}", timeout=60) as response:
            return response.read().decode()

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {int(pid) for pid in children.read_text().split()}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():  # threads start some, too
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        return sorted(found)

    def stop(self) -> tuple[str, str]:
        """Send SIGTERM; return what is left of its output."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)


@contextlib.contextmanager
def program(*arguments: str, folder: Path):
    environment = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=folder,
    )  # fmt: skip
    try:
        url = process.stdout.readline()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        yield Program(process, url.strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_killed_process_costs_no_more_than_its_request(tmp_path):
    with program("-j", "2", folder=tmp_path) as server:
        files = list(tmp_path.iterdir())
        first = server.workers()
        assert len(first) == 2
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        statuses = [server.post(picture())[0] for _ in range(3)]
        assert statuses == [200, 200, 200]
        assert not set(first) & set(server.workers())
        # The one that works when it is killed has a second try.
        results = []
        large = picture("PNG", (3000, 2000))
        client = threading.Thread(target=lambda: results.append(server.post(large)))
        client.start()
        time.sleep(0.1)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        client.join()
        assert results[0][0] == 200
        out, err = server.stop()
        assert (out, err, server.process.returncode) == ("", "", 0)
    assert set(tmp_path.iterdir()) <= set(files)  # the room of dropped pictures is gone, too


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_when_the_pictures_that_have_begun_are_done(tmp_path, number):
    with program("-j", "1", folder=tmp_path) as server:
        results = []
        large = picture("PNG", (3000, 2000))
        clients = [
            threading.Thread(target=lambda: results.append(server.post(large))) for _ in range(6)
        ]
        for client in clients:
            client.start()
        while "recolor_pictures_in_hand 6.0" not in server.get("/metrics") and not results:
            time.sleep(0.05)
        server.process.send_signal(number)
        out, err = server.process.communicate(timeout=60)
        for client in clients:
            client.join()
        assert {status for status, _ in results} == {200, 503}
        refused = [json.loads(body)["detail"] for status, body in results if status == 503]
        assert set(refused) == {"the server stops"}
        assert (out, err, server.process.returncode) == ("", "", 0)


def test_work_that_hangs_is_ended_with_the_processes():
    config = WorkerConfig("fruitnet", "cpu", 1, None, RecolorOptions(), OutputOptions())
    workers = ProcessWorkers(config, DECODER)
    process = next(iter(workers._started))
    request = RunOptions(ServeSettings(model="fruitnet")).parse([], picture=picture() + b"SLEEP")
    workers.submit(Job(STREAM, STREAM), MissingOutputs(True), request)
    time.sleep(0.5)
    workers.close(0.1)
    end = time.monotonic() + 20
    while process.is_alive and time.monotonic() < end:
        time.sleep(0.05)
    assert not process.is_alive


BROWSER = """#!{python}
import pathlib, sys, urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=60).read()
pathlib.Path("page.part").write_bytes(page)
pathlib.Path("page.part").rename("page")
"""


def test_a_browser_that_returns_when_it_is_closed_gets_the_page(tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(python=sys.executable))
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with program("--open", folder=tmp_path) as server:
        deadline = time.monotonic() + 60
        while not (tmp_path / "page").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert b"<title>recolor studio</title>" in (tmp_path / "page").read_bytes()
        assert server.stop() == ("", "")


def test_without_a_browser_the_address_is_told(tmp_path, monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with program("--open", folder=tmp_path) as server:
        warning = server.process.stderr.readline()
        url = f"http://{server.host}/"
        assert warning == f"warning: no browser could be opened; open {url} yourself\n"
        assert server.post(picture())[0] == 200
        assert server.stop() == ("", "")


def test_a_killed_server_leaves_nothing(tmp_path):
    with program("-j", "1", folder=tmp_path) as server:
        files = list(tmp_path.iterdir())
        workers = server.workers()
        client = threading.Thread(target=post_and_forget, args=[server])
        client.start()
        time.sleep(0.3)
        server.process.kill()
        client.join()
        end = time.monotonic() + 20
        while any(map(is_running, workers)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(is_running, workers))
    assert set(tmp_path.iterdir()) <= set(files)  # the room of dropped pictures is gone, too


def post_and_forget(server: Program) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.post(picture("PNG", (3000, 2000)))


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "everyone who reaches 0.0.0.0 could use this server"),
        (["--host", ""], "--host is empty"),
        (["--token-file", "missing"], "cannot read the token file missing"),
        (["--token-file", "short"], "short holds no token of at least 16 letters"),
        (["missing.jpg"], "there is no missing.jpg"),
        (["s3://bucket/posters"], "s3://bucket/posters is on a store"),
        (["-m", "nothing"], "no model is called nothing"),
    ],
)
def test_what_cannot_be_served_is_an_error(recolor, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("secret\n")
    code = 4 if "-m" in arguments else 2
    _, err = recolor("serve", *arguments, exit_code=code)
    assert message in err
    assert "hint: " in err


def test_a_missing_extra_is_named(recolor, monkeypatch):
    monkeypatch.setitem(sys.modules, "recolor_cli.serve.server", None)
    _, err = recolor("serve", exit_code=2)
    assert "pip install 'recolor-cli[serve]'" in err


@pytest.fixture
def one_process():
    config = WorkerConfig("fruitnet", "cpu", 1, None, RecolorOptions(), OutputOptions())
    with contextlib.closing(ProcessWorkers(config, DECODER)) as workers:
        yield workers


def test_a_picture_with_limits_of_its_own_costs_its_own_request(one_process):
    def do(data: bytes, seconds: float = 600.0):
        settings = ServeSettings(model="fruitnet", limits=Limits(seconds=seconds))
        request = RunOptions(settings).parse([], picture=data)
        return one_process.submit(Job(STREAM, STREAM), MissingOutputs(True), request)

    good, slow = do(picture()), do(picture() + b"SLEEP", 0.5)
    crash, after = do(picture() + b"CRASH"), do(picture())
    assert good.result().status is Status.WRITTEN
    assert "took longer than 0.5 s" in slow.result().error.message
    assert "crashed" in crash.result().error.message
    assert after.result().result == good.result().result

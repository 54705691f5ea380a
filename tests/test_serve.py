"""The service without a network: `create_app` in this process, with real workers in threads."""

import asyncio
import io
import json
import re
from concurrent.futures import Future
from pathlib import Path

import fuzz
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.messages import TaskMessage, WorkerConfig
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.batch.task_desk import TaskDesk
from recolor_cli.commands.request_options import _NAMES, RunOptions
from recolor_cli.errors import ModelError, RecolorError, UsageError
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import available_models
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.serve.app import create_app
from recolor_cli.serve.bodies import Memory
from recolor_cli.serve.problems import RefusedError
from recolor_cli.serve.settings import Limits, SentFile, ServeSettings
from recolor_cli.serve.work import Work
from recolor_cli.system.memory import MemoryBudget

ORIGIN = "http://127.0.0.1:8765"
TOKEN = "0123456789abcdef0123456789abcdef"


class DeskWorkers:
    """Does the tasks in this process, by the code of a worker process."""

    count = processes = 1
    failure = None

    def __init__(self, network) -> None:
        config = WorkerConfig("poster", "cpu", 1, None, RecolorOptions(), OutputOptions())
        self._desk = TaskDesk(config, Recolorizer(network), 1, MemoryBudget(1 << 30))

    def submit(self, job, missing, request=None):
        future = Future()
        future.set_result(self._desk.do(TaskMessage(job, missing, request)))
        return future

    def stop(self):
        pass


class SlowWorkers:
    """Ends a job when it is told to."""

    count = processes = 1
    failure = None

    def __init__(self) -> None:
        self.futures = []

    def submit(self, job, missing, request=None):
        self.futures.append(Future())
        return self.futures[-1]

    def stop(self):
        pass


@pytest.fixture(scope="module")
def workers():
    return DeskWorkers(OnnxColorNetwork.load("poster", "cpu"))


def client_of(workers, **settings) -> TestClient:
    made = ServeSettings(**settings)
    return TestClient(create_app(made, RunOptions(made), workers), base_url=ORIGIN)


@pytest.fixture
def client(workers):
    return client_of(workers)


def picture(image_format: str = "JPEG", size: tuple[int, int] = (64, 48), **options) -> bytes:
    columns = np.linspace(0, 255, size[0], dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.tile(columns, (size[1], 1))).save(file, image_format, **options)
    return file.getvalue()


def problem(response, status: int, code: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content["status"] == status
    assert content["code"] == code
    assert content["hint"] or status == 404
    return content["detail"]


# The same file as the command line's


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", []),
        ("?strength=1.5&temperature=0.6", ["--strength", "1.5", "-T", "0.6"]),
        ("?format=png&icc=source", ["--format", "png", "--icc", "source"]),
        ("?palette=%23c8102e,gold&palette-strength=1", ["--palette", "#c8102e,gold",
                                                          "--palette-strength", "1"]),
        ("?pick=2&seed=4&hint=9,9,red&hint=30,20,blue", ["--pick", "2", "--seed", "4",
                                                         "--hint", "9,9,red",
                                                         "--hint", "30,20,blue"]),
        ("?only-gray=true&keep-original=0.5&no-provenance", ["--only-gray", "--keep-original",
                                                             "0.5", "--no-provenance"]),
    ],
)  # fmt: skip
def test_a_body_gives_the_file_of_the_command_line(client, recolor, query, arguments):
    response = client.post(f"/v1/recolor{query}", content=picture())
    assert response.status_code == 200, response.text
    out, _ = recolor("-", *arguments, stdin=picture())
    assert response.content == out
    kind = "image/png" if "png" in query else "image/jpeg"
    assert response.headers["content-type"] == kind
    assert "network;dur=" in response.headers["server-timing"]


def test_a_form_gives_the_file_of_the_command_line(client, recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    Image.fromarray(mask).save("mask.png")
    Path("look.gpl").write_text("GIMP Palette\n200 16 46 red\n")
    Path("hints.json").write_text(json.dumps([{"x": 9, "y": 9, "color": "#c8102e"}]))
    Path("poster.png").write_bytes(picture("PNG"))
    files = {
        "picture": ("C:\\scans\\poster.png", Path("poster.png").read_bytes()),
        "mask": ("mask.png", Path("mask.png").read_bytes()),
        "palette": ("look.gpl", Path("look.gpl").read_bytes()),
        "hint": ("hints.json", Path("hints.json").read_bytes()),
    }
    response = client.post("/v1/recolor?hint=40,40,teal", files=files)
    assert response.status_code == 200, response.text
    arguments = "--mask mask.png --palette look.gpl --hint 40,40,teal --hint hints.json -o -"
    out, _ = recolor("poster.png", *arguments.split())
    assert response.content == out
    assert "poster-recolored.png" in response.headers["content-disposition"]


def test_another_model_is_loaded_once_and_some_are_kept(workers, client, recolor):
    names = ["film", "fruitnet", "colorunet"]
    for name in names:
        response = client.post(f"/v1/recolor?model={name}", content=picture())
        out, _ = recolor("-", "-m", name, "--device", "cpu", stdin=picture())
        assert response.content == out
    assert list(workers._desk._others) == names[-2:]


def test_a_colored_picture_comes_back_as_it_was_with_a_warning(client):
    colored = np.zeros((48, 64, 3), np.uint8)
    colored[:, :32] = (200, 30, 30)
    colored[:, 32:] = (20, 60, 200)
    file = io.BytesIO()
    Image.fromarray(colored).save(file, "PNG")
    response = client.post("/v1/recolor?if-gray", content=file.getvalue())
    assert "has color of its own" in response.headers["recolor-warning"]
    assert (np.array(Image.open(io.BytesIO(response.content))) == colored).all()


# Options


def test_options_of_a_request_are_those_of_the_command_line():
    options = RunOptions(ServeSettings())
    for option in options.parameters:
        assert option["name"] in _NAMES
        assert option["description"]
    strength = next(o["schema"] for o in options.parameters if o["name"] == "strength")
    assert strength == {"type": "number", "minimum": 0, "maximum": 3, "default": 1.0}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("strength=7", "'--strength': 7.0 is not in the range"),
        ("strength=nan", "nan is not a number"),
        ("quality=0", "0 is not in the range"),
        ("format=bmp2", "'bmp2' is not one of"),
        ("strenght=1", "no option strenght"),
        ("out=/tmp/x", "no option out"),
        ("variants=3", "no option variants"),
        ("only-gray=perhaps", "'perhaps' is not a valid boolean"),
        ("seed=1", "--seed needs"),
        ("palette=/etc/passwd", "no such file came with the request"),
        ("palette-strength=1", "--palette-strength goes with --palette"),
        ("hint=/etc/passwd", "no such file came with the request"),
        ("mask=/etc/passwd", "no such file came with the request"),
        ("hint=9,9,nocolor", "nocolor"),
    ],
)
def test_a_wrong_option_is_refused(client, query, message):
    detail = problem(client.post(f"/v1/recolor?{query}", content=picture()), 400, 2)
    assert message in detail


@pytest.mark.parametrize("model", ["nothing", "../poster.onnx", "/etc/passwd", "x.toml"])
def test_a_model_can_be_named_but_not_by_a_path(client, model):
    detail = problem(client.post(f"/v1/recolor?model={model}", content=picture()), 400, 4)
    assert "no model is called" in detail


def test_a_model_with_one_color_refuses_a_palette(client):
    response = client.post("/v1/recolor?model=regression&palette=1950s", content=picture())
    problem(response, 400, 4)


def test_variables_of_the_server_are_not_those_of_requests(monkeypatch):
    monkeypatch.setenv("RECOLOR_QUALITY", "5")
    monkeypatch.setenv("RECOLOR_FORMAT", "gif")
    monkeypatch.setenv("RECOLOR_MODEL", "nothing")
    values = RunOptions(ServeSettings()).parse([]).values
    assert (values.quality, values.format_, values.model) == (95, None, "poster")


def test_two_files_of_one_name_are_refused():
    files = [SentFile("hint", "a", b""), SentFile("palette", "a", b"")]
    with pytest.raises(UsageError, match="two files have one name"):
        RunOptions(ServeSettings()).parse([], files)


def test_a_sent_file_is_one_whatever_its_name_is():
    sent = SentFile("palette", "#ff0000", b"GIMP Palette\n0 0 255 blue\n")
    request = RunOptions(ServeSettings()).parse([], [sent])
    palette, named = request.options()[0].steering.palette, load_palette("#0000ff")
    np.testing.assert_array_equal(palette.ab, named.ab)


def test_the_model_of_the_server_may_be_a_path():
    options = RunOptions(ServeSettings(model="/models/own.onnx"))
    assert options.parse([]).model == "/models/own.onnx"
    with pytest.raises(ModelError):
        options.parse([("model", "/models/other.onnx")])


# Errors and limits


@pytest.mark.parametrize("body", [b"", b"no picture", b"%PDF-1.4", b"\xff\xd8\xff", b"<svg/>"])
def test_what_is_no_picture_is_refused(client, body):
    problem(client.post("/v1/recolor", content=body), 422, 1)


def test_a_damaged_picture_is_refused_or_kept(client):
    cut_off = picture(size=(640, 480))[:-900]
    detail = problem(client.post("/v1/recolor", content=cut_off), 422, 1)
    assert "missing" in detail
    response = client.post("/v1/recolor?damaged=keep", content=cut_off)
    assert response.status_code == 200


def test_broken_bodies_are_refused_or_recolored(client, capfd, caplog):
    statuses = set()
    for number in range(32):
        _, data = fuzz.changed(3, number)
        response = client.post("/v1/recolor?max-pixels=4000000", content=data)
        if response.status_code != 200:
            problem(response, 422, 1)
        statuses.add(response.status_code)
    assert statuses == {200, 422}
    assert "Traceback" not in capfd.readouterr().err
    assert not caplog.records


def test_pixels_are_limited_by_the_server(workers):
    client = client_of(workers, limits=Limits(pixels=1000))
    for query in ("", "?max-pixels=1000000"):
        detail = problem(client.post(f"/v1/recolor{query}", content=picture()), 422, 1)
        assert "more than the 1,000 pixels" in detail


@pytest.mark.parametrize("option", ["palette", "hint", "mask"])
def test_pixels_of_guides_are_limited_too(workers, option):
    client = client_of(workers, limits=Limits(pixels=5000))
    files = {"picture": ("a.jpg", picture()), option: ("b.png", picture("PNG", (80, 64)))}
    detail = problem(client.post("/v1/recolor", files=files), 400, 2)
    assert "b.png" in detail
    assert "declares 5,120 pixels, more than the 5,000 pixels that --max-pixels allows" in detail


def test_a_large_body_is_refused_before_it_is_read(workers):
    client = client_of(workers, limits=Limits(body=10_000))
    response = client.post("/v1/recolor", content=b"x" * 10_001)
    problem(response, 413, 2)
    response = client.post("/v1/recolor", content=iter([b"x" * 9000, b"x" * 9000]))  # no length
    problem(response, 413, 2)
    assert client.app.state.service.memory.used == 0


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary="],
)
def test_a_broken_form_is_refused(client, content_type):
    headers = {"Content-Type": content_type}
    response = client.post("/v1/recolor", content=b"--y\r\nno form", headers=headers)
    problem(response, 400, 2)


def test_a_form_has_one_picture_and_no_other_fields(client):
    two = [("picture", ("a.jpg", picture())), ("picture", ("b.jpg", picture()))]
    assert "2 pictures" in problem(client.post("/v1/recolor", files=two), 400, 2)
    other = {"picture": ("a.jpg", picture()), "x": ("b", b"")}
    assert "no field x" in problem(client.post("/v1/recolor", files=other), 400, 2)
    text = {"strength": "1"}
    files = {"picture": ("a.jpg", picture())}
    assert "is no file" in problem(client.post("/v1/recolor", data=text, files=files), 400, 2)


def test_more_than_may_wait_are_refused_and_told_when_to_come_again():
    async def main():
        workers = SlowWorkers()
        work = Work(workers, waiting=2, observe=lambda outcome, seconds: None)
        job = Job(STREAM, STREAM)
        request = RunOptions(ServeSettings()).parse([])
        tasks = [asyncio.create_task(work.do(job, request)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as raised:
            await work.do(job, request)
        assert raised.value.status == 503
        assert int(raised.value.headers["Retry-After"]) >= 1
        assert len(workers.futures) == 2  # one at work, one ready for its process
        # One that waits leaves; its place is free, and its picture is never worked on.
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert work.in_hand == 2
        work.check_room()
        # One at work cannot be called back; its place is free when it ends.
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert work.in_hand == 2
        for future in workers.futures:
            future.set_result(DONE)
        await tasks[1]
        await asyncio.sleep(0.01)
        assert work.in_hand == 0
        assert len(workers.futures) == 2

    from recolor_cli.batch.outcome import Outcome, Status

    DONE = Outcome(Job(STREAM, STREAM), Status.WRITTEN)
    asyncio.run(main())


def test_memory_for_bodies_is_counted(client):
    memory = Memory(100)
    memory.hold(90)
    with pytest.raises(RefusedError, match="no memory") as raised:
        memory.hold(11)
    assert raised.value.headers["Retry-After"]
    client.post("/v1/recolor", content=picture())
    client.post("/v1/recolor", content=b"x")
    assert client.app.state.service.memory.used == 0


def test_a_bug_is_answered_without_its_traceback(monkeypatch):
    class BrokenWorkers(SlowWorkers):
        def submit(self, job, missing, request=None):
            raise RuntimeError("secret")

    settings = ServeSettings()
    app = create_app(settings, RunOptions(settings), BrokenWorkers())
    client = TestClient(app, base_url=ORIGIN, raise_server_exceptions=False)
    response = client.post("/v1/recolor", content=picture())
    problem(response, 500, 70)
    assert "secret" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    line = 'recolor_requests_total{path="/v1/recolor",status="500"} 1.0'
    assert line in client.get("/metrics").text
    # Its place is free again.
    assert app.state.service.work.in_hand == 0
    assert app.state.service.memory.used == 0


# Who may ask


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8765"}, 421),
        ({"Host": "192.168.1.7:8765"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:8765"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://localhost:8765"}, 403),
        ({"Origin": ORIGIN}, 200),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_pages_of_other_origins_cannot_use_the_server(client, headers, status):
    response = client.get("/v1/models", headers=headers)
    assert response.status_code == status, response.text


def test_another_page_cannot_send_a_form(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    problem(client.post("/v1/recolor", content=picture(), headers=headers), 403, 2)


def test_a_server_for_others_has_the_names_that_it_is_given(workers):
    client = client_of(workers, host="0.0.0.0", token=TOKEN, allowed_hosts=("Studio.example",))
    own = {"Authorization": f"Bearer {TOKEN}"}
    for host, status in [
        ("studio.example", 200),
        ("studio.example:80", 200),
        ("192.168.1.7:8765", 200),  # a page cannot make an address its name
        ("evil.example", 421),
    ]:
        response = client.get("/v1/models", headers={**own, "Host": host})
        assert response.status_code == status, host


@pytest.mark.parametrize("path", ["/", "/v1/models", "/metrics", "/docs", "/static/x", "/nothing"])
def test_without_the_token_there_is_nothing(workers, path):
    client = client_of(workers, token=TOKEN)
    problem(client.get(path), 401, 2)
    for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", "Bearer \xe9"):
        headers = {"Authorization": wrong.encode("latin-1")}
        assert client.get(path, headers=headers).status_code == 401
    assert client.get("/healthz").status_code == 200


def test_a_browser_gets_the_token_by_a_form(workers):
    client = client_of(workers, token=TOKEN)
    page = {"Accept": "text/html"}
    assert client.get("/", headers=page).url.path == "/login"
    response = client.post("/login", content="token=wrong")
    assert response.status_code == 401
    assert TOKEN not in response.text
    large = client.post("/login", content=b"x" * 5000)
    assert problem(large, 413, 2) == "the request is larger than 4,096 bytes"
    assert "raise --max-body" not in large.json()["hint"]
    response = client.post("/login", content=f"token={TOKEN}", follow_redirects=False)
    assert response.headers["location"] == "/"
    # The cookies of other servers on this machine come, too, whatever is in them.
    for others in ('prefs={"a":1}', "name=Jörg Müller", "x", '="'):
        cookies = f"{others}; recolor-token={TOKEN}; after=1".encode()
        assert client_of(workers, token=TOKEN).get("/", headers={"Cookie": cookies}).is_success
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert client.get("/").status_code == 200
    assert client.post("/v1/recolor", content=picture()).status_code == 200


def test_every_answer_has_a_strict_policy(client):
    for path in ("/", "/docs", "/login", "/nothing", "/v1/models", "/static/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


# The other addresses


def test_models_are_listed_with_their_facts(client):
    models = client.get("/v1/models").json()["models"]
    assert {model["name"] for model in models} == set(available_models())
    assert [model["name"] for model in models if model["default"]] == ["poster"]
    assert not {"path", "source"} & models[0].keys()


def test_a_broken_model_is_listed_as_such(client, tmp_path, monkeypatch):
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    assert client.get("/v1/models").status_code == 200
    (tmp_path / "broken.onnx").write_bytes(b"no model")  # added while the server runs
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert "broken.onnx cannot be loaded as a model" in models["broken"]["error"]
    assert models["poster"]["kind"] == "classification"


def test_metrics_count_requests_and_pictures(client):
    client.post("/v1/recolor", content=picture())
    client.post("/v1/recolor", content=b"x")
    client.get("/nothing")
    text = client.get("/metrics").text
    for line in (
        'recolor_requests_total{path="/v1/recolor",status="200"} 1.0',
        'recolor_requests_total{path="/v1/recolor",status="422"} 1.0',
        'recolor_requests_total{path="other",status="404"} 1.0',
        'recolor_pictures_total{status="written"} 1.0',
        'recolor_pictures_total{status="failed"} 1.0',
        "recolor_pictures_in_hand 0.0",
        "recolor_body_bytes 0.0",
        "process_resident_memory_bytes",
    ):
        assert line in text


def test_the_description_needs_nothing_from_elsewhere(client):
    document = client.get("/openapi.json").json()
    recolor = document["paths"]["/v1/recolor"]["post"]
    named = {option["name"] for option in recolor["parameters"]}
    assert named | {"mask"} == set(_NAMES)
    assert set(recolor["requestBody"]["content"]) == {
        "application/octet-stream",
        "multipart/form-data",
    }
    page = client.get("/docs").text
    assert "<script" not in page
    assert all(url.startswith("/") for url in re.findall(r'(?:href|src)="([^"]*)"', page))
    assert all(f"<code>{name}</code>" in page for name in named)


def test_health_tells_why_no_process_is_left():
    workers = SlowWorkers()
    client = client_of(workers)
    assert client.get("/healthz").json() == {"status": "ok"}
    workers.failure = RecolorError(
        "the process that recolors was killed at its start", "see doctor"
    )
    assert "was killed" in problem(client.get("/healthz"), 503, 2)


def test_an_address_that_there_is_not_is_a_problem(client):
    problem(client.get("/nothing"), 404, 2)
    problem(client.get("/v1/recolor"), 405, 2)
    for path in ("/login", "/studio/pictures"):
        allowed = client.put(path).headers["allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "POST"}


def test_uploads_are_kept_in_memory_alone(client, tmp_path, monkeypatch):
    import tempfile

    def refuse(*args, **kwargs):
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", refuse)
    files = {"picture": ("a.png", picture("PNG", (2000, 1000)) + b"\0" * (3 << 20))}
    assert client.post("/v1/recolor", files=files).status_code in (200, 422)


def test_a_task_without_options_has_those_of_the_run(workers, tmp_path):
    source = tmp_path / "a.jpg"
    source.write_bytes(picture())
    job = Job(str(source), str(tmp_path / "b.jpg"))
    outcome = workers._desk.do(TaskMessage(job, MissingOutputs(True)))
    assert outcome.written == (str(tmp_path / "b.jpg"),)
    assert outcome.result == b""

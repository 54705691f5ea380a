"""The files of deploy/. No container engine is needed: their steps run in a plain folder."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from test_serve import TOKEN, picture

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
UNIT = (DEPLOY / "recolor.service").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()
FOLDERS = re.compile(r"(?<![\w./-])/(?=(?:src|dist|opt|run|tmp|var)\b)")


class Step(NamedTuple):
    """An instruction of a Dockerfile, and its stage."""

    name: str
    text: str
    stage: int

    def words(self) -> list[str]:
        """The words of a list, as of CMD."""
        return json.loads(self.text[self.text.index("[") :])


def steps(dockerfile: str) -> list[Step]:
    text = re.sub(r"^#.*\n", "", (DEPLOY / dockerfile).read_text(), flags=re.MULTILINE)
    found, stage = [], -1
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            stage += name == "FROM"
            found.append(Step(name, rest.strip(), stage))
    return found


def last(dockerfile: str, name: str) -> Step:
    return [step for step in steps(dockerfile) if step.name == name][-1]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_is_there_and_is_not_ignored(dockerfile):
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for step in steps(dockerfile):
        if step.name == "COPY" and not step.text.startswith("--from"):
            for source in step.text.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignore
                if tracked:  # a package of the sources has no git
                    assert re.search(rf"^{re.escape(source)}(/|$)", tracked, re.MULTILINE)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_container_is_not_root_and_tells_its_health(dockerfile):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(dockerfile, "USER").text)
    order = [step.name for step in steps(dockerfile)]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "RUN")
    port = last(dockerfile, "EXPOSE").text
    command = last(dockerfile, "ENTRYPOINT").words()
    assert command[command.index("--port") + 1] == port
    assert "--token-file" in command
    assert f"'127.0.0.1', {port}, " in last(dockerfile, "HEALTHCHECK").words()[-1]
    assert all(re.search(r":[\w.]+-slim-", s.text) for s in steps(dockerfile) if s.name == "FROM")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_server_and_no_proxy(status, code):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        words = last("Dockerfile", "HEALTHCHECK").words()
        port = last("Dockerfile", "EXPOSE").text
        command = words[-1].replace(port, str(server.server_port))
        nowhere = os.environ | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        done = subprocess.run([sys.executable, "-c", command], env=nowhere)
        server.shutdown()
    assert done.returncode == code


def test_the_token_is_not_tracked():
    assert "/deploy/token" in (ROOT / ".gitignore").read_text().splitlines()
    assert "file: ./token" in COMPOSE


def test_the_images_differ_in_the_extra_and_the_driver_alone():
    cpu, cuda = ([(s.name, s.text) for s in steps(name)] for name in DOCKERFILES)
    cuda = [(name, text.replace("[cuda,serve]", "[serve]")) for name, text in cuda]
    assert [step for step in cuda if step not in cpu] == [
        ("ENV", "NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute")
    ]
    assert [step for step in cpu if step not in cuda] == []


def test_compose_starts_what_the_dockerfiles_build():
    assert set(re.findall(r"dockerfile: deploy/([\w.]+)", COMPOSE)) == set(DOCKERFILES)
    assert "read_only: true" in COMPOSE
    assert "cap_drop: [ALL]" in COMPOSE
    port = last("Dockerfile", "EXPOSE").text
    assert f'"127.0.0.1:{port}:{port}"' in COMPOSE
    target = re.search(r"target: (\S+)", COMPOSE)[1]
    assert f"/run/secrets/{target}" in last("Dockerfile", "ENTRYPOINT").words()


def options_of(command: list[str]) -> set[str]:
    return {word for word in command if word.startswith("--")}


def test_all_commands_have_options_that_there_are():
    from recolor_cli.cli import cli

    known = {name for option in cli.commands["serve"].params for name in option.opts}
    unit = shlex.split(re.search(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)[1])
    words = [last(name, "ENTRYPOINT").words() for name in DOCKERFILES]
    words += [json.loads(found) for found in re.findall(r"command: (\[.+\])", COMPOSE)]
    for command in (unit, *words):
        assert options_of(command) <= known
        assert options_of(command)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_knows_the_unit_and_finds_it_hardened(tmp_path):
    unit = tmp_path / "recolor.service"
    unit.write_text(UNIT.replace("/opt/recolor/bin/recolor", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", unit]
    report = subprocess.run(command, capture_output=True, text=True).stdout
    exposure = float(re.search(r"Overall exposure level.*: ([\d.]+)", report)[1])
    assert exposure < 2


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_a_server_in_a_plain_folder(tmp_path):
    """Run COPY, RUN, HEALTHCHECK and ENTRYPOINT below a folder instead of the root of an image.

    Pip and the packages that the wheel needs are those of this environment, and the system's
    libraries those of this machine.
    """

    def below(text: str) -> str:
        return FOLDERS.sub(f"{tmp_path}/", text)

    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_EXTRA_INDEX_URL", "SSL_CERT_FILE"):
        if name in os.environ:
            environment[name] = os.environ[name]
    folder = tmp_path
    for step in steps("Dockerfile"):
        if step.name == "WORKDIR":
            folder = Path(below(step.text))
            folder.mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY" and not step.text.startswith("--from"):
            *sources, target = step.text.split()
            for source in sources:
                copy(ROOT / source, folder / target / ("" if target != "." else source))
        elif step.name == "RUN" and "apt-get" not in step.text:
            command = below(step.text)
            if step.stage == 1:
                environment["PIP_NO_DEPS"] = "1"
            makes_environment = "venv" in command
            if makes_environment:
                command += " --without-pip"
            done = subprocess.run(
                ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            if makes_environment:
                made = tmp_path / "opt/recolor"
                site = next((made / "lib").glob("python*/site-packages"))
                (site / "own.pth").write_text(sysconfig.get_path("purelib"))
                (made / "bin/pip").write_text(f'#!/bin/sh\nexec {made}/bin/python -m pip "$@"\n')
                (made / "bin/pip").chmod(0o755)
    (tmp_path / "run/secrets").mkdir(parents=True)
    (tmp_path / "run/secrets/recolor-token").write_text(TOKEN)
    port = str(free_port())
    command = [below(word) for word in last("Dockerfile", "ENTRYPOINT").words()]
    command[command.index("--port") + 1] = port
    health = [below(word) for word in last("Dockerfile", "HEALTHCHECK").words()]
    health[-1] = health[-1].replace(last("Dockerfile", "EXPOSE").text, port)
    server = subprocess.Popen([*command, "--device", "cpu"], cwd=folder, env=environment)
    try:
        wait_for(server, port)
        subprocess.run(health, check=True)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/recolor",
            picture(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/jpeg"},
        )
        assert urllib.request.urlopen(request).read(2) == b"\xff\xd8"
    finally:
        server.terminate()
    assert server.wait(60) == 0


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def wait_for(server: subprocess.Popen, port: str) -> None:
    """Wait until a server answers. It is asked from here, without a process for each question."""
    end = time.monotonic() + 60
    while True:
        assert server.poll() is None
        assert time.monotonic() < end
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz"):
            return
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

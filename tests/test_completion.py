"""Complete lines in the real shells, where they are installed."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
CASES = {
    "recolor doc": "doctor",
    "recolor --str": "--strength",
    "recolor old.jpg --overw": "--overwrite",
    "recolor -m fru": "fruitnet",
    "recolor old.jpg --format web": "webp",
    "recolor run --device cu": "cuda",
    "recolor models add siggr": "siggraph17",
    "recolor old.j": "old.jpg",
    "recolor -o resul": "results",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with the program in bin/, click's scripts, and something to complete."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "recolor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m recolor_cli "$@"\n')
    program.chmod(0o755)
    for shell in SHELLS:
        variables = os.environ | {"_RECOLOR_COMPLETE": f"{shell}_source"}
        done = subprocess.run([program], env=variables, capture_output=True, check=True)
        (tmp_path / shell).write_bytes(done.stdout)
    (tmp_path / "old.jpg").touch()
    (tmp_path / "results").mkdir()
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "HOME": str(folder), "TERM": "dumb", "PS1": "$ "}


@pytest.mark.parametrize(
    ("shell", "setup"),
    [
        (["bash", "--norc", "--noprofile", "-i"], "source ./bash"),
        (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source ./zsh"),
    ],
    ids=["bash", "zsh"],
)
def test_a_line_is_completed_when_tab_is_pressed(shell, setup, folder):
    if not shutil.which(shell[0]):
        pytest.skip(f"there is no {shell[0]} here")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, environment(folder))

    def typed(keys: str, expected: str) -> None:
        os.write(terminal, keys.encode())
        seen = ""
        until = time.monotonic() + 60
        while expected not in seen:
            assert time.monotonic() < until, seen
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 10_000).decode(errors="replace")

    try:
        typed(f"{setup}; echo rea''dy\n", "ready\r")
        for line, word in CASES.items():
            typed(f"{line}\t", f"{line.rpartition(' ')[0]} {word}")
            typed("\x15echo rea''dy\n", "ready\r")  # the line is emptied
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish(folder):
    for line, word in CASES.items():
        script = f"source fish; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script], cwd=folder, env=environment(folder),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        words = [candidate.split("\t")[0].rstrip("/") for candidate in done.stdout.splitlines()]
        assert words == [word], line

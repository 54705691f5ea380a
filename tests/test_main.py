"""`cli.main`: errors become exit codes, and -v adds a traceback to them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recolor_cli import cli
from recolor_cli.batch import plan


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_help_to_a_full_disk_is_an_error_and_no_bug(unbuffered):
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "recolor_cli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert process.returncode == 1
    assert process.stderr.startswith(b"error: ")
    assert b"No space left" in process.stderr
    assert b"Traceback" not in process.stderr


def test_an_oserror_that_is_not_about_printing_is_a_bug(monkeypatch, capsys, poster):
    def fail(*args):
        Path(poster.parent).read_bytes()

    monkeypatch.setattr(plan, "plan", fail)
    assert cli.main([str(poster)]) == 70
    err = capsys.readouterr().err
    assert "IsADirectoryError" in err
    assert "bug in recolor" in err


@pytest.mark.parametrize("flags", [["-v"], ["--verbose"], ["-rv"], ["-nv"], []])
def test_verbose_adds_a_traceback_to_an_error(capsys, flags):
    assert cli.main(["a.jpg", *flags, "--palette", "missing.gpl"]) != 0
    err = capsys.readouterr().err
    assert "error: " in err
    assert ("Traceback" in err) == bool(flags)


def test_verbose_can_be_an_environment_variable(capsys, monkeypatch):
    monkeypatch.setenv("RECOLOR_VERBOSE", "1")
    assert cli.main(["a.jpg", "--palette", "missing.gpl"]) != 0
    assert "Traceback" in capsys.readouterr().err


def test_a_value_that_looks_like_verbose_is_not_it(capsys):
    """Here -o takes -v as its value."""
    assert cli.main(["a.jpg", "--palette", "missing.gpl", "-o", "-v"]) != 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["version"], ["-V"], ["--version"]])
def test_the_version_is_told_however_it_is_asked_for(capsys, words):
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith("recolor, version ")


def test_help_is_told_by_its_word(capsys, monkeypatch, tmp_path):
    assert cli.main(["help", "film"]) == 0
    assert capsys.readouterr().out.startswith("Usage: recolor film")
    assert cli.main(["help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: recolor ")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "help").write_bytes(b"x")  # a file of this name is an input
    assert cli.main(["help"]) == 1
    assert "help: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.jpg", "--nosuch"], "see recolor run --help"),
        (["film", "a.mp4", "--nosuch"], "see recolor film --help"),
        (["train", "x.toml", "--nosuch"], "see recolor train --help"),
        (["--nosuch", "a.jpg"], "see recolor run --help"),
        (["film", "a.mp4", "--quality", "3"], "is an option for pictures: recolor run --help"),
        (["run", "a.jpg", "--codec", "h264"], "is an option for films: recolor film --help"),
    ],
)
def test_an_unknown_option_names_the_help_of_its_command(capsys, arguments, said):
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is a signal on POSIX")
@pytest.mark.parametrize("module", ["recolor_cli.cli", "numpy", "recolor_cli.batch.plan"])
@pytest.mark.parametrize("start", ["-m", "-c"])
def test_ctrl_c_during_an_import_is_no_traceback(tmp_path, poster, module, start):
    """Also where Python would only print and pass over the exception, as in a destructor."""
    (tmp_path / "sitecustomize.py").write_text(
        "import signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            class Bomb:\n"
        "                def __del__(self):\n"
        "                    signal.raise_signal(signal.SIGINT)\n"
        "            Bomb()\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    script = "import sys; from recolor_cli.__main__ import main; sys.exit(main())"
    command = [sys.executable, start, "recolor_cli" if start == "-m" else script, str(poster)]
    root = Path(cli.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    done = subprocess.run(command, stderr=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")
    assert not poster.with_stem("poster-recolored").exists()

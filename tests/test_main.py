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

"""Too little memory is told as such, whichever library notices it."""

import errno
import subprocess
import sys

import av.error
import cv2
import pytest

from conftest import draw, encoded
from recolor_cli import cli
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import failed_unexpectedly
from recolor_cli.commands.report import missing_extra
from recolor_cli.errors import InputError
from recolor_cli.image.failures import decoder_errors, encoder_errors
from recolor_cli.image.formats import ImageFormat
from recolor_cli.system.memory import is_out_of_memory
from video_clips import make

LACKS = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 b"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bad allocation"),
    RuntimeError("Failed to allocate memory for requested buffer of size 36"),
    RuntimeError("can't start new thread"),
    ImportError("libx.so: failed to map segment from shared object"),
    ImportError("libx.so: cannot allocate memory in static TLS block"),
    ValueError("Insufficient memory (case 4)"),
]


@pytest.mark.parametrize("error", LACKS, ids=str)
def test_a_lack_of_memory_is_no_bug_and_no_damage(error):
    assert is_out_of_memory(error)
    outcome = failed_unexpectedly(Job("x.jpg"), error)
    assert "not enough memory" in outcome.error.message
    assert not outcome.bug
    with pytest.raises(MemoryError), decoder_errors():
        raise error
    with pytest.raises(MemoryError), encoder_errors(ImageFormat.JPEG):
        raise error


def test_a_lack_of_memory_is_found_below_other_errors():
    outer = ValueError("it failed")
    assert not is_out_of_memory(outer)
    outer.__cause__ = MemoryError()
    assert is_out_of_memory(outer)
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "Out of Memory.mp4"),
        FileNotFoundError("posters/no memory.jpg"),
        InputError("Out of Memory.mp4: it cannot be read"),
    ],
    ids=repr,
)
def test_a_file_whose_name_speaks_of_memory_does_not_lack_it(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", LACKS[:3], ids=str)
def test_a_lack_of_memory_anywhere_is_told_without_a_traceback(monkeypatch, capsys, poster, error):
    def fail(*args):
        raise error

    monkeypatch.setattr("recolor_cli.batch.plan.plan", fail)
    assert cli.main([str(poster)]) == 1
    err = capsys.readouterr().err
    assert "error: there is not enough memory" in err
    assert "bug" not in err


def test_a_film_that_ffmpeg_has_no_memory_for(monkeypatch, capsys, tmp_path):
    make(tmp_path / "a.mp4")

    def fail(*args, **options):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", fail)
    assert cli.main([str(tmp_path / "a.mp4"), "--device", "cpu", "-m", "fruitnet"]) == 1
    assert "there is not enough memory for it" in capsys.readouterr().err


def test_a_package_that_does_not_fit_into_memory_is_not_missing():
    lack = ImportError("cv2.so: failed to map segment from shared object", name="cv2")
    with pytest.raises(ImportError, match="failed to map"):
        missing_extra("video", lack)
    assert "[video]" in missing_extra("video", ModuleNotFoundError("no av", name="av")).hint


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
@pytest.mark.parametrize("count", [1, 2])  # in this process, and in others
def test_a_process_that_may_have_little_memory(tmp_path, count):
    import resource

    for number in range(count):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(draw()))
    limit = 200 << 20
    done = subprocess.run(
        [sys.executable, "-m", "recolor_cli", str(tmp_path), "--device", "cpu"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "memory" in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr

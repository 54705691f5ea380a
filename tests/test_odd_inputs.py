"""Inputs that are no files: URLs, streams by their names in /dev; and a folder that is gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import draw, encoded, names
from recolor_cli.batch.job import STREAM
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan, plan_lines
from recolor_cli.errors import UsageError
from recolor_cli.system.places import is_url

COMMAND = [sys.executable, "-m", "recolor_cli"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}  # from other folders, too
needs_descriptors = pytest.mark.skipif(
    not os.path.exists("/dev/fd/0"), reason="descriptors have no names here"
)


@pytest.mark.parametrize(
    "url", ["https://a.org/b.jpg", "HTTP://a.org/b.png", "webdav://box/b.tif", "ftp://a.org/b.webp"]
)
def test_a_url_is_told_with_its_whole_name(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.jpg").write_bytes(b"x")
    remote, local = plan([url, "c.jpg"], False, OutputOptions(out="out"))
    assert remote.source == url
    assert "downloads nothing" in remote.error.message
    assert "curl" in remote.error.hint
    assert local.error is None
    (listed,) = plan_lines([url], False, OutputOptions())
    assert "downloads nothing" in listed.error.message


def test_a_file_url_is_told_the_file():
    (job,) = plan(["file:///home/me/a%20b.jpg"], False, OutputOptions())
    assert job.error.hint == "name the file: /home/me/a b.jpg"


def test_a_file_may_be_named_like_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:/x.jpg").write_bytes(b"x")
    (job,) = plan(["http://x.jpg"], False, OutputOptions())
    assert job.error is None
    assert not is_url("C:/x.jpg")
    assert not is_url("a://")  # a drive, or no scheme: schemes have two letters


def test_the_url_of_a_film_is_told_too(recolor):
    _, err = recolor("https://a.org/b.mp4", exit_code=1)
    assert "https://a.org/b.mp4: recolor reads files and downloads nothing" in err


@needs_descriptors
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_all_names_of_standard_input_are_standard_input(name):
    (job,) = plan([name], False, OutputOptions())
    assert (job.source, job.destination) == (STREAM, STREAM)


@needs_descriptors
def test_standard_input_has_a_name_of_its_own_among_others(tmp_path):
    name = "/dev/fd/0"
    done = subprocess.run([*COMMAND, name], input=encoded(draw()), capture_output=True)
    assert done.stdout.startswith(b"\xff\xd8\xff"), done.stderr
    (tmp_path / "b.jpg").write_bytes(encoded(draw(seed=1)))
    command = [*COMMAND, name, str(tmp_path / "b.jpg"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, input=encoded(draw()), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["b.jpg", "stdin-recolored.png"]


@needs_descriptors
def test_substituted_commands_are_inputs_among_others(tmp_path):
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / name).write_bytes(encoded(draw(seed=seed)))
    script = f"{sys.executable} -m recolor_cli <(cat a.jpg) <(cat b.jpg) c.jpg -o out/"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = names(tmp_path / "out")
    assert len(found) == 3
    assert found[0] == "c.jpg"
    assert all(name.startswith("fd") and name.endswith("-recolored.png") for name in found[1:])


@needs_descriptors
@needs_descriptors
def test_a_result_of_a_pipe_has_the_permissions_of_a_new_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    script = f"umask 022; {sys.executable} -m recolor_cli <(cat a.jpg) -o out.jpg --device cpu"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=ENVIRONMENT, check=True)
    assert (tmp_path / "out.jpg").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("words", [["./-"], ["--files-from", "list.txt"]])
def test_a_file_may_have_the_name_of_standard_input(recolor, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(encoded(draw()))
    (tmp_path / "list.txt").write_text("-\n")
    recolor(*words, "-o", "out/", "--device", "cpu")
    assert names(tmp_path / "out") == ["-"]


def test_a_list_cannot_name_a_stream_and_it_cannot_be_replaced():
    (job,) = plan_lines(["/dev/fd/63"], False, OutputOptions(out="out"))
    assert "cannot name a pipe" in job.error.message
    with pytest.raises(UsageError, match="no place"):
        plan(["/dev/fd/63"], False, OutputOptions(backup=".orig"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no folder that is in use")
@pytest.mark.parametrize("words", [["a.jpg"], ["."], ["demo"], ["--files-from", "-", "-o", "out"]])
def test_a_deleted_folder_is_told(tmp_path, words):
    script = 'rmdir "$PWD" && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, *words],
        cwd=tmp_path, env=ENVIRONMENT, input="a.jpg\n", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the current folder was deleted" in done.stderr
    assert "cd ~" in done.stderr
    assert "Traceback" not in done.stderr

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from test_image_decode import declared_png

from conftest import draw, encoded
from recolor_cli.color.lab import rgb_to_lightness
from recolor_cli.commands.run import run as run_command
from recolor_cli.errors import OutputError
from recolor_cli.model import registry
from recolor_cli.model.registry import find_model
from recolor_cli.terminal.streams import chunks, records

COMMAND = [sys.executable, "-m", "recolor_cli"]


def size_of(data: bytes) -> tuple[str, tuple[int, int]]:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.format, image.size


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def finished(folder: Path) -> list[str]:
    """Return the names that are not temporary."""
    return [name for name in files_below(folder) if not name.startswith(".")]


def test_one_poster_in_one_recolored_poster_out(recolor, poster):
    out, err = recolor(poster, "--device", "cpu")
    result = poster.with_name("poster-recolored.jpg")
    assert out.decode() == f"{result}\n"
    assert err == ""
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (poster, result))
    assert after.shape == before.shape
    assert np.abs(rgb_to_lightness(after) - rgb_to_lightness(before)).mean() < 0.5
    assert not np.array_equal(after, before)


def test_the_cpu_is_told_in_one_line_unless_it_was_asked_for(recolor, poster, monkeypatch):
    monkeypatch.setattr(
        "recolor_cli.model.onnx_network.why_no_cuda", lambda: "no driver, says the test"
    )
    _, err = recolor(poster, "-n")
    assert "running on the CPU" not in err
    _, err = recolor(poster)
    (line,) = err.splitlines()
    assert "running on the CPU: no driver, says the test" in line
    for options in (["-q"], ["--device", "cpu"]):
        _, err = recolor(poster, "--overwrite", *options)
        assert err == ""


def test_a_machine_without_a_card_is_told_by_the_doctor_and_in_detail_only(
    recolor, poster, monkeypatch
):
    for place in ("model.cuda", "system.device"):
        monkeypatch.setattr(f"recolor_cli.{place}.why_no_driver", lambda: "no driver here")
    _, err = recolor(poster)
    assert err == ""
    _, err = recolor(poster, "--overwrite", "-v")
    assert err.count("running on the CPU: no driver here") == 1
    out, _ = recolor("doctor")
    assert b"no driver here" in out


def test_a_folder_with_broken_files_among_them(recolor, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02}.jpg").write_bytes(encoded(draw(seed=i)))
    (folder / "03.jpg").write_bytes(b"")
    (folder / "05.jpg").write_bytes(b"once upon a time")
    (folder / "07.jpg").write_bytes(encoded(draw(300, 200))[:900])
    out, err = recolor(folder, "-o", tmp_path / "out", "--device", "cpu", exit_code=1)
    assert len(out.splitlines()) == 9
    assert files_below(tmp_path / "out") == [f"{i:02}.jpg" for i in range(12) if i not in (3, 5, 7)]
    for name, words in (("03", "empty"), ("05", "no picture"), ("07", "damaged")):
        assert re.search(rf"error: .*{name}\.jpg: .*{words}", err)
    assert "9 written, 3 failed" in err


def test_the_same_command_twice_skips_all(recolor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    (tmp_path / "b.png").write_bytes(encoded(draw(), "PNG"))
    recolor(tmp_path, "--device", "cpu")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(before) == 4
    out, err = recolor(tmp_path, "--device", "cpu")
    assert out == b""
    assert "2 skipped" in err
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    out, _ = recolor(tmp_path, "--device", "cpu", "--overwrite")
    assert len(out.splitlines()) == 2


def test_a_tree_stays_a_tree(recolor, tmp_path):
    for name in ("in/a.jpg", "in/deep/er/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(draw()))
    recolor(tmp_path / "in", "-r", "-o", tmp_path / "out", "--device", "cpu")
    assert files_below(tmp_path / "out") == ["a.jpg", "deep/er/b.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "a b.jpg",
        'it\'s "q".jpg',
        "плакат 映画 é.jpg",
        "-dash.jpg",
        "[bold]x[bold].jpg",
        "run",
        "a\nb.jpg",
    ],
)
def test_odd_names(recolor, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(encoded(draw()))
    out, err = recolor("--device", "cpu", "--", name)
    stem, ending = os.path.splitext(name)
    assert out.decode() == f"{stem}-recolored{ending}\n"
    assert size_of(Path(f"{stem}-recolored{ending}").read_bytes()) == ("JPEG", (60, 90))
    Path(name).write_bytes(b"bad")
    _, err = recolor("--device", "cpu", "--overwrite", "--", name, exit_code=1)
    assert name.replace("\n", "\ufffd") in err


@pytest.mark.parametrize("name", ["q" * 300, f"{'q' * 300}.mkv", f"no/{'q' * 300}.jpg", "q" * 9000])
def test_a_name_that_is_too_long(recolor, name):
    out, err = recolor(name, "--device", "cpu", "--json", exit_code=1)
    assert json.loads(out)["source"] == name
    assert "name too long" in err.lower() or "no such file" in err
    assert len(err) < 1100


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only Unicode names")
def test_a_name_that_is_no_unicode(tmp_path):
    name = b"caf\xe9.jpg"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(encoded(draw()))
    process = subprocess.run(
        [*COMMAND, "--device", "cpu", name], capture_output=True, cwd=tmp_path, check=True
    )
    assert process.stdout == b"caf\xe9-recolored.jpg\n"


def test_a_filter_in_a_pipe(recolor, poster):
    process = subprocess.run(
        [*COMMAND, "-"], input=poster.read_bytes(), capture_output=True, check=True
    )
    assert size_of(process.stdout) == ("JPEG", (60, 90))
    out, err = recolor("-", "--format", "png", "-q", stdin=poster.read_bytes())
    assert size_of(out) == ("PNG", (60, 90))
    assert err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_an_error(poster, unbuffered):
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [*COMMAND, "-", "-q"], input=poster.read_bytes(), stdout=full, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert process.returncode == 1
    assert process.stderr.startswith(b"error: -: cannot write to standard output: No space left")
    assert b"Traceback" not in process.stderr


def test_a_slow_reader_gets_all_of_an_unbuffered_output(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    with subprocess.Popen(
        [*COMMAND, "-", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        out, _ = process.communicate(encoded(noise, "PNG"))
    assert size_of(out) == ("PNG", (500, 500))


def test_the_pictures_are_worth_more_than_the_list_of_their_names(poster, tmp_path):
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run([*COMMAND, str(poster)], stdout=full, stderr=subprocess.PIPE)
    assert process.returncode == 0
    assert b"warning: cannot write to standard output" in process.stderr
    assert "poster-recolored.jpg" in files_below(tmp_path)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&1 >/dev/null | head -c 1"])
def test_the_pictures_are_worth_more_than_the_messages(poster, tmp_path, redirection):
    """A log on a full disk, or a reader that has ended, does not stop the work."""
    (tmp_path / "a.jpg").write_bytes(b"broken")
    command = f"{sys.executable} -m recolor_cli '{tmp_path}' -m fruitnet -o '{tmp_path}/out'"
    script = f"({command}; echo $? > '{tmp_path}/code') {redirection}"
    subprocess.run(["sh", "-c", script], check=True)
    assert (tmp_path / "code").read_text() == "1\n"
    assert files_below(tmp_path / "out") == ["poster.jpg"]
    wrong = subprocess.run(["sh", "-c", f"{command} --quality 0 2>/dev/full"])
    assert wrong.returncode == 2


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-"])
def test_closed_streams(poster, tmp_path, redirection):
    command = f"{sys.executable} -m recolor_cli '{poster}' {redirection}"
    process = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE)
    assert process.returncode == 0, process.stderr
    assert "poster-recolored.jpg" in files_below(tmp_path)


def test_a_filter_without_standard_output(poster):
    command = f"{sys.executable} -m recolor_cli - >&- < '{poster}'"
    process = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE)
    assert process.returncode == 1
    assert b"Traceback" not in process.stderr


def test_a_batch_without_standard_streams(poster, tmp_path):
    shutil.copy(poster, tmp_path / "other.jpg")
    command = f"{sys.executable} -m recolor_cli '{tmp_path}' -m fruitnet <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
    assert {"poster-recolored.jpg", "other-recolored.jpg"} <= set(files_below(tmp_path))


@pytest.mark.parametrize("option", ["--compare", "--confidence", "--variants=2"])
@pytest.mark.parametrize("dry", [[], ["-n"]])
def test_an_unsupported_file_has_no_sidecar_files(recolor, poster, tmp_path, option, dry):
    (poster.parent / "phone.heic").write_bytes(b"x")
    _, err = recolor(poster.parent, "-o", tmp_path / "out", option, "--device", "cpu", *dry)
    assert "1 file is left out" in err


def test_a_gallery_of_a_result_on_standard_output(recolor, poster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = recolor(poster, "-o", "-", "--gallery", "--device", "cpu")
    assert size_of(out) == ("JPEG", (60, 90))
    assert len(list(Path("gallery-thumbnails").iterdir())) == 2


def test_a_pipe_that_gets_no_picture(recolor):
    out, err = recolor("-", stdin=b"", exit_code=1)
    assert out == b""
    assert "error: -: the file is empty" in err


def test_a_file_to_standard_output(recolor, poster, tmp_path):
    out, _ = recolor(poster, "-o", "-", "--format", "webp")
    assert size_of(out) == ("WEBP", (60, 90))
    assert files_below(tmp_path) == ["poster.jpg"]


def test_options_that_change_the_picture(recolor, poster, tmp_path):
    recolor(poster, "-o", tmp_path / "gray.png", "--strength", 0)
    gray = np.asarray(Image.open(tmp_path / "gray.png")).astype(int)
    assert np.ptp(gray, axis=-1).max() <= 1
    chroma = []
    for temperature in (0.05, 3):
        recolor(poster, "-o", tmp_path / "t.png", "-T", temperature, "--overwrite")
        chroma.append(
            np.ptp(np.asarray(Image.open(tmp_path / "t.png")).astype(int), axis=-1).mean()
        )
    assert chroma[0] != chroma[1]
    sizes = []
    for quality in (30, 95):
        recolor(poster, "-o", tmp_path / "q.jpg", "--quality", quality, "--overwrite")
        sizes.append((tmp_path / "q.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_json_tells_all(recolor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    (tmp_path / "b.jpg").write_bytes(b"bad")
    out, _ = recolor(tmp_path, "--json", "--device", "cpu", exit_code=1)
    good, bad = map(json.loads, out.splitlines())
    assert good["status"] == "written"
    assert good["device"] == "cpu"
    assert good["model"] == "poster"
    assert (good["width"], good["height"]) == (60, 90)
    assert good["seconds"]["network"] > 0
    assert Path(good["destination"]).is_file()
    assert bad["status"] == "failed"
    assert bad["error"]
    assert bad["hint"]


def test_a_dry_run_says_what_and_does_nothing(recolor, poster, tmp_path):
    out, _ = recolor(poster, "-n")
    assert out.decode() == f"{poster} -> {tmp_path / 'poster-recolored.jpg'}\n"
    assert files_below(tmp_path) == ["poster.jpg"]


@pytest.mark.parametrize(("null", "end"), [((), b"\n"), (("-0",), b"\0")])
def test_inputs_from_a_list(recolor, tmp_path, null, end):
    for name in ("a b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(encoded(draw()))
    listing = tmp_path / "list.txt"
    listing.write_bytes(end.join(os.fsencode(tmp_path / n) for n in ("a b.jpg", "c.jpg")) + end)
    out, _ = recolor("--files-from", listing, *null, "-o", tmp_path / "out")
    assert files_below(tmp_path / "out") == ["a b.jpg", "c.jpg"]
    assert out == end.join(os.fsencode(tmp_path / "out" / n) for n in ("a b.jpg", "c.jpg")) + end


def test_a_newline_in_a_name_is_told_from_the_end_of_one(recolor, tmp_path):
    poster = tmp_path / "two\nlines.jpg"
    poster.write_bytes(encoded(draw()))
    result = os.fsencode(tmp_path / "two\nlines-recolored.jpg")
    out, _ = recolor(poster, "-0", "--compare", "-n")
    assert out == os.fsencode(poster) + b" -> " + result + b"\0"
    out, _ = recolor(poster, "-0", "--compare")
    assert out.split(b"\0") == [result, result.replace(b".jpg", b"-compare.jpg"), b""]
    out, _ = recolor(poster, "-0", "--json")
    assert json.loads(out)["destination"] == os.fsdecode(result)


def test_in_place_keeps_the_picture_under_another_name_and_is_done_once(recolor, poster, tmp_path):
    before = poster.read_bytes()
    recolor(poster, "--in-place", ".orig", "--device", "cpu")
    assert files_below(tmp_path) == ["poster.jpg", "poster.jpg.orig"]
    assert (tmp_path / "poster.jpg.orig").read_bytes() == before
    after = poster.read_bytes()
    assert size_of(after) == ("JPEG", (60, 90))
    assert after != before
    _, err = recolor(poster, "--in-place", ".orig", "--device", "cpu")
    assert "skipped; move" in err
    assert poster.read_bytes() == after
    _, err = recolor(poster, "--in-place", "", exit_code=2)
    assert "backup" in err


def test_results_in_place_are_named_as_their_pictures_were(recolor, poster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recolor(poster.name, "--in-place", ".orig", "--device", "cpu")[0] == b"poster.jpg\n"
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    names = "link/poster.jpg", "poster.jpg"  # one file
    out, _ = recolor(*names, "--in-place", ".other", "-n", "--device", "cpu")
    assert out.decode() == f"link/poster.jpg -> {poster}\n"


@pytest.mark.parametrize("links", [True, False])
def test_a_picture_in_place_whose_result_failed_is_done_by_the_next_run(
    recolor, poster, tmp_path, monkeypatch, links
):
    before, backup = poster.read_bytes(), tmp_path / "poster.jpg.orig"

    def no_links(*args):
        raise PermissionError(1, "Operation not permitted")

    def full(*args, **options):
        raise OutputError("the disk is full", "make room")

    with monkeypatch.context() as broken:
        if not links:
            broken.setattr(os, "link", no_links)
        broken.setattr("recolor_cli.batch.picture.writing", full)
        recolor(poster, "--in-place", ".orig", "--device", "cpu", exit_code=1)
    assert poster.read_bytes() == backup.read_bytes() == before
    recolor(poster, "--in-place", ".orig", "--device", "cpu")
    assert backup.read_bytes() == before != poster.read_bytes()


def test_a_bad_picture_in_place_stays_as_it_is(recolor, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"once upon a time")
    recolor(tmp_path / "bad.jpg", "--in-place", ".orig", exit_code=1)
    assert files_below(tmp_path) == ["bad.jpg"]


def test_times_are_kept_when_asked_for(recolor, poster, tmp_path):
    os.utime(poster, (10**9, 10**9))
    recolor(poster, "--device", "cpu")
    result = tmp_path / "poster-recolored.jpg"
    assert result.stat().st_mtime > 10**9 + 1
    recolor(poster, "--device", "cpu", "--overwrite", "--preserve-times")
    assert result.stat().st_mtime == 10**9


def test_an_own_profile_is_written_with_when_asked_for(recolor, tmp_path):
    profile = imagecodecs.cms_profile("adobergb")
    (tmp_path / "a.png").write_bytes(encoded(draw(), "PNG", icc_profile=profile))
    recolor(tmp_path / "a.png", "--icc", "source", "--device", "cpu")
    with Image.open(tmp_path / "a-recolored.png") as result:
        assert result.info["icc_profile"] == profile


def test_a_list_is_worked_on_while_it_comes_in(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(encoded(draw()))
    with subprocess.Popen(
        [*COMMAND, "--files-from", "-", "--device", "cpu"], cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(b"b.jpg\n")
        process.stdin.flush()
        while "b-recolored.jpg" not in finished(tmp_path):
            assert process.poll() is None
            time.sleep(0.02)
        out, _ = process.communicate(b"a.jpg\n", timeout=60)
    assert out.splitlines() == [b"b-recolored.jpg", b"a-recolored.jpg"]


@pytest.mark.skipif(os.name != "posix", reason="pipes that do not block are POSIX's")
def test_a_list_in_a_pipe_that_does_not_block_is_read_to_its_end():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write():
        for name in (b"a\nb", b"c\n", b"d"):
            time.sleep(0.05)
            os.write(writer, name)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as source:
        assert list(records(chunks(source), b"\n")) == [b"a", b"bc", b"d"]
    thread.join()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_may_be_in_utf_16(recolor, tmp_path, encoding):
    (tmp_path / "ä b.jpg").write_bytes(encoded(draw()))
    (tmp_path / "list.txt").write_bytes(f"{tmp_path}/ä b.jpg\r\n".encode(encoding))
    out, _ = recolor("-n", "--files-from", tmp_path / "list.txt")
    assert out.decode().startswith(f"{tmp_path}/ä b.jpg -> ")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal on POSIX")
@pytest.mark.parametrize("options", [[], ["-n"]])
def test_ctrl_c_ends_a_run_whose_list_stays_open(tmp_path, options):
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    for _ in range(2 if not options else 1):  # the second time it is skipped
        with subprocess.Popen(
            [*COMMAND, "--files-from", "-", "--json", "--device", "cpu", *options], cwd=tmp_path,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            process.stdin.write(b"a.jpg\n")
            process.stdin.flush()
            assert b"a-recolored.jpg" in process.stdout.readline()  # told at once
            process.send_signal(signal.SIGINT)
            process.wait(20)  # and the list is still open
            err = process.stderr.read()
        assert process.returncode == 130, err
        assert err.startswith(b"error: interrupted: 1 ")
        assert b"Fatal" not in err


def test_permissions_of_a_folder_are_told_and_the_rest_goes_on(tmp_path):
    command = [sys.executable, "-m", "recolor_cli", str(tmp_path), "-r", "--device", "cpu"]
    if os.geteuid() == 0:  # who may write everywhere, unless that right is given up
        if not shutil.which("setpriv"):
            pytest.skip("the superuser may write everywhere")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    for name in ("a/x.jpg", "b/y.jpg", "c/z.jpg", "c/secret.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(draw()))
    (tmp_path / "a").chmod(0o500)
    (tmp_path / "b").chmod(0)
    (tmp_path / "c/secret.jpg").chmod(0)
    done = subprocess.run(command, capture_output=True, text=True)
    (tmp_path / "b").chmod(0o700)
    assert done.returncode == 1
    assert f"{tmp_path}/b: cannot be read: Permission denied" in done.stderr
    assert "a/x-recolored.jpg: Permission denied" in done.stderr
    assert "c/secret.jpg: cannot be read: Permission denied" in done.stderr
    assert "1 written, 3 failed" in done.stderr
    assert (tmp_path / "c/z-recolored.jpg").exists()


def test_options_come_from_variables(recolor, poster, tmp_path, monkeypatch):
    monkeypatch.setenv("RECOLOR_SUFFIX", "-from-variable")
    monkeypatch.setenv("RECOLOR_FORMAT", "png")
    monkeypatch.setenv("RECOLOR_JSON", "1")
    out, _ = recolor(poster)
    assert json.loads(out)["destination"] == str(tmp_path / "poster-from-variable.png")


def test_every_option_has_a_variable_of_its_name(monkeypatch):
    monkeypatch.setattr("sys.argv", ["recolor"])
    with run_command.make_context("run", ["x"]) as context:
        for option in run_command.params:
            if option.name not in ("inputs", "help"):
                expected = (
                    "RECOLOR_" + max(option.opts, key=len).lstrip("-").replace("-", "_").upper()
                )
                assert (option.envvar or f"RECOLOR_{option.name.upper()}") == expected
        assert context.auto_envvar_prefix == "RECOLOR"


def test_a_skipped_picture_is_told(recolor, poster):
    recolor(poster)
    _, err = recolor(poster)
    assert "exists, skipped; --overwrite" in err


def test_standard_input_is_an_input_too(poster):
    before = poster.read_bytes()
    with poster.open("rb") as file:
        process = subprocess.run(
            [*COMMAND, "-", "-o", str(poster), "--overwrite"], stdin=file, stderr=subprocess.PIPE
        )
    assert process.returncode == 1
    assert b"overwrite an input" in process.stderr
    assert poster.read_bytes() == before


def test_the_same_glob_twice_skips_all(recolor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    (tmp_path / "b.jpg").write_bytes(encoded(draw()))
    recolor(*sorted(tmp_path.glob("*.jpg")), "--device", "cpu")
    out, err = recolor(*sorted(tmp_path.glob("*.jpg")), "--device", "cpu")
    assert out == b""
    assert "2 skipped" in err


def test_a_file_whose_name_looks_like_an_option(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-dash.jpg", "--help.jpg", "plain.jpg"):
        Path(name).write_bytes(encoded(draw()))
    out, _ = recolor("-dash.jpg", "--help.jpg", "plain.jpg", "--device", "cpu")
    assert out.split() == [b"-dash-recolored.jpg", b"--help-recolored.jpg", b"plain-recolored.jpg"]
    _, err = recolor("-gone.jpg", exit_code=2)
    assert "after --" in err


def test_gray_pictures_cannot_be_measured_on(recolor, tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(draw()[..., 0], "PNG"))
    _, err = recolor("evaluate", tmp_path, "--device", "cpu", exit_code=1)
    assert "no color to measure against" in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["POSTER", "--strength", "9"], 2, "strength"),
        (["POSTER", "--device", "gpu"], 2, "no device gpu"),
        (["POSTER", "-T", "nan"], 2, "not a number"),
        (["POSTER", "-o", ""], 2, "-o is empty"),
        (["POSTER", "-o", "/dev/null"], 2, "-o /dev/null exists, and is no folder"),
        ([""], 2, "name is empty"),
        (["POSTER", "--no-such"], 2, "--no-such"),
        (["POSTER", "-o", "-", "--json"], 2, "standard output"),
        (["run"], 2, "no input"),
        (["--files-from", "EMPTYFILE"], 3, "is empty"),
        (["--files-from", "-", "-"], 2, "both a list and a picture"),
        (["--files-from", "gone.txt"], 1, "gone.txt"),
        (["--files-from", "NULS"], 1, "NULs"),
        (["EMPTY"], 3, "no pictures"),
        (["POSTER", "-m", "gone"], 4, "no model is called gone"),
        (["POSTER", "-m", ""], 4, "the model's name is empty"),
        (["POSTER", "-m", "film", "-m", "fruitnet"], 2, "film and fruitnet, and one model colors"),
        (["POSTER", "-m", "gone.onnx"], 4, "no model file"),
        (["POSTER", "-m", "NOMODEL"], 4, "cannot be loaded"),
        (["gone.jpg"], 1, "no such file"),
        (["EMPTYFILE"], 1, "empty"),
        (["TEXT"], 1, "no picture"),
        (["TRUNCATED"], 1, "damaged"),
        (["ONE"], 1, "too few"),
        (["THIN"], 1, "too few"),
        (["BOMB"], 1, "90,000 megapixels"),
        (["BOMB", "--max-pixels", "90000000000"], 1, "GiB of memory"),
        (["POSTER", "-o", "POSTER/x/"], 1, "cannot write"),
    ],
)
def test_bad_input_gets_one_clear_error(recolor, tmp_path, poster, arguments, exit_code, words):
    files = {
        "EMPTYFILE": ("empty.jpg", b""),
        "NULS": ("list.txt", b"a/a.jpg\0a/b.jpg\0"),
        "TEXT": ("text.jpg", b"once upon a time"),
        "TRUNCATED": ("cut.jpg", encoded(draw(300, 200))[:2000]),
        "ONE": ("one.png", encoded(draw(1, 1), "PNG")),
        "THIN": ("thin.png", encoded(draw(1, 5000), "PNG")),
        "BOMB": ("bomb.png", declared_png(300_000, 300_000)),
        "NOMODEL": ("no.onnx", b"once upon a time"),
    }
    (tmp_path / "nothing").mkdir()
    for name, data in files.values():
        (tmp_path / name).write_bytes(data)
    places = {key: str(tmp_path / name) for key, (name, _) in files.items()}
    places |= {"POSTER": str(poster), "EMPTY": str(tmp_path / "nothing")}
    for key, place in places.items():
        arguments = [a.replace(key, place) if a.startswith(key) else a for a in arguments]
    before = files_below(tmp_path)
    out, err = recolor(*arguments, exit_code=exit_code)
    assert out == b""
    assert words in err
    assert len([line for line in err.splitlines() if line.lower().startswith("error:")]) == 1
    assert files_below(tmp_path) == before


def test_cuda_is_a_demand(recolor, poster, monkeypatch):
    monkeypatch.setattr("recolor_cli.model.cuda.why_no_cuda", lambda: "no driver, says the test")
    _, err = recolor(poster, "--device", "cuda", exit_code=5)
    assert "no driver, says the test" in err
    assert "--device cpu" in err


def test_killed_in_the_middle_and_finished_by_the_same_command(recolor, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    data = encoded(draw(400, 300), "PNG")
    for i in range(20):
        (source / f"{i:02}.png").write_bytes(data)
    command = [str(source), "-o", str(out), "--device", "cpu", "-j", "2"]
    with subprocess.Popen(
        [*COMMAND, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not (out.exists() and len(finished(out)) >= 3):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    done = finished(out)
    assert 3 <= len(done) < 20
    for name in done:
        assert size_of((out / name).read_bytes()) == ("PNG", (300, 400))
    recolor(*command)
    assert files_below(out) == [f"{i:02}.png" for i in range(20)]


def test_interrupted_it_says_so_and_leaves_nothing_half(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    data = encoded(draw(400, 300), "PNG")
    for i in range(30):
        (source / f"{i:02}.png").write_bytes(data)
    command = [*COMMAND, str(source), "-o", str(out), "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (out.exists() and len(finished(out)) >= 3):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)  # people press it twice
        out_lines, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert len(out_lines.splitlines()) == len(finished(out))  # all that was done was told
    assert b"Traceback" not in err
    assert files_below(out) == finished(out)


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from recolor_cli.cli import main\n"
        "for line in ('--help', 'run --help', 'film --help', '--version'): main(line.split())\n"
        "heavy = {'cv2', 'onnxruntime', 'numpy', 'PIL', 'torch', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].startswith("recolor")


def test_models_lists_what_can_be_named(recolor):
    out, _ = recolor("models", "--json")
    (poster,) = [m for m in map(json.loads, out.splitlines()) if m["name"] == "poster"]
    assert poster["bins"] == 394
    assert poster["kind"] == "classification"
    assert poster["seconds"] is None


@pytest.mark.slow
def test_models_times_each_one(recolor, monkeypatch):
    small = {name: find_model(name) for name in ("film", "fruitnet")}
    monkeypatch.setattr(registry, "available_models", lambda: small)
    out, _ = recolor("models", "--time", "--json")
    assert [json.loads(line)["seconds"] > 0 for line in out.splitlines()] == [True, True]
    out, _ = recolor("models", "--time")
    assert b" ms" in out


def test_models_names_a_broken_one_and_lists_the_others(recolor, tmp_path, monkeypatch):
    (tmp_path / "broken.onnx").write_bytes(b"once upon a time")
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path))
    out, err = recolor("models", exit_code=4)
    assert b"poster" in out
    assert "broken.onnx" in err


def test_doctor_shows_what_a_run_would_use(recolor):
    out, _ = recolor("doctor")
    for words in (b"recolor", b"onnxruntime", b"opencv-python", b"CPUExecutionProvider", b"poster"):
        assert words in out


def test_demo(recolor, tmp_path):
    recolor("demo", "-o", tmp_path)
    assert files_below(tmp_path) == ["recolor-demo-recolored.jpg", "recolor-demo.jpg"]
    result = np.asarray(Image.open(tmp_path / "recolor-demo-recolored.jpg")).astype(int)
    assert np.ptp(result, axis=-1).mean() > 5  # visibly colored
    recolor("demo", "-o", tmp_path)  # again is fine
    (tmp_path / "recolor-demo.jpg").write_bytes(b"mine")
    recolor("demo", "-o", tmp_path, exit_code=2)
    assert (tmp_path / "recolor-demo.jpg").read_bytes() == b"mine"


def test_the_demo_overwrites_no_picture_of_others(recolor, tmp_path):
    result = tmp_path / "recolor-demo-recolored.jpg"
    for mine in (b"mine", encoded(draw())):
        result.write_bytes(mine)
        _, err = recolor("demo", "-o", tmp_path, exit_code=2)
        assert "recolor-demo-recolored.jpg exists and is another picture" in err
        assert result.read_bytes() == mine
    assert files_below(tmp_path) == [result.name]


@pytest.mark.parametrize("name", ["recolor-demo.jpg", "recolor-demo-recolored.jpg"])
def test_the_demo_names_what_it_cannot_read(recolor, tmp_path, name):
    (tmp_path / name).mkdir()
    _, err = recolor("demo", "-o", tmp_path, exit_code=1)
    assert f"{name}: " in err
    assert "choose another folder with -o" in err


def test_the_demo_takes_no_address_for_a_folder(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, err = recolor("demo", "-o", "s3://bucket/x", exit_code=2)
    assert "is a folder of this machine" in err
    assert not files_below(tmp_path)


def test_evaluate_has_the_baselines_in_its_table(recolor, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        (pictures / f"{i}.png").write_bytes(encoded(draw(64, 48, seed=i), "PNG"))
    out, _ = recolor("evaluate", pictures, "--json", "--device", "cpu")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["model"] for row in rows] == ["gray", "prior mean", "poster"]
    assert rows[0]["chroma_ratio"] < 0.02
    assert rows[0]["l2_over_gray"] == 1
    assert rows[1]["chroma_ratio"] > 0
    assert all(row["pictures"] == 3 for row in rows)
    report = tmp_path / "report"
    out, _ = recolor("evaluate", pictures, "--device", "cpu", "--report", report)
    assert b"balanced AuC" in out
    assert "| balanced AuC |" in (report / "table.md").read_text()
    entries = json.loads((report / "table.json").read_text())["entries"]
    assert {k: v for k, v in entries[2].items() if k != "seconds"} == {
        k: v for k, v in rows[2].items() if k != "seconds"
    }
    with Image.open(report / "1-poster.png") as sheet:
        assert sheet.format == "PNG"
    assert '"truth": "comparison-thumbnails/' in (report / "comparison.html").read_text()
    assert len(list((report / "comparison-thumbnails").iterdir())) == 9  # gray, poster, truth


def test_evaluate_names_what_is_broken_and_measures_the_rest(recolor, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        (pictures / f"{i}.png").write_bytes(encoded(draw(64, 48, seed=i), "PNG"))
    (pictures / "bad.png").write_bytes(b"bad")
    (pictures / "tiny.png").write_bytes(encoded(draw(4, 4), "PNG"))
    out, err = recolor("evaluate", pictures, "--json", "--device", "cpu", exit_code=1)
    assert json.loads(out.splitlines()[0])["pictures"] == 3
    assert "bad.png" in err
    assert "tiny.png" in err


def test_evaluate_refuses_a_report_that_it_would_measure_or_cannot_write(recolor, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(2):
        (pictures / f"{i}.png").write_bytes(encoded(draw(64, 48, seed=i), "PNG"))
    for report in (pictures, pictures / "report"):
        _, err = recolor("evaluate", pictures, "--report", report, exit_code=2)
        assert "lies in" in err
    (tmp_path / "file").write_bytes(b"")
    _, err = recolor("evaluate", pictures, "--report", tmp_path / "file", exit_code=1)
    assert "cannot make the folder" in err
    assert not (pictures / "report").exists()


def test_evaluate_checks_models_and_report_before_it_decodes(recolor, tmp_path):
    pictures, report = tmp_path / "pictures", tmp_path / "report"
    pictures.mkdir()
    (pictures / "good.png").write_bytes(encoded(draw(64, 48), "PNG"))
    (pictures / "bad.png").write_bytes(b"bad")
    _, err = recolor("evaluate", pictures, "-m", "nobody", exit_code=4)
    assert "no model is called nobody" in err
    assert "bad.png" not in err
    report.mkdir()
    (report / "comparison.html").write_text("mine")
    out, err = recolor("evaluate", pictures, "--report", report, "--device", "cpu", exit_code=2)
    assert "comparison.html exists and is another page" in err
    assert "move it, or name another folder with --report" in err
    assert "bad.png" not in err
    assert not out
    assert files_below(report) == ["comparison.html"]


def test_a_report_keeps_no_sheets_of_models_of_an_earlier_one(recolor, tmp_path):
    pictures, report = tmp_path / "pictures", tmp_path / "report"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(encoded(draw(64, 48), "PNG"))
    run = ("evaluate", pictures, "--report", report, "--device", "cpu")
    recolor(*run, "-m", "film", "-m", "fruitnet")
    (report / "1-mine.png").write_bytes(b"mine")
    recolor(*run, "-m", "fruitnet")
    assert sorted(path.name for path in report.glob("*.png")) == ["1-fruitnet.png", "1-mine.png"]


def test_only_looks_at_the_path_within_a_source(recolor, tmp_path):
    folder = tmp_path / "posters"
    folder.mkdir()
    for name in ("a.jpg", "posters-b.jpg"):
        (folder / name).write_bytes(encoded(draw(64, 48)))
    run = ("evaluate", "--only", "posters", "--json", "--device", "cpu")
    for source, count in ((folder, 1), (tmp_path, 2)):
        out, _ = recolor(*run, source)
        assert json.loads(out.splitlines()[0])["pictures"] == count


def test_models_of_one_name_each_have_a_column_and_a_sheet(recolor, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(2):
        (pictures / f"{i}.png").write_bytes(encoded(draw(64, 48, seed=i), "PNG"))
    odd = tmp_path / "[b]gray.onnx"
    odd.write_bytes(find_model("film").read_bytes())
    out, _ = recolor(
        "evaluate", pictures, "-m", "film", "-m", "film", "-m", odd,
        "--report", tmp_path / "report", "--device", "cpu",
    )  # fmt: skip
    head = out.decode().splitlines()[0]
    assert "film'" in head
    assert "[b]gray" in head
    sheets = sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert sheets == ["1-film.png", "2-film'.png", "3-[b]gray.png"]


@pytest.mark.parametrize("option", [("--palette", "1950s"), ("--model", "poster"), ("--compare",)])
def test_an_option_that_is_named_like_a_command_may_come_first(recolor, poster, option):
    out, _ = recolor(*option, poster, "--device", "cpu")
    assert b"poster-recolored.jpg" in out


def test_a_misspelt_command_is_told_from_a_missing_file(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, err = recolor("modles", exit_code=2)
    assert "modles is no command and no file" in err
    assert "did you mean models?" in err
    _, err = recolor("poster", exit_code=1)
    assert "no such file" in err
    Path("modles").write_bytes(b"")  # as odd as that is
    _, err = recolor("modles", exit_code=1)
    assert "command" not in err


def test_a_bug_ends_with_70_and_a_traceback(monkeypatch, capsys, poster):
    from recolor_cli import cli
    from recolor_cli.batch import plan

    def fail(*args):
        raise RuntimeError("oh")

    monkeypatch.setattr(plan, "plan", fail)
    assert cli.main([str(poster)]) == 70
    err = capsys.readouterr().err
    assert "RuntimeError: oh" in err
    assert "bug in recolor" in err


def test_files_of_other_kinds_in_a_folder_are_counted_and_no_failure(tree, recolor):
    for name in ("1.heic", "2.heic", "scan.pdf"):
        (tree / "in" / name).write_bytes(b"x")
    out, err = recolor("in", "-o", "out", "--json", "--device", "cpu")
    assert "2 files are left out: each is a HEIC file, which cannot be read; convert it" in err
    assert "1 file is left out: it is a PDF file" in err
    assert "2 written, 3 left out" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(Path(line["source"]).name for line in lines if line["status"] == "left out") == [
        "1.heic",
        "2.heic",
        "scan.pdf",
    ]
    _, err = recolor("in", "-o", "out", "-q")
    assert err == ""


def test_a_damaged_picture_is_refused_or_kept(tmp_path, recolor):
    jpeg = encoded(draw(200, 200))
    (tmp_path / "a.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    (tmp_path / "b.jpg").write_bytes(jpeg)
    paths = tmp_path / "a.jpg", tmp_path / "b.jpg"
    arguments = (*paths, "-o", tmp_path / "out/", "--json", "--device", "cpu")
    out, err = recolor(*arguments, exit_code=1)
    assert [json.loads(line)["damaged"] for line in out.splitlines()] == [False, False]
    assert "a.jpg: the picture is damaged" in err
    assert "--damaged keep" in err
    out, err = recolor(*arguments, "--damaged", "keep", "--compare")
    found = [json.loads(line) for line in out.splitlines()]
    assert [entry["damaged"] for entry in found] == [True, False]
    assert [entry["status"] for entry in found] == ["written", "skipped"]
    assert "damaged" in found[0]["warnings"][0]
    assert "warning: " in err
    assert (tmp_path / "out/a-compare.jpg").exists()

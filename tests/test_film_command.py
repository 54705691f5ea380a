"""`recolor film`, and the default command where a film is named."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import pytest

from conftest import draw, encoded, names, pixels
from recolor_cli.batch import targets
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.commands import film_run
from recolor_cli.video import image_sequence, job
from video_clips import SIZE, decoded, luma, make


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make(tmp_path / "casablanca.mp4", 3, sound=True)


def test_a_film_needs_no_command(film, recolor):
    out, err = recolor("casablanca.mp4", "--device", "cpu")
    assert out == b"casablanca-recolored.mp4\n"
    assert "3 frames" in err
    before, after = decoded(film), decoded("casablanca-recolored.mp4")
    assert [time for time, _ in after] == [time for time, _ in before]
    assert np.ptp(after[0][1][1]) + np.ptp(after[0][1][2]) > 4  # there is color
    with av.open("casablanca-recolored.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_a_rate_does_not_change_that_of_a_film(film, recolor):
    _, err = recolor("casablanca.mp4", "--rate", "50", "--device", "cpu")
    assert "so --rate does not count" in err
    before, after = decoded(film), decoded("casablanca-recolored.mp4")
    assert [time for time, _ in after] == [time for time, _ in before]


def test_what_exists_is_skipped_and_redone_when_asked(film, recolor):
    result = film.with_name("casablanca-recolored.mp4")
    result.write_bytes(b"kept")
    out, err = recolor("casablanca.mp4")
    assert (out, result.read_bytes()) == (b"", b"kept")
    assert "exists, skipped" in err
    recolor("casablanca.mp4", "--overwrite", "--device", "cpu")
    assert len(decoded(result)) == 3


def test_leftovers_of_killed_runs_go_although_the_film_is_done(film, recolor, tmp_path):
    (tmp_path / "casablanca-recolored.mp4").write_bytes(b"done")
    parts = tmp_path / ".casablanca-recolored.mp4.recolor-parts"
    parts.mkdir()
    (parts / "000000.packets").write_bytes(b"half")
    left = tmp_path / ".recolor-0123456789abcdef.tmp"
    left.write_bytes(b"half")
    recolor("casablanca.mp4", "-n")
    assert left.exists()
    recolor("casablanca.mp4")
    assert names(tmp_path) == ["casablanca-recolored.mp4", "casablanca.mp4"]


def test_films_for_a_disk_that_takes_nothing_cost_no_work(film, recolor, tmp_path, monkeypatch):
    make(tmp_path / "b.mp4", 2)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(targets.os, "access", lambda path, mode: Path(path).name != "out")
    monkeypatch.setattr(film_run, "recolor_film", None)
    out, err = recolor("casablanca.mp4", "b.mp4", "-o", "out/", "--json", exit_code=1)
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["failed"] * 2
    assert err.count("error: ") == 2
    assert "1 more failed because nothing can be written in out" in err


def test_json_tells_of_the_film(film, recolor):
    out, _ = recolor("casablanca.mp4", "--json", "-q", "--device", "cpu", "-m", "film")
    told = json.loads(out)
    assert (told["status"], told["frames"], told["cuts"]) == ("written", 3, 0)
    assert (told["width"], told["height"], told["model"]) == (*SIZE, "film")


def test_a_folder_of_films(film, tmp_path, recolor):
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "poster.jpg").write_bytes(encoded(draw()))
    make(tmp_path / "old.avi", 2, "mpeg4")
    out, _ = recolor("film", ".", "-o", "out", "--dry-run")
    assert out.decode().splitlines() == [
        "casablanca.mp4 -> out/casablanca.mp4",
        "old.avi -> out/old.mkv",
    ]
    out, err = recolor("film", "casablanca.mp4", "poster.jpg", "--dry-run", exit_code=1)
    assert out == b"casablanca.mp4 -> casablanca-recolored.mp4\n"
    assert "poster.jpg: it is not named like a film" in err


def test_an_input_is_never_overwritten(film, recolor):
    data = film.read_bytes()
    _, err = recolor("casablanca.mp4", "-o", "casablanca.mp4", "--overwrite", exit_code=1)
    assert "would overwrite an input" in err
    assert film.read_bytes() == data


def test_parts_do_not_take_the_name_of_the_whole(film, recolor):
    out, _ = recolor("casablanca.mp4", "--start", "0:00.04", "--device", "cpu")
    assert out == b"casablanca-part.mp4\n"
    assert len(decoded("casablanca-part.mp4")) == 2
    out, _ = recolor("casablanca.mp4", "--preview", "--device", "cpu")
    assert out == b"casablanca-preview.mp4\n"
    assert decoded("casablanca-preview.mp4")[0][1][0].shape == (SIZE[1], 2 * SIZE[0])


def test_numbered_pictures_get_a_folder_beside_theirs(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for index in range(2):
        name = tmp_path / "frames" / f"{index:05d}.png"
        name.write_bytes(encoded(np.dstack([luma(index, *SIZE)] * 3), "PNG"))
    out, _ = recolor("frames/%05d.png", "--device", "cpu")
    assert out == b"frames-recolored/%05d.png\n"
    names = sorted(path.name for path in (tmp_path / "frames-recolored").iterdir())
    assert names == ["00000.png", "00001.png"]
    out, err = recolor("frames/%05d.png")
    assert "exists, skipped" in err
    part = ["frames/%05d.png", "--start", "0.1", "--rate", "10", "--device", "cpu"]
    assert recolor(*part)[0] == b"frames-part/%05d.png\n"
    assert [path.name for path in (tmp_path / "frames-part").iterdir()] == ["00001.png"]
    assert "exists, skipped" in recolor(*part)[1]
    _, err = recolor("frames/%05d.png", "-o", "frames/%05d.png", "--overwrite", exit_code=1)
    assert "would overwrite an input" in err
    _, err = recolor("frames/%05d.png", "-o", "frames/b%05d.png", exit_code=1)
    assert "lies among its sources" in err
    recolor("frames/%05d.png", "-o", "joined.mp4", "--rate", "12.5", "--device", "cpu")
    assert decoded("joined.mp4")[1][0] == pytest.approx(0.08)


def numbered(folder, count=2):
    """Write some numbered pictures, all equal, into a new folder."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"{number:05d}.png").write_bytes(encoded(draw(*SIZE[::-1]), "PNG"))


def test_numbered_pictures_of_several_folders_are_kept_apart(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "a/s")
    numbered(tmp_path / "b/s")
    patterns = ["a/s/%05d.png", "b/s/%05d.png", "--device", "cpu"]
    out, err = recolor("film", *patterns, "-o", "out/", exit_code=1)
    assert out == b"out/%05d.png\n"
    assert "out/%05d.png is already the result of a/s/%05d.png" in " ".join(err.split())
    out, _ = recolor("film", *patterns, "-o", "out2/", "--base", ".")
    assert out == b"out2/a/s/%05d.png\nout2/b/s/%05d.png\n"
    for name in ("a", "b"):
        assert names(tmp_path / f"out2/{name}/s") == ["00001.png", "00002.png"]


def test_numbered_pictures_go_to_standard_output(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "in")
    out, _ = recolor("film", "in/%05d.png", "-o", "-", "--device", "cpu")
    assert out.startswith(b"YUV4MPEG2 ")
    assert names(tmp_path) == ["in"]


def test_pictures_of_two_makings_do_not_count_as_a_result(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "in", 4)
    command = ["film", "in/%05d.png", "-o", "out/", "--device", "cpu"]
    recolor(*command)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    write, written = job.write_atomic, []

    def fail_at_the_third(path, data):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt  # as if the run were killed
        write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(job, "write_atomic", fail_at_the_third)
        recolor(*command, "--overwrite", exit_code=130)
    assert not (tmp_path / "out/00001.png").exists()
    assert recolor(*command)[0] == b"out/%05d.png\n"
    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_mtime_ns > times[path.name]
    assert "exists, skipped" in recolor(*command)[1]


def test_segments_of_finished_pictures_go(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "in")
    command = ["film", "in/%05d.png", "-o", "out/", "--device", "cpu"]
    with monkeypatch.context() as patched:
        patched.setattr(job.SegmentStore, "remove", job.SegmentStore.close)  # as if killed
        recolor(*command)
    assert (tmp_path / "out/.%05d.png.recolor-parts").is_dir()
    assert "exists, skipped" in recolor(*command)[1]
    assert names(tmp_path / "out") == ["00001.png", "00002.png"]


def test_numbered_pictures_are_listed_twice_at_most(tmp_path, monkeypatch, recolor):
    """Before the work, so that those that a scanner adds meanwhile do no harm."""
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "in")
    calls, find, encode = [], image_sequence.find_pictures, job.encode_segments

    def count(pattern):
        calls.append(pattern)
        return find(pattern)

    def encode_meanwhile(*arguments):
        (tmp_path / "in/00009.png").write_bytes(encoded(draw(), "PNG"))
        encode(*arguments)

    monkeypatch.setattr(image_sequence, "find_pictures", count)
    monkeypatch.setattr(job, "encode_segments", encode_meanwhile)
    recolor("film", "in/%05d.png", "-o", "out/", "--device", "cpu")
    assert names(tmp_path / "out") == ["00001.png", "00002.png"]
    assert len(calls) <= 2


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder with six numbered pictures that become lighter and lighter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for number in range(1, 7):
        level = np.full((*SIZE[::-1], 3), 30 * number, np.uint8)
        (tmp_path / f"frames/{number:03d}.png").write_bytes(encoded(level, "PNG"))
    return tmp_path


def levels(folder):
    """Return the gray levels of numbered pictures by their numbers, in tens."""
    return {int(p.stem): round(float(rgb_to_gray(pixels(p)).mean()) / 10) for p in folder.iterdir()}


def test_a_damaged_picture_does_not_renumber_those_behind_it(pictures, recolor):
    broken = pictures / "frames/003.png"
    broken.write_bytes(broken.read_bytes()[:60])
    _, err = recolor("frames/%03d.png", "-o", "new/%03d.png", "--device", "cpu")
    assert "frames/003.png cannot be decoded, and is left out" in " ".join(err.split())
    assert levels(pictures / "new") == {n: 3 * n for n in (1, 2, 4, 5, 6)}


def test_an_empty_picture_is_not_the_end(pictures, recolor):
    (pictures / "frames/003.png").write_bytes(b"")
    _, err = recolor("frames/%03d.png", "-o", "new/%03d.png", exit_code=1)
    assert "003.png is empty" in err
    assert not (pictures / "new").exists()


@pytest.mark.parametrize("start", ["0.125", "0.083333", "0.083334", "0.0834"])
def test_numbers_and_pictures_begin_at_the_same_place(pictures, recolor, start):
    recolor("frames/%03d.png", "-o", "new/%03d.png", "--start", start, "--device", "cpu")
    found = levels(pictures / "new")
    assert found == {n: 3 * n for n in found}
    assert min(found) == (4 if start in ("0.125", "0.083334", "0.0834") else 3)
    _, err = recolor("frames/%03d.png", "-o", "new/%03d.png", "--start", start)
    assert "exists, skipped" in err


def test_the_segments_of_pictures_lie_in_their_folder(pictures, recolor, film, monkeypatch):
    seen = []
    store = job.SegmentStore
    monkeypatch.setattr(job, "SegmentStore", lambda place, _: seen.append(place) or store(place, _))
    recolor("casablanca.mp4", "-o", "%03d.png", "--device", "cpu")
    recolor("casablanca.mp4", "-o", "new/%03d.png", "--device", "cpu")
    assert seen == [Path("%03d.png"), Path("new/%03d.png")]
    assert names(pictures / "new") == ["001.png", "002.png", "003.png"]
    assert {"001.png", "003.png"} < set(names(pictures))


def test_pictures_that_were_replaced_are_not_resumed(pictures, recolor, monkeypatch):
    made = []
    compute = job.compute_fingerprint
    monkeypatch.setattr(job, "compute_fingerprint", lambda *a: made.append(compute(*a)) or made[-1])
    for _ in range(2):
        recolor("frames/%03d.png", "-o", "new.mkv", "--overwrite", "--device", "cpu")
    (pictures / "frames/004.png").write_bytes(encoded(draw(*SIZE[::-1]), "PNG"))
    recolor("frames/%03d.png", "-o", "new.mkv", "--overwrite", "--device", "cpu")
    first, same, other = made
    assert first == same != other


def test_a_film_of_a_pipe_has_the_permissions_of_a_new_file(film, recolor, tmp_path):
    (tmp_path / "new").write_bytes(b"")
    recolor("-", "-o", "b.mp4", "--device", "cpu", stdin=film.read_bytes())
    assert (tmp_path / "b.mp4").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_a_filter_of_films(film, recolor):
    out, _ = recolor("film", "-", "--device", "cpu", stdin=film.read_bytes())
    assert out.startswith(b"YUV4MPEG2 W64 H48")
    assert out.count(b"FRAME\n") == 3
    recolor("-", "-o", "again.mkv", "--device", "cpu", stdin=out)
    assert len(decoded("again.mkv")) == 3
    recolor("-", "-o", "sound.mp4", "--device", "cpu", stdin=film.read_bytes())
    with av.open("sound.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_a_container_from_a_pipe_is_read_from_a_file_that_goes(
    film, tmp_path, monkeypatch, recolor
):
    opened = []

    class Reader(film_run.FilmReader):
        def __init__(self, source, *args, **kwargs):
            status = Path(source).stat()
            opened.append((Path(source), status.st_size, status.st_mode & 0o777))
            super().__init__(source, *args, **kwargs)

    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/.recolor-0123.tmp").write_bytes(b"of a run that was killed")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(film_run, "FilmReader", Reader)
    recolor("-", "-o", "b.mp4", "--device", "cpu", stdin=film.read_bytes())
    ((path, size, mode),) = opened
    assert path.parent == tmp_path / "tmp"
    assert size == film.stat().st_size
    assert sys.platform == "win32" or mode == 0o600  # others use the folder, too
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("options", [(), ("--raw", "64x48:gray")])
def test_an_empty_standard_input_is_called_so(tmp_path, monkeypatch, recolor, options):
    monkeypatch.chdir(tmp_path)
    _, err = recolor("film", "-", *options, "-o", "b.mkv", stdin=b"", exit_code=1)
    assert "error: -: standard input is empty" in err


def test_raw_frames(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    frames = b"".join(luma(index, *SIZE).tobytes() for index in range(2))
    raw = ("--raw", "64x48:gray", "--rate", "30")
    recolor("-", *raw, "-o", "b.mp4", "--device", "cpu", stdin=frames)
    assert len(decoded("b.mp4")) == 2
    _, err = recolor("film", "a.mp4", "--raw", "64x48", exit_code=2)
    assert "--raw is for standard input" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--crf", "99"], "--crf"),
        (["--start", "soon"], "is not a time"),
        (["--duration", "-1"], "is not a time"),
        (["--smoothing", "-0.1"], "--smoothing"),
        (["--rate", "0"], "0..1000"),
        (["--encoder-option", "fast"], "is not KEY=VALUE"),
        (["-o", "x.doc"], "cannot be written"),
        (["-o", "frames/%05d.jpg"], "cannot be written"),
        (["--codec", "nothing"], "no encoder nothing"),
        (["-o", "frames/%05d.png", "--codec", "ffv1"], "numbered pictures are PNG"),
        (["-o", "-", "--crf", "20"], "uncompressed frames"),
    ],
)
def test_usage(film, recolor, arguments, message):
    _, err = recolor("casablanca.mp4", "--device", "cpu", *arguments, exit_code=2)
    assert message in err
    assert sorted(path.name for path in film.parent.iterdir()) == ["casablanca.mp4"]


def test_without_pyav_it_says_what_to_install(film, monkeypatch, recolor):
    for name in [name for name in sys.modules if name.startswith("recolor_cli.video")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    _, err = recolor("casablanca.mp4", exit_code=2)
    assert "needs the package av" in err
    assert "recolor-cli[video]" in err


def test_a_film_among_pictures_is_named_as_one(film, tmp_path, recolor):
    _, err = recolor("run", "casablanca.mp4", exit_code=1)
    assert "recolor film" in err


NAMES = [
    "Movie: The Return.mp4",
    "pipe:0.mp4",
    "concat:a|b.mp4",
    "file:b.mp4",
    "100%1d done.mp4",
    "reel%03d.mp4",
    "Nosferatu%20der%20Vampir.mp4",
    "what?*[1]{2}.mp4",
]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such names")
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_that_of_a_file(film, tmp_path, recolor, name):
    film.rename(tmp_path / name)
    out, _ = recolor(name, "--device", "cpu")
    assert out.decode() == f"{name.removesuffix('.mp4')}-recolored.mp4\n"
    (tmp_path / "out: put").mkdir()
    recolor("film", ".", "-o", "out: put", "--device", "cpu")
    assert len(decoded(tmp_path / "out: put" / name)) == 3


def test_a_web_address_is_no_file(recolor):
    _, err = recolor("https://example.org/a.mp4", exit_code=1)
    assert "downloads nothing" in err


def test_a_folder_name_is_no_pattern(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "50%20d %03d"
    folder.mkdir()
    for index in range(2):
        picture = np.dstack([luma(index, *SIZE)] * 3)
        (folder / f"a%{index:02d}.png").write_bytes(encoded(picture, "PNG"))
    recolor("50%20d %03d/a%%02d.png", "-o", "b.mkv", "--device", "cpu")
    assert len(decoded("b.mkv")) == 2


def test_options_that_fit_one_film_not_do_not_stop_the_others(film, tmp_path, recolor):
    make(tmp_path / "odd.mkv", 2, "ffv1", "yuv444p", size=(63, 47))
    out, err = recolor("film", ".", "--pixel-format", "yuv420p", "--device", "cpu", exit_code=1)
    assert out == b"casablanca-recolored.mp4\n"
    assert "odd.mkv: libx264 does not take yuv420p of 63x47" in err
    _, err = recolor("film", ".", "--codec", "nothing", exit_code=2)
    assert err.count("no encoder nothing") == 1


def test_one_bad_film_does_not_stop_the_others(film, tmp_path, recolor):
    (tmp_path / "bad.mp4").write_text("nothing")
    out, err = recolor("bad.mp4", "casablanca.mp4", "--device", "cpu", exit_code=1)
    assert out == b"casablanca-recolored.mp4\n"
    assert "bad.mp4: it cannot be read as a film" in err


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_ctrl_c_leaves_what_the_same_command_goes_on_from(tmp_path):
    make(tmp_path / "long.mkv", 400, options={"preset": "ultrafast"})
    command = [sys.executable, "-m", "recolor_cli", "long.mkv", "--device", "cpu"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / ".long-recolored.mkv.recolor-parts" / "000000.packets"
    deadline = time.monotonic() + 120
    while not (parts.exists() and parts.stat().st_size):  # until the first frames are encoded
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "goes on from here" in err
    assert "Traceback" not in err
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".long-recolored.mkv.recolor-parts", "long.mkv"]
    assert (parts.parent / "state.npz").exists()


def test_a_reader_that_ends_is_told_as_such(tmp_path):
    clip = make(tmp_path / "a.mp4", 96)
    command = [sys.executable, "-m", "recolor_cli", "film", str(clip), "-o", "-", "--device", "cpu"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as run:
        run.stdout.read(100)
        run.stdout.close()
        assert b"the program that reads standard output has ended" in run.stderr.read()
    assert run.returncode == 1


def test_what_cannot_be_done_is_told_before_the_work(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.avi", "in/a.mkv", "in/b.mkv"):
        (tmp_path / "in").mkdir(exist_ok=True)
        make(tmp_path / name, 2)
    out, _ = recolor("in", "-o", "out", "--json", "--device", "cpu", exit_code=1)
    told = [json.loads(line)["status"] for line in out.splitlines()]
    assert told == ["failed", "written", "written"]

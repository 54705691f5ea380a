"""`-n` says how long a run would take."""

import re

import pytest
from PIL import Image

from conftest import draw, encoded, greedy_profile, names
from recolor_cli.batch import sizing
from recolor_cli.commands import estimate, film_estimate
from video_clips import make


@pytest.fixture
def scans(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, side in enumerate((40, 60, 80, 100, 120)):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(draw(side, side, seed=number)))
    return tmp_path


def test_a_dry_run_tells_the_time_and_writes_nothing(recolor, scans):
    out, err = recolor(".", "-n", "--device", "cpu")
    assert re.search(r"it would take about \d+ s: 3 pictures took [\d.]+ s here, scaled", err)
    assert len(out.splitlines()) == 5
    assert names(scans) == [f"{number}.jpg" for number in range(5)]
    _, err = recolor("0.jpg", "-n", "--device", "cpu", "--in-place", ".orig")
    assert re.search(r"about 1 s: 1 picture took [\d.]+ s here, 1 at a time", err)
    assert names(scans) == [f"{number}.jpg" for number in range(5)]


def test_the_time_of_some_is_scaled_by_the_pixels_of_all(recolor, scans, monkeypatch):
    measured = []

    def measure(work, job, is_first):
        measured.append(job.source)
        return 50.0

    monkeypatch.setattr(estimate, "_measure", measure)
    _, err = recolor(".", "-n", "-j", "1", "--device", "cpu")
    assert measured == ["2.jpg"]  # of middling size; the others would take too long
    every = sum(side**2 for side in (40, 60, 80, 100, 120))
    assert f"about {estimate.format_duration(50 * every / 80**2)}: 1 picture" in err
    _, err = recolor(".", "-n", "-j", "2", "--device", "cpu")
    assert f"about {estimate.format_duration(25 * every / 80**2)}: 1 picture" in err
    assert "2 at a time" in err


def test_a_network_that_takes_much_memory_does_fewer_pictures_at_a_time(
    recolor, scans, monkeypatch
):
    profile = greedy_profile(scans, 400)
    monkeypatch.setattr(sizing, "cpu_count", lambda: 3)
    _, err = recolor(".", "-n", "-m", profile, "--device", "cpu")
    assert "3 at a time" in err
    monkeypatch.setattr(sizing, "available_memory", lambda: 1200 * 2**20)
    _, err = recolor(".", "-n", "-m", profile, "--device", "cpu")
    assert "1 at a time" in err


def test_what_is_done_takes_no_time(recolor, scans):
    recolor(".", "-m", "fruitnet", "--device", "cpu")
    _, err = recolor(".", "-n", "-m", "fruitnet", "--device", "cpu")
    assert "would take" not in err


def test_quiet_says_nothing(recolor, scans, monkeypatch):
    monkeypatch.setattr(estimate, "_print_estimate", None)  # is not called
    _, err = recolor(".", "-n", "-q", "--device", "cpu")
    assert err == ""


def test_pictures_that_cannot_be_recolored_have_no_time(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = encoded(draw(200, 200))
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    _, err = recolor("a.jpg", "-n", "--device", "cpu")
    assert "is unknown" in err


def test_frames_and_pages_count(tmp_path):
    pages = [Image.fromarray(draw(30, 20, seed=seed)) for seed in range(3)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    assert estimate._pixels_of(str(tmp_path / "x.tif")) == 3 * 600
    assert estimate._pixels_of(str(tmp_path / "missing.tif")) == 0


def test_headers_of_a_long_list_are_not_all_read(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_HEADERS", 10)
    read = []
    monkeypatch.setattr(estimate, "_pixels_of", lambda path: read.append(path) or 100)
    planned = estimate._Tally()
    for number in range(1000):
        planned.add(estimate.Job(f"{number}.jpg"))
    assert planned.count == 1000
    assert planned.pixels == 100_000
    assert len(read) < 100


def test_a_film_is_timed_by_its_first_second(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.mp4")
    out, err = recolor("a.mp4", "-n", "--device", "cpu", "-m", "fruitnet")
    assert out == b"a.mp4 -> a-recolored.mp4\n"
    assert re.search(r"about \d+ s: the first second of a\.mp4 went at [\d.]+ frames", err)
    assert names(tmp_path) == ["a.mp4"]
    monkeypatch.setattr(film_estimate, "_measure", lambda *args: None)
    _, err = recolor("a.mp4", "-n", "--device", "cpu")
    assert "is unknown" in err
    _, err = recolor("a.mp4", "-n", "-q", "--device", "cpu")
    assert err == ""

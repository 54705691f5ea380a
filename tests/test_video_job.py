"""Recolor whole films: what is new, what stays, how a run resumes, and what goes wrong."""

import io
import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from conftest import BrokenNetwork, SpyNetwork
from recolor_cli.errors import InferenceError, InputError, OutputError
from recolor_cli.video import job, segment_encoder
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.job import recolor_film
from recolor_cli.video.raw_frames import RawFrames
from recolor_cli.video.segment_store import SegmentStore
from video_clips import (
    LOSSLESS,
    SIZE,
    decoded,
    luma,
    make,
    packets,
    planes,
    recolored,
)


class Flickering(SpyNetwork):
    """Answers with another color each time."""

    def predict(self, lightness, temperature):
        sign = 1 if len(self.seen) % 2 else -1
        return sign * super().predict(lightness, temperature)


@pytest.mark.parametrize(
    ("pixel_format", "result"),
    [
        ("yuv420p", "yuv420p"),
        ("yuv422p", "yuv420p"),
        ("yuv444p10le", "yuv420p10le"),
        ("yuv420p12le", "yuv420p12le"),
        ("gray", "yuv420p"),
        ("gray10le", "yuv420p10le"),
        ("yuv420p16le", "yuv420p16le"),
    ],
)
def test_the_luma_plane_stays_number_by_number(tmp_path, network, pixel_format, result):
    source = make(tmp_path / "a.mkv", 3, "ffv1", pixel_format)
    report = recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS)
    assert (report.frames, report.warnings) == (3, [])
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == result
    for (time, before), (new_time, after) in zip(
        decoded(source), decoded(tmp_path / "b.mkv"), strict=True
    ):
        assert new_time == time
        assert (after[0] == before[0]).all()
        middle = 1 << (8 * after[1].itemsize - 1 if "16" in result else 7)
        if "16" not in result and after[1].itemsize == 2:
            middle = 1 << (int(result[7:9]) - 1)
        assert np.median(after[2]) > 1.02 * middle  # red: Cr above gray


def test_the_luma_of_rgb_is_its_own_to_half_a_level(tmp_path, network):
    source = make(tmp_path / "a.mkv", 2, "ffv1", "bgr0")
    recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS)
    for index, (_, after) in enumerate(decoded(tmp_path / "b.mkv")):
        gray = luma(index, *SIZE).astype(float)
        exact = 0.299 * gray + 0.587 * (gray // 2) + 0.114 * (255 - gray)
        assert np.abs(after[0] - exact).mean() < 0.5


def test_times_of_variable_rate_survive_to_the_tick(tmp_path, network):
    times = [0, 0.04, 0.12, 0.16, 0.5, 0.51, 0.9, 2.0]
    base = Fraction(1, 90_000)
    source = make(tmp_path / "a.mp4", len(times), times=times, time_base=base)
    recolored(source, tmp_path / "b.mp4", network)

    def ticks(path):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.time_base, [f.pts for f in container.decode(stream)]

    assert ticks(tmp_path / "b.mp4") == ticks(source)


def test_the_result_has_the_films_permissions(tmp_path, network):
    source = make(tmp_path / "a.mp4", 1)
    source.chmod(0o440)
    recolored(source, tmp_path / "b.mp4", network)
    assert (tmp_path / "b.mp4").stat().st_mode & 0o777 == 0o440


def test_color_does_not_flicker(tmp_path, manifest):
    source = make(tmp_path / "a.mkv", 24, "ffv1")
    spread = {}
    for alpha in (0.2, float("inf")):
        recolored(
            source, tmp_path / f"{alpha}.mkv", Flickering(manifest, (20.0, 0.0)),
            encoding=LOSSLESS, temporal_smoothing=alpha,
        )  # fmt: skip
        means = [after[2].mean() for _, after in decoded(tmp_path / f"{alpha}.mkv")]
        spread[alpha] = np.abs(np.diff(means[12:])).mean()
    assert spread[0.2] < 0.25 * spread[float("inf")]


def test_cuts_are_counted(tmp_path, network):
    source = make(tmp_path / "a.mkv", 12, "ffv1", scenes=3)
    assert recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS).cuts == 2


def test_a_film_of_one_frame(tmp_path, network):
    source = make(tmp_path / "a.mp4", 1)
    assert recolored(source, tmp_path / "b.mp4", network).frames == 1
    assert len(decoded(tmp_path / "b.mp4")) == 1


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_an_interrupted_film_goes_on_where_it_stopped(tmp_path, manifest, monkeypatch, codec):
    monkeypatch.setattr(segment_encoder, "SEGMENT", 10)

    class Reading(SpyNetwork):
        """Its color depends on the frame, so that each one counts."""

        def predict(self, lightness, temperature):
            constant = super().predict(lightness, temperature)
            return constant + lightness[:, :, ::4, ::4] / 5

    source = make(tmp_path / "a.mp4", 40, sound=True, scenes=2)
    encoding = VideoEncodingOptions(codec, lossless=True)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    recolored(source, whole, Reading(manifest), encoding=encoding)

    done = []
    for limit in (13, 8, None):
        stop = threading.Event()
        told = []

        def advance(count, told=told, stop=stop, limit=limit):
            told.append(count)
            if limit and len(told) > limit:
                stop.set()

        network = Reading(manifest)
        report = recolored(source, parts, network, stop, advance, encoding=encoding)
        done.append((report.interrupted, report.resumed, report.frames, sum(told)))
        assert parts.exists() is (limit is None)
    assert done[0][:2] == (True, 0)
    assert done[1][:2] == (True, done[0][2])
    assert done[2] == (False, done[1][2], 40, 40)
    assert len(network.seen) < 40
    assert {p.name for p in tmp_path.iterdir()} == {"a.mp4", "whole.mkv", "parts.mkv"}
    for (time, one), (other_time, two) in zip(decoded(whole), decoded(parts), strict=True):
        assert time == other_time
        assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert packets(parts, "audio") == packets(whole, "audio")


def test_the_last_step_can_be_interrupted_and_done_again(tmp_path, network):
    source = make(tmp_path / "a.mkv", 8, sound=True)
    stop = threading.Event()
    told = []

    def advance(count):
        told.append(count)
        if len(told) == 9:  # the first call tells of an earlier run
            stop.set()

    report = recolored(source, tmp_path / "b.mkv", network, stop, advance)
    assert report.interrupted
    assert not (tmp_path / "b.mkv").exists()
    seen = len(network.seen)
    report = recolored(source, tmp_path / "b.mkv", network)
    assert (report.resumed, report.frames, len(network.seen)) == (8, 8, seen)
    assert len(decoded(tmp_path / "b.mkv")) == 8


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
def test_a_full_disk_is_a_clear_error(tmp_path, network, monkeypatch):
    source = make(tmp_path / "a.mkv", 4, "ffv1", size=(640, 480))
    monkeypatch.setattr(SegmentStore, "_path", lambda self, number: Path("/dev/full"))
    with pytest.raises(OutputError, match="No space left"):
        recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS)


@pytest.mark.parametrize("changed", [{"temporal_smoothing": 0.5}, {"model_digest": "another"}])
def test_what_was_begun_with_other_options_is_not_gone_on_with(tmp_path, network, changed):
    source = make(tmp_path / "a.mkv", 20, "ffv1")
    stop = threading.Event()
    report = recolored(source, tmp_path / "b.mkv", network, stop, lambda count: stop.set())
    assert report.interrupted
    report = recolored(source, tmp_path / "b.mkv", network, **changed)
    assert (report.resumed, report.frames) == (0, 20)


def test_two_runs_do_not_work_on_one_result(tmp_path, network):
    source = make(tmp_path / "a.mkv", 4, "ffv1")
    tried = []

    def advance(count):
        if count and not tried:
            tried.append(True)
            with pytest.raises(OutputError, match="another run works on this film"):
                recolored(source, tmp_path / "b.mkv", network)

    assert recolored(source, tmp_path / "b.mkv", network, advance=advance).frames == 4
    assert tried


def test_a_network_that_fails_leaves_nothing(tmp_path, manifest):
    source = make(tmp_path / "a.mp4", 4)
    for network in (BrokenNetwork(manifest), BrokenNetwork(manifest, float("nan"))):
        with pytest.raises(InferenceError):
            recolored(source, tmp_path / "b.mp4", network)
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_numbered_pictures_in_and_out(tmp_path, network):
    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(luma(index, *SIZE)).save(folder / f"f{index + 7:04d}.png")
    recolored(folder / "f%04d.png", tmp_path / "out" / "n%d.png", network)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    part = recolored(folder / "f%04d.png", tmp_path / "out" / "n%d.png", network, duration=0.08)
    (warning,) = part.warnings
    assert "n9.png is of an earlier run" in warning
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["n7.png", "n8.png", "n9.png"]
    rgb = np.asarray(Image.open(tmp_path / "out" / "n8.png")).astype(float)
    kept = rgb @ (0.299, 0.587, 0.114) - luma(1, *SIZE)
    assert np.abs(kept).mean() < 0.5
    assert (rgb[..., 0] - rgb[..., 2]).mean() > 10
    assert recolored(folder / "f%04d.png", tmp_path / "film.mp4", network).frames == 3
    (folder / "f0008.png").unlink()
    with pytest.raises(InputError, match=r"f0008\.png is missing among 2"):
        FilmReader(str(folder / "f%04d.png"))


def test_writing_numbered_pictures_can_be_interrupted(tmp_path, network, monkeypatch):
    source, stop = make(tmp_path / "a.mkv", 4), threading.Event()
    write = job.write_atomic

    def write_and_stop(path, data):
        write(path, data)
        stop.set()

    monkeypatch.setattr(job, "write_atomic", write_and_stop)
    report = recolored(source, tmp_path / "out/%d.png", network, stop)
    assert (report.interrupted, report.frames) == (True, 4)
    assert [path.name for path in (tmp_path / "out").glob("?.png")] == ["2.png"]
    report = recolored(source, tmp_path / "out/%d.png", network)
    assert (report.interrupted, report.resumed) == (False, 4)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"{n}.png" for n in range(1, 5)]


def test_sixteen_bit_pictures_stay_so(tmp_path, network):
    from PIL import Image

    for index in range(2):
        gray = luma(index, *SIZE, levels=65535)
        Image.fromarray(gray).save(tmp_path / f"{index}.png")
    recolored(tmp_path / "%d.png", tmp_path / "out" / "%d.png", network)
    with av.open(str(tmp_path / "out" / "1.png")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "rgb48be"
        rgb = frame.to_ndarray(format="rgb48le").astype(float)
    kept = rgb @ (0.299, 0.587, 0.114) - gray
    assert np.abs(kept).mean() < 20  # of 65,535


def test_raw_frames_from_a_pipe(tmp_path, network):
    data = b"".join(luma(index, *SIZE).tobytes() for index in range(5))
    film = FilmReader("-", RawFrames.parse("64x48:gray"), Fraction(30), io.BytesIO(data))
    report = recolor_film(film, str(tmp_path / "b.mkv"), network, FilmOptions(encoding=LOSSLESS))
    assert report.frames == 5
    frames = decoded(tmp_path / "b.mkv")
    assert [round(time * 30) for time, _ in frames] == [0, 1, 2, 3, 4]
    assert (frames[3][1][0] == luma(3, *SIZE)).all()


def test_a_stream_to_standard_output_and_back_in(tmp_path, network, capfdbinary):
    source = make(tmp_path / "a.mkv", 4, "ffv1")
    recolored(source, "-", network)
    stream, _ = capfdbinary.readouterr()
    assert stream.startswith(b"YUV4MPEG2 W64 H48 F24:1 Ip")
    film = FilmReader("-", pipe=io.BytesIO(stream))
    frames = [planes(frame) for _, frame in film.frames()]
    assert len(frames) == 4
    assert (frames[2][0] == luma(2, *SIZE)).all()
    assert np.median(frames[2][2]) > 135


def test_a_film_that_is_too_small(tmp_path, network):
    source = make(tmp_path / "a.mkv", 2, "ffv1", size=(6, 40))
    with pytest.raises(InputError, match="too few to recolor"):
        recolored(source, tmp_path / "b.mkv", network)


def test_a_span_beyond_the_end(tmp_path, network):
    source = make(tmp_path / "a.mkv", 4)
    with pytest.raises(InputError, match="no frame of it lies in the span"):
        recolored(source, tmp_path / "b.mkv", network, start=100.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_a_film_that_needs_more_memory_than_is_free_costs_no_work(tmp_path, network, monkeypatch):
    source = make(tmp_path / "a.mp4", 2, size=(640, 480))
    monkeypatch.setattr(job, "memory_for_pictures", lambda: 50 << 20)
    monkeypatch.setattr(job, "cpu_count", lambda: 2)
    with pytest.raises(InputError, match=r"it needs about 0\.1 GiB of memory"):
        recolored(source, tmp_path / "b.mp4", network)
    assert not network.seen
    recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS)  # holds fewer frames

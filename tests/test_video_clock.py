"""Times: clocks that begin anew, frames of all lengths, and films that end early."""

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from recolor_cli.video import segment_encoder
from recolor_cli.video.film_reader import FilmReader
from video_clips import RATE, SIZE, decoded, frame_of, make, packets, recolored


def capture_to(path, count=48, start=0.0, **options):
    """Write a film with the clock of a broadcast, which begins at this time, s."""
    moments = [start + index / RATE for index in range(count)]
    return make(path, count, "mpeg2video", times=moments, time_base=Fraction(1, RATE), **options)


def joined(path, *films):
    path.write_bytes(b"".join(film.read_bytes() for film in films))
    return path


@pytest.mark.parametrize("ending", [".ts", ".mpg"])
def test_the_clocks_of_joined_captures_are_joined(tmp_path, network, monkeypatch, ending):
    capture = capture_to(tmp_path / f"one{ending}", sound=ending == ".ts")
    source = joined(tmp_path / f"joined{ending}", capture, capture, capture)
    report = recolored(source, tmp_path / "b.mkv", network)
    times = np.array([time for time, _ in decoded(tmp_path / "b.mkv")])
    assert report.frames == len(times) == 3 * 48
    assert times[0] < 0.1
    # Between two captures, the picture may wait for the end of the sound.
    assert np.diff(times).min() > 0.5 / RATE
    assert np.diff(times).max() < 3 / RATE
    assert times[-1] == pytest.approx(6, abs=0.2)
    if ending == ".ts":
        sound = [packet[1] for packet in packets(tmp_path / "b.mkv", "audio")]
        assert min(np.diff(sound)) > 0
        assert max(np.diff(sound)) < 0.1
        assert sound[-1] == pytest.approx(times[-1], abs=0.1)


def test_a_film_with_several_clocks_resumes_and_has_parts(tmp_path, network, monkeypatch):
    monkeypatch.setattr(segment_encoder, "SEGMENT", 20)
    capture = capture_to(tmp_path / "one.ts")
    source = joined(tmp_path / "joined.ts", capture, capture)
    recolored(source, tmp_path / "whole.mkv", network)
    stop, told = threading.Event(), []

    def advance(count):
        told.append(count)
        if len(told) == 70:  # in the second capture
            stop.set()

    assert recolored(source, tmp_path / "b.mkv", network, stop, advance).interrupted
    recolored(source, tmp_path / "b.mkv", network)
    times = [[time for time, _ in decoded(tmp_path / name)] for name in ("whole.mkv", "b.mkv")]
    assert times[0] == times[1]
    report = recolored(source, tmp_path / "part.mkv", network, start=3.0, duration=0.5)
    assert report.frames == 12
    assert decoded(tmp_path / "part.mkv")[0][0] == pytest.approx(0, abs=0.1)


def test_a_clock_that_goes_round_is_one_clock(tmp_path):
    capture = capture_to(tmp_path / "late.ts", 12, start=95_000.0)
    early = capture_to(tmp_path / "early.ts", 12)
    film = FilmReader(str(joined(tmp_path / "a.ts", capture, early)))
    base = film.info.time_base
    times = [float(ticks * base) for ticks, _ in film.frames()]
    assert len(times) == 24
    assert max(np.diff(times)) < 3 / RATE
    film.close()


@pytest.mark.parametrize("bf", ["0", "2"])
def test_frames_last_until_the_next_one(tmp_path, network, bf):
    moments = [0.0, 0.04, 0.08, 0.2, 0.5, 0.54, 1.0, 2.0, 2.04]
    source = make(tmp_path / "a.mp4", len(moments), times=moments, options={"bf": bf})
    recolored(source, tmp_path / "b.mkv", network)
    found = sorted(packets(tmp_path / "b.mkv", "video"), key=lambda packet: packet[1])
    assert [packet[1] for packet in found] == pytest.approx(moments, abs=0.001)
    lengths = np.array([packet[2] for packet in found])
    assert np.abs(lengths[:-1] - np.diff(moments)).max() < 0.002
    recolored(source, tmp_path / "b.mp4", network)
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert film.duration / av.time_base == pytest.approx(moments[-1] + 1 / RATE, abs=1 / RATE)


def test_a_long_last_frame_stays_long(tmp_path, network):
    source = make(tmp_path / "a.mp4", 6, times=[0, 0.1, 0.2, 0.3, 0.4, 1.0], options={"bf": "0"})
    with_end = packets(source, "video")[-1][2]
    recolored(source, tmp_path / "b.mp4", network)
    assert packets(tmp_path / "b.mp4", "video")[-1][2] == pytest.approx(with_end, abs=0.001)


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        (".mkv", "libx264"), (".mp4", "libx264"), (".avi", "mpeg4"), (".wmv", "wmv2"),
        (".ivf", "libvpx"), (".rm", "rv10"),
    ],
)  # fmt: skip
def test_a_film_that_ends_before_its_header_says_is_told_so(tmp_path, network, ending, codec):
    whole = make(tmp_path / f"whole{ending}", RATE * 5, codec, options={"g": "24"},
                 size=(176, 144) if codec == "rv10" else SIZE,
                 time_base=Fraction(1, RATE))  # fmt: skip
    if ending == ".mp4":  # move the header to the front
        recolored(whole, tmp_path / "front.mp4", network)
        whole = tmp_path / "front.mp4"
    assert not any(
        "header" in told for told in recolored(whole, tmp_path / "w.mkv", network).warnings
    )
    source = tmp_path / f"a{ending}"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    report = recolored(source, tmp_path / "b.mkv", network)
    (told,) = [warning for warning in report.warnings if "header says" in warning]
    length = float(told.partition("header says ")[2].partition(" s;")[0])
    assert length == pytest.approx(5, abs=0.1)
    with av.open(str(tmp_path / "b.mkv")) as film:
        assert film.duration / av.time_base < 4


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("swf", "flv", {}),
        ("mp4", "libx264", {"movflags": "+frag_keyframe+empty_moov"}),
        ("matroska", "libx264", {}),
        ("avi", "mpeg4", {}),
    ],
)
def test_a_film_of_which_bytes_are_missing_is_told_so(tmp_path, network, container, codec, options):
    def encode(path):
        with av.open(str(path), "w", format=container, options=options) as target:
            stream = target.add_stream(codec, rate=RATE, options={"g": "12"})
            stream.width, stream.height = SIZE
            for index in range(48):
                frame = frame_of(index)
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))

    encode(tmp_path / "whole.mp4")
    assert recolored(tmp_path / "whole.mp4", tmp_path / "w.mkv", network).warnings == []
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[:-200])
    (told, *_) = recolored(tmp_path / "a.mp4", tmp_path / "b.mkv", network).warnings
    assert "where the file is cut off" in told


def test_uneven_steps_are_told_where_frames_have_no_times(tmp_path, network, capfdbinary):
    moments = [0.0, 0.04, 0.12, 0.5, 1.0, 2.0]
    source = make(tmp_path / "a.mkv", len(moments), times=moments)
    for result in ("-", tmp_path / "out" / "%d.png"):
        (told,) = recolored(source, result, network).warnings
        assert told.startswith(
            "its 6 frames last 2.04 s in uneven steps, and 0.25 s at 24 a second"
        )
    assert recolored(make(tmp_path / "b.mkv", 6), "-", network).warnings == []

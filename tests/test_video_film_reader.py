"""Films that can be read, whole or damaged, and what cannot."""

import errno
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from conftest import draw, encoded
from recolor_cli.errors import InputError, UsageError
from recolor_cli.video import segment_encoder
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.raw_frames import RawFrames
from video_clips import decoded, make, packets, recolored


def silence(path):
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=44100)
        sounds = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), "fltp", "mono")
        sounds.sample_rate = 44100
        container.mux(audio.encode(sounds))
        container.mux(audio.encode(None))


def no_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


def cut_off(path):
    make(path, 24)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.m4a", silence, "no moving picture, only audio"),
        ("a.mp4", lambda path: path.write_bytes(b""), "the file is empty"),
        ("a.mp4", lambda path: path.write_text("a letter\n" * 99), "cannot be read as a film"),
        (
            "a.mp4",
            cut_off,
            "the file is cut off: [0-9]+ bytes or more are missing, and it cannot be read",
        ),
        ("a.mkv", no_frames, "not one of its frames|cannot be read as a film"),
        ("a.mp4", lambda path: None, "no such file"),
        ("a.mp4", lambda path: path.mkdir(), "folder|cannot be read"),
    ],
)
def test_what_is_no_film_is_one_clear_error(tmp_path, network, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        recolored(path, tmp_path / "b.mkv", network)
    assert caught.value.hint
    assert not (tmp_path / "b.mkv").exists()


def test_of_a_film_that_breaks_off_there_is_what_there_is(tmp_path, network):
    whole = make(tmp_path / "whole.mkv", 48, sound=True)
    source = tmp_path / "a.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    report = recolored(source, tmp_path / "b.mkv", network)
    assert 5 < report.frames < 48
    assert len(decoded(tmp_path / "b.mkv")) == report.frames


class DiskFails:
    """A container whose disk fails behind some packets."""

    def __init__(self, container, count):
        self._container, self._count = container, count

    def __getattr__(self, name):
        return getattr(self._container, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._container.close()

    def demux(self, *streams):
        yield from islice(self._container.demux(*streams), self._count)
        raise av.error.OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("of_sound", [False, True])
def test_a_disk_that_fails_is_not_the_end_of_the_film(tmp_path, network, monkeypatch, of_sound):
    source = make(tmp_path / "a.mkv", 40, sound=of_sound, options={"bf": "0"})
    result = tmp_path / "b.mkv"
    monkeypatch.setattr(segment_encoder, "SEGMENT", 10)
    opened, opened_file = FilmReader.open, Path.open

    def open_file(path, *args, **kwargs):
        if path == source:
            raise OSError(errno.EIO, "Input/output error")
        return opened_file(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        count = 60 if of_sound else 25  # packets, of which the picture has 40
        patched.setattr(FilmReader, "open", lambda film: DiskFails(opened(film), count))
        patched.setattr(Path, "open", open_file)
        with pytest.raises(InputError, match="cannot be read: Input/output error"):
            recolored(source, result, network)
    assert not result.exists()
    report = recolored(source, result, network)
    assert (report.resumed, report.frames) == (40 if of_sound else 20, 40)
    assert report.warnings == []
    assert not of_sound or packets(result, "audio") == packets(source, "audio")


def test_a_disk_that_fails_is_not_the_end_of_numbered_pictures(tmp_path, network, monkeypatch):
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(encoded(draw(), "PNG"))
    opened, opened_file = FilmReader.open, Path.open

    def open_file(path, *args, **kwargs):
        if path.name == "4.png":
            raise OSError(errno.EIO, "Input/output error")
        return opened_file(path, *args, **kwargs)

    monkeypatch.setattr(FilmReader, "open", lambda film: DiskFails(opened(film), 4))
    monkeypatch.setattr(Path, "open", open_file)
    with pytest.raises(InputError, match="Input/output error"):
        recolored(tmp_path / "%d.png", tmp_path / "b.mkv", network)
    assert not (tmp_path / "b.mkv").exists()


@pytest.mark.parametrize("name", ["slides.mkv", "slides.mp4"])
def test_a_last_frame_that_stays_long_is_no_missing_rest(tmp_path, network, name):
    given = make(tmp_path / "a.mkv", 4, times=[0, 5, 10, 15], options={"bf": "0"})
    slides = tmp_path / name
    with av.open(str(given)) as source, av.open(str(slides), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.duration = round(5 / packet.time_base)
                packet.stream = stream
                target.mux(packet)
    report = recolored(slides, tmp_path / f"b{slides.suffix}", network)
    assert report.frames == 4
    assert report.warnings == []


def test_of_a_damaged_film_the_sound_parts_are_kept(tmp_path, network):
    source = make(tmp_path / "a.mkv", 48, options={"g": "8", "bf": "0"})
    data = bytearray(source.read_bytes())
    random = np.random.default_rng(1)
    for place in random.integers(2000, len(data) - 500, 30):
        data[place] ^= 0xFF
    source.write_bytes(bytes(data))
    report = recolored(source, tmp_path / "b.mkv", network)
    assert report.frames > 10


def test_a_film_without_its_first_key_frame(tmp_path, network):
    source = make(tmp_path / "a.mkv", 48, options={"g": "12", "bf": "0"})
    headless = tmp_path / "headless.mkv"
    with av.open(str(source)) as one, av.open(str(headless), "w") as two:
        stream = two.add_stream_from_template(one.streams.video[0])
        for packet in list(one.demux(video=0))[5:]:
            if packet.size:
                packet.stream = stream
                two.mux(packet)
    report = recolored(headless, tmp_path / "b.mkv", network)
    assert 36 <= report.frames <= 43


def test_frames_before_moment_0_keep_their_times(tmp_path, network):
    """FFmpeg gives them none in Matroska. Sound and picture must stay together."""
    path = tmp_path / "early.mkv"
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", options=options) as container:
        picture = container.add_stream("libx264", rate=10, options={"bf": "0", "g": "2"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 25 * number, np.uint8))
            frame.pts = number - 4
            container.mux(picture.encode(frame))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 8000, 800 * (number - 4)
            container.mux(sound.encode(samples))
        for stream in (picture, sound):
            container.mux(stream.encode(None))
    film = FilmReader(str(path))
    ticks = [ticks for ticks, _ in film.frames()]
    times = [float(tick * film.info.time_base) for tick in ticks]
    assert times == pytest.approx([number / 10 - 0.4 for number in range(10)], abs=2e-3)
    for count, after in enumerate(ticks, 1):  # as a run that is resumed reads them
        assert [tick for tick, _ in film.frames(after)] == ticks[count:]
    assert film.info.start == pytest.approx(-0.4, abs=2e-3)
    film.close()
    for suffix in ("mkv", "mp4"):
        result = tmp_path / f"b.{suffix}"
        recolored(path, result, network)
        first = {}
        with av.open(str(result)) as container:
            for packet in container.demux():
                if packet.size:
                    first.setdefault(packet.stream.type, float(packet.pts * packet.time_base))
        assert first["video"] == pytest.approx(0, abs=2e-3)
        # The encoder of AAC puts 1024 samples of silence in front.
        assert first["audio"] == pytest.approx(-1024 / 8000 * (suffix == "mp4"), abs=2e-3)


@pytest.mark.parametrize("text", ["", "64", "0x48", "64x48:nothing", "64x48x3"])
def test_raw_frames_must_make_sense(text):
    with pytest.raises(UsageError):
        RawFrames.parse(text)


class SeekFails:
    """A container whose seek fails, as that of a file without an index may."""

    def __init__(self, container):
        self._container = container

    def __getattr__(self, name):
        return getattr(self._container, name)

    def seek(self, *args, **kwargs):
        self._container.seek(*args, **kwargs)  # the position is lost
        raise av.error.FFmpegError(1, "Operation not permitted")


def test_a_film_that_cannot_seek_is_read_from_its_beginning(tmp_path, monkeypatch):
    source = make(tmp_path / "a.mkv", 200, options={"g": "12"})
    film = FilmReader(str(source))
    times = [ticks for ticks, _ in film.frames()]
    assert [ticks for ticks, _ in film.frames(times[150])] == times[151:]
    opened = film.open
    monkeypatch.setattr(film, "open", lambda: SeekFails(opened()))
    assert [ticks for ticks, _ in film.frames(times[150])] == times[151:]
    film.close()

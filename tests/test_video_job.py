"""Recolor whole films: what survives, what is new, and what goes wrong."""

import io
import os
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from av.stream import Disposition

from conftest import BrokenNetwork, SpyNetwork, draw, encoded
from recolor_cli.errors import InferenceError, InputError, OutputError, UsageError
from recolor_cli.types import ImageSize
from recolor_cli.video import muxing, segment_encoder
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.job import recolor_film
from recolor_cli.video.pixel_format import choose_pixel_format
from recolor_cli.video.raw_frames import RawFrames
from recolor_cli.video.segment_store import SegmentStore
from video_clips import RATE, SIZE, decoded, frame_of, luma, make, packets, planes, recolored

LOSSLESS = VideoEncodingOptions(codec="ffv1")


@pytest.fixture
def network(manifest):
    return SpyNetwork(manifest, (24.0, 8.0))


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


def test_defaults_are_h264_that_all_players_know(tmp_path, network):
    source = make(tmp_path / "a.mp4", 4)
    recolored(source, tmp_path / "b.mp4", network)
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.colorspace == 6  # said, now that there is color
    differences = [
        np.abs(after[0].astype(int) - before[0]).mean()
        for (_, before), (_, after) in zip(
            decoded(source), decoded(tmp_path / "b.mp4"), strict=True
        )
    ]
    assert max(differences) < 1


def test_ten_bits_stay_ten_bits(tmp_path, network):
    source = make(tmp_path / "a.mkv", 2, "ffv1", "yuv420p10le")
    assert recolored(source, tmp_path / "b.mkv", network).warnings == []
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p10le"
    deeper = make(tmp_path / "c.mkv", 2, "ffv1", "gray16le")
    (warning,) = recolored(deeper, tmp_path / "d.mkv", network).warnings
    assert "16 bits a sample become 10" in warning


def test_lossless_h264_is_lossless(tmp_path, network):
    source = make(tmp_path / "a.mp4", 3)
    recolored(source, tmp_path / "b.mp4", network, encoding=VideoEncodingOptions(lossless=True))
    for (_, before), (_, after) in zip(decoded(source), decoded(tmp_path / "b.mp4"), strict=True):
        assert (after[0] == before[0]).all()


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48), (640, 16)])
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_odd_sizes_survive(tmp_path, network, size, codec):
    source = make(tmp_path / "a.mkv", 2, "ffv1", "yuv444p", size)
    recolored(source, tmp_path / "b.mkv", network, encoding=VideoEncodingOptions(codec))
    _, after = decoded(tmp_path / "b.mkv")[1]
    assert after[0].shape == size[::-1]


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


def test_turned_film_is_seen_upright_and_stays_turned(tmp_path, network):
    def turned(stream):
        stream.set_display_rotation(90)

    source = make(tmp_path / "a.mp4", 1, configure=turned)
    recolored(source, tmp_path / "b.mp4", network)
    matrices = []
    for path in (source, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            assert frame.rotation == 90
            matrices.append(bytes(frame.side_data[Type.DISPLAYMATRIX]))
    assert matrices[0] == matrices[1]
    seen = network.seen[0][0][0, 0]
    columns = np.ptp(seen, axis=0)
    assert (columns[:8] == 0).all()  # padded at its sides: it is higher than wide
    assert (columns[8:-8] > 0).all()
    stored = luma(0, *SIZE).astype(float)
    reset_orientation = np.rot90(stored)
    inner = seen[:, 8:-8]
    assert np.corrcoef(inner.ravel(), reset_orientation.ravel())[0, 1] > 0.98


def test_aspect_ratio_colors_and_fields_survive(tmp_path, network):
    def television(stream):
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(2, 1)
        context.color_primaries, context.color_trc, context.colorspace = 5, 4, 5
        context.color_range = 1
        context.field_order = 2
        context.flags |= av.codec.context.Flags.interlaced_dct

    source = make(
        tmp_path / "a.mp4", 4, configure=television, options={"x264-params": "tff=1:interlaced=1"}
    )
    recolored(source, tmp_path / "b.mp4", network)
    told = []
    for path in (source, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            colors = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
            order = stream.codec_context.field_order
            told.append((stream.sample_aspect_ratio, colors, frame.interlaced_frame, order))
    assert told[0] == told[1]
    assert told[1] == (2, (5, 4, 5, 1), True, 2)
    rows = np.ptp(network.seen[0][0][0, 0], axis=1)  # 128 x 48 as shown
    assert np.count_nonzero(rows) == 24


def test_sound_subtitles_chapters_and_metadata_survive(tmp_path, network):
    chapters = [
        {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000),
         "metadata": {"title": "One"}},
        {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000),
         "metadata": {"title": "Two"}},
    ]  # fmt: skip

    def everything(container):
        container.metadata.update(title="Casablanca", comment="by ear")
        container.streams.audio[0].metadata["language"] = "eng"
        container.set_chapters(chapters)
        container.add_attachment("font.txt", "text/plain", b"some bytes")

    plain = make(tmp_path / "plain.mkv", RATE, sound=True, finish=everything)
    text = b"1\n00:00:00,100 --> 00:00:00,600\nHere's looking at you, kid.\n"
    source = tmp_path / "a.mkv"
    with (
        av.open(str(plain)) as film,
        av.open(io.BytesIO(text), format="srt") as words,
        av.open(str(source), "w") as target,
    ):
        target.metadata.update(film.metadata)
        target.set_chapters(film.chapters())
        copies = {}
        for stream in film.streams:
            if stream.type == "attachment":
                target.add_attachment("font.txt", "text/plain", b"some bytes")
            else:
                copies[stream.index] = target.add_stream_from_template(stream, opaque=True)
                copies[stream.index].metadata.update(stream.metadata)
        lines = target.add_stream_from_template(words.streams[0], opaque=True)
        for packet in film.demux([film.streams[index] for index in copies]):
            if packet.size:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
        for packet in words.demux():
            if packet.size:
                packet.stream = lines
                target.mux(packet)

    assert recolored(source, tmp_path / "b.mkv", network).warnings == []
    for kind in ("audio", "subtitle"):
        assert packets(source, kind)
        assert packets(tmp_path / "b.mkv", kind) == packets(source, kind)
    with av.open(str(source)) as one, av.open(str(tmp_path / "b.mkv")) as two:
        assert [stream.type for stream in two.streams] == [stream.type for stream in one.streams]
        assert two.metadata["title"] == "Casablanca"
        assert two.streams.audio[0].metadata["language"] == "eng"
        assert [c["metadata"]["title"] for c in two.chapters()] == ["One", "Two"]
        assert [c["start"] for c in two.chapters()] == [c["start"] for c in one.chapters()]
        (attachment,) = [s for s in two.streams if s.type == "attachment"]
        assert attachment.metadata["filename"] == "font.txt"


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_covers_survive(tmp_path, network, ending):
    plain = make(tmp_path / "plain.mp4", 4)
    source = tmp_path / "a.mp4"
    cover = encoded(draw(), "PNG")
    with (
        av.open(str(plain)) as film,
        av.open(io.BytesIO(cover), format="png_pipe") as picture,
        av.open(str(source), "w") as target,
    ):
        copies = [
            target.add_stream_from_template(thing.streams.video[0], opaque=True)
            for thing in (film, picture)
        ]
        copies[1].disposition = Disposition.attached_pic
        for thing, copy in zip((picture, film), copies[::-1], strict=True):
            for packet in thing.demux():
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)

    assert recolored(source, tmp_path / f"b.{ending}", network).warnings == []
    for path in (source, tmp_path / f"b.{ending}"):
        with av.open(str(path)) as film:
            (found,) = [s for s in film.streams.video if s.disposition & Disposition.attached_pic]
            assert bytes(next(film.demux(found))) == cover


def test_what_a_container_cannot_hold_is_said_before_anything_is_done(tmp_path, network):
    source = make(tmp_path / "a.mp4", 4, sound=True)
    with pytest.raises(OutputError, match=r"webm cannot hold its sound \(aac\)"):
        recolored(source, tmp_path / "b.webm", network)
    assert not network.seen
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


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


def test_a_span_has_the_sound_of_the_span(tmp_path, network):
    source = make(tmp_path / "a.mkv", 48, sound=True)
    report = recolored(source, tmp_path / "b.mkv", network, start=0.5, duration=1.0)
    assert report.frames == 24
    times = [time for time, _ in decoded(tmp_path / "b.mkv")]
    assert times[0] == pytest.approx(0, abs=0.002)
    whole = packets(source, "audio")
    part = packets(tmp_path / "b.mkv", "audio")
    expected = [p for p in whole if 0.5 <= p[1] < 1.5]
    assert [p[3] for p in part] == [p[3] for p in expected]
    assert part[0][1] == pytest.approx(expected[0][1] - 0.5, abs=0.002)


def test_a_preview_has_both_side_by_side(tmp_path, network):
    source = make(tmp_path / "a.mkv", 4, "ffv1")
    recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS, preview=True)
    (_, before), (_, after) = decoded(source)[1], decoded(tmp_path / "b.mkv")[1]
    assert after[0].shape == (SIZE[1], 2 * SIZE[0])
    assert (after[0] == np.hstack((before[0], before[0]))).all()
    middle = after[2].shape[1] // 2
    assert (after[2][:, :middle] == 128).all()
    assert np.median(after[2][:, middle:]) > 135


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


def test_what_was_begun_with_other_options_is_not_gone_on_with(tmp_path, network):
    source = make(tmp_path / "a.mkv", 20, "ffv1")
    stop = threading.Event()
    report = recolored(source, tmp_path / "b.mkv", network, stop, lambda count: stop.set())
    assert report.interrupted
    report = recolored(source, tmp_path / "b.mkv", network, temporal_smoothing=0.5)
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
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["n1.png", "n2.png", "n3.png"]
    rgb = np.asarray(Image.open(tmp_path / "out" / "n2.png")).astype(float)
    kept = rgb @ (0.299, 0.587, 0.114) - luma(1, *SIZE)
    assert np.abs(kept).mean() < 0.5
    assert (rgb[..., 0] - rgb[..., 2]).mean() > 10
    assert recolored(folder / "f%04d.png", tmp_path / "film.mp4", network).frames == 3
    (folder / "f0008.png").unlink()
    with pytest.raises(InputError, match=r"f0008\.png is missing among 2"):
        FilmReader(str(folder / "f%04d.png"))


def test_sixteen_bit_pictures_stay_so(tmp_path, network):
    from PIL import Image

    for index in range(2):
        gray = luma(index, *SIZE, levels=65535)
        Image.fromarray(gray).save(tmp_path / f"{index}.png")
    recolored(tmp_path / "%d.png", tmp_path / "out" / "%d.png", network)
    with av.open(str(tmp_path / "out" / "2.png")) as container:
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
        ("a.mp4", lambda path: path.write_bytes(b""), "cannot be read as a film"),
        ("a.mp4", lambda path: path.write_text("a letter\n" * 99), "cannot be read as a film"),
        ("a.mp4", cut_off, "cannot be read as a film"),
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


def test_a_film_that_is_too_small(tmp_path, network):
    source = make(tmp_path / "a.mkv", 2, "ffv1", size=(6, 40))
    with pytest.raises(InputError, match="too few to recolor"):
        recolored(source, tmp_path / "b.mkv", network)


def test_of_a_film_that_breaks_off_there_is_what_there_is(tmp_path, network):
    whole = make(tmp_path / "whole.mkv", 48, sound=True)
    source = tmp_path / "a.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    report = recolored(source, tmp_path / "b.mkv", network)
    assert 5 < report.frames < 48
    assert len(decoded(tmp_path / "b.mkv")) == report.frames


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


def test_a_span_beyond_the_end(tmp_path, network):
    source = make(tmp_path / "a.mkv", 4)
    with pytest.raises(InputError, match="no frame of it lies in the span"):
        recolored(source, tmp_path / "b.mkv", network, start=100.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (VideoEncodingOptions("nothing"), "no encoder nothing"),
        (VideoEncodingOptions("aac"), "encodes no picture"),
        (VideoEncodingOptions(pixel_format="rgb24"), "has no pixel format rgb24"),
        (VideoEncodingOptions(pixel_format="gray"), "no pixel format for color"),
        (VideoEncodingOptions(settings=(("presett", "fast"),)), "has no option presett"),
        (VideoEncodingOptions(settings=(("profile", "nothing"),)), "does not take"),
        (VideoEncodingOptions(quality=3, lossless=True), "--lossless and --crf contradict"),
        (VideoEncodingOptions("prores", lossless=True), "cannot encode without loss"),
        (VideoEncodingOptions("ffv1", quality=3), "ffv1 has no --crf"),
    ],
)
def test_encodings_that_make_no_sense(tmp_path, network, options, message):
    source = make(tmp_path / "a.mkv", 1)
    with pytest.raises(UsageError, match=message) as caught:
        recolored(source, tmp_path / "b.mkv", network, encoding=options)
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize(
    ("offered", "bits", "size", "any_size", "expected"),
    [
        (["gray", "yuv444p", "yuv420p", "yuv420p10le"], 8, (48, 64), False, "yuv420p"),
        (["yuv420p", "yuv422p", "yuv444p"], 8, (49, 64), False, "yuv422p"),
        (["yuv420p", "yuv422p", "yuv444p"], 8, (48, 65), False, "yuv444p"),
        (["yuv420p", "yuv444p"], 8, (49, 65), True, "yuv420p"),
        (["yuv420p", "yuv420p10le", "yuv420p12le"], 10, (48, 64), False, "yuv420p10le"),
        (["yuv420p", "yuv420p10le"], 16, (48, 64), False, "yuv420p10le"),
        (["yuv422p10le", "yuva444p10le"], 8, (48, 64), False, "yuv422p10le"),
        (["rgb24", "rgb48be", "gray"], 10, (48, 64), True, "rgb48be"),
        (["gray", "pal8"], 8, (48, 64), True, None),
    ],
)
def test_choose_pixel_format(offered, bits, size, any_size, expected):
    assert choose_pixel_format(offered, bits, ImageSize(*size), any_size) == expected


@pytest.mark.parametrize("text", ["", "64", "0x48", "64x48:nothing", "64x48x3"])
def test_raw_frames_must_make_sense(text):
    with pytest.raises(UsageError):
        RawFrames.parse(text)


@pytest.mark.parametrize("pixel_format", ["yuyv422", "nv12", "p010le", "gray16be", "rgb48be"])
def test_other_layouts_keep_their_luma(pixel_format):
    from recolor_cli.video.frames import ensure_luma_plane, read_coding, view_plane

    planar = {"yuyv422": "yuv422p", "nv12": "yuv420p", "p010le": "yuv420p10le"}
    source = frame_of(1, planar.get(pixel_format, "gray16le" if "gray" in pixel_format else "gbrp"))
    found = ensure_luma_plane(source.reformat(format=pixel_format))
    if pixel_format == "rgb48be":
        assert found.format.name == "yuv444p16le"
        assert read_coding(found).full_range
    else:
        assert (view_plane(found, 0) == view_plane(source, 0)).all()
        assert read_coding(found).bits == read_coding(source).bits


def test_what_matroska_cannot_hold_is_not_said_to_fit_into_it(monkeypatch):
    def refuse(stream, opaque):
        raise ValueError("no")

    def warnings(container, kind, codec):
        picture = SimpleNamespace(index=0, metadata={})
        context = SimpleNamespace(name=codec) if codec else None
        other = SimpleNamespace(index=1, type=kind, codec_context=context)
        source = SimpleNamespace(streams=[picture, other], chapters=list)
        target = SimpleNamespace(add_stream_from_template=refuse)
        monkeypatch.setattr(muxing, "is_cover", lambda stream: False)
        _, found = muxing._add_copies(None, source, target, picture, container)
        return found

    # Ogg's skeleton, say.
    assert warnings("matroska", "data", "") == ["data of unknown kind is left out"]
    assert warnings("mp4", "subtitle", "ass") == ["mp4 cannot hold its subtitle (ass); .mkv can"]
    assert warnings("matroska", "data", "scte_35") == ["matroska cannot hold its data (scte_35)"]

"""The other streams of a film, and the facts about its picture."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from conftest import draw, encoded
from recolor_cli.errors import OutputError
from video_clips import (
    RATE,
    decoded,
    make,
    packets,
    recolored,
)


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
    source = make(tmp_path / "a.mkv", 4, sound=True)
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_NEW"))
    with pytest.raises(OutputError, match="webm cannot hold its sound"):
        recolored(source, tmp_path / "b.webm", network)
    assert not network.seen
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


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


def test_chapters_of_a_part_begin_with_its_picture(tmp_path, network):
    """A picture that begins behind 0 does so in its parts, too."""
    chapters = [
        {"id": n, "start": 2000 * n, "end": 2000 * n + 2000, "time_base": Fraction(1, 1000),
         "metadata": {}}
        for n in (5, 6)
    ]  # fmt: skip
    times = [10 + index / RATE for index in range(4 * RATE)]
    source = make(
        tmp_path / "a.mkv", len(times), times=times, options={"bf": "0"},
        finish=lambda container: container.set_chapters(chapters),
    )  # fmt: skip
    recolored(source, tmp_path / "b.mkv", network, start=1.0, duration=1.2)
    begin = decoded(tmp_path / "b.mkv")[0][0]
    with av.open(str(tmp_path / "b.mkv")) as film:
        found = [
            [float(c[key] * c["time_base"]) - begin for key in ("start", "end")]
            for c in film.chapters()
        ]
    assert found == [pytest.approx([0, 1], abs=0.01), pytest.approx([1, 1.2], abs=0.01)]


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


@pytest.mark.parametrize("result", ["b.flv", "b.ts"])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.flv", "a.ts"])
def test_frames_that_are_coded_out_of_order_are_not_late(tmp_path, network, name, result):
    source = make(tmp_path / name, 48, sound=True, options={"bf": "3", "b-pyramid": "normal"})
    recolored(source, tmp_path / result, network)
    before, after = ([time for time, _ in decoded(path)] for path in (source, tmp_path / result))
    moved = 0 if (name, result) != ("a.ts", "b.flv") else before[0] - after[0]
    assert np.array(after) == pytest.approx(np.array(before) - moved, abs=0.002)
    assert moved < 1.5
    with av.open(str(tmp_path / result)) as film:
        times = [packet.dts for packet in film.demux(video=0) if packet.size]
    assert (np.diff(times) > 0).all()

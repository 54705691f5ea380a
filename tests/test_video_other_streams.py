"""What containers hold is found out by trying: sound, subtitles, edit lists, time codes."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from recolor_cli.errors import OutputError
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.timecode import shift_timecode
from video_clips import RATE, decoded, make, packets, recolored

TEXT = b"1\n00:00:00,100 --> 00:00:00,600\nHere's looking at you, kid.\n"


def with_subtitles(path, codec="subrip"):
    """Write a film with a subtitle."""
    plain = make(path.with_name("plain.mkv"), RATE)
    with av.open(str(plain)) as film, av.open(str(path), "w") as target:
        picture = target.add_stream_from_template(film.streams.video[0], opaque=True)
        with av.open(io.BytesIO(TEXT), format="srt") as words:
            source = words.streams[0]
            source.codec_context.open(strict=False)
            lines = target.add_stream(codec)
            lines.codec_context.subtitle_header = source.codec_context.subtitle_header
            lines.time_base = lines.codec_context.time_base = source.time_base
            (packet,) = [packet for packet in words.demux() if packet.size]
            text = bytes(lines.codec_context.encode_subtitle(source.codec_context.decode2(packet)))
            made = av.Packet(text)
            made.pts, made.dts, made.duration = packet.pts, packet.pts, packet.duration
            made.time_base, made.stream = packet.time_base, lines
        for packet in film.demux():
            if packet.size:
                packet.stream = picture
                target.mux(packet)
        target.mux(made)
    plain.unlink()
    return path


def read_subtitles(path):
    with av.open(str(path)) as film:
        stream = film.streams.subtitles[0]
        found = [
            (float(p.pts * p.time_base), float(p.duration * p.time_base), text.dialogue)
            for p in film.demux(stream)
            if p.size
            for text in p.decode()
        ]
        return stream.codec_context.codec.canonical_name, [one for one in found if one[2]]


@pytest.mark.parametrize(
    ("codec", "name", "result", "kind"),
    [
        ("subrip", "a.mkv", "b.mp4", "mov_text"),
        ("subrip", "a.mkv", "b.mov", "mov_text"),
        ("subrip", "a.mkv", "b.webm", "webvtt"),
        ("mov_text", "a.mp4", "b.mkv", "subrip"),
        ("subrip", "a.mkv", "b.mkv", "subrip"),
    ],
)
def test_text_subtitles_become_the_kind_of_the_target(tmp_path, network, codec, name, result, kind):
    source = with_subtitles(tmp_path / name, codec)
    report = recolored(source, tmp_path / result, network)
    told = [
        f"its subtitle ({codec}) becomes {kind}, which" in warning for warning in report.warnings
    ]
    assert any(told) is (codec != kind)
    found, ((start, length, text),) = read_subtitles(tmp_path / result)
    assert found == kind
    assert (start, length) == (pytest.approx(0.1), pytest.approx(0.5))
    assert text == b"Here's looking at you, kid."


def with_sound(path, codec):
    """Write a film with a second of a tone."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", rate=RATE)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        sound = container.add_stream(codec, rate=22050)
        sound.codec_context.layout, sound.codec_context.bit_rate = "mono", 64_000
        for index in range(RATE):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64), 10 * index, np.uint8), "gray")
            frame = frame.reformat(format="yuvj420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(picture.encode(frame))
        wave = (np.sin(np.arange(22050) / 20) * 20000).astype(np.int16)[None]
        tone = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        tone.sample_rate, tone.pts = 22050, 0
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
        container.mux(picture.encode(None))
    return path


def samples(path):
    resampler = av.AudioResampler("s16")
    with av.open(str(path)) as film:
        frames = [part for f in film.decode(audio=0) for part in resampler.resample(f)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def first_sound(path):
    with av.open(str(path)) as film:
        return next(film.decode(audio=0)).time


@pytest.mark.parametrize(
    ("codec", "name"), [("wmav2", "a.wmv"), ("adpcm_ima_wav", "a.avi"), ("adpcm_ms", "a.avi")]
)
@pytest.mark.parametrize("result", ["b.mkv", "b.mov", "b.nut"])
def test_sound_that_cannot_be_copied_loses_nothing(tmp_path, network, codec, name, result):
    source = with_sound(tmp_path / name, codec)
    recolored(source, tmp_path / result, network)
    before, after = samples(source), samples(tmp_path / result)
    assert len(before) == len(after) > 20_000
    assert np.abs(before.astype(int) - after).max() <= 1
    delays = [first_sound(path) - decoded(path)[0][0] for path in (source, tmp_path / result)]
    assert delays[0] == pytest.approx(delays[1], abs=0.002)


@pytest.mark.parametrize(
    ("codec", "name"), [("wmav2", "a.wmv"), ("adpcm_ima_wav", "a.avi"), ("pcm_mulaw", "a.mov")]
)
def test_matroska_takes_all_sound_of_wav_as_it_is(tmp_path, network, codec, name):
    source = with_sound(tmp_path / name, codec)
    assert recolored(source, tmp_path / "b.mkv", network).warnings == []
    assert sound_codec(tmp_path / "b.mkv") == codec
    before, after = (packets(path, "audio") for path in (source, tmp_path / "b.mkv"))
    assert [data for *_, data in before] == [data for *_, data in after]


def test_other_sound_becomes_flac_in_matroska(tmp_path, network):
    source = with_sound(tmp_path / "a.mov", "adpcm_ima_qt")
    (told,) = recolored(source, tmp_path / "b.mkv", network).warnings
    assert told == "its sound (adpcm_ima_qt) becomes flac, which matroska can hold"
    assert np.array_equal(samples(source), samples(tmp_path / "b.mkv"))


@pytest.mark.parametrize(
    ("codec", "name", "result", "kind"),
    [
        ("pcm_s16le", "a.avi", "b.mp4", "aac"),
        ("adpcm_ima_wav", "a.avi", "b.mp4", "aac"),
        ("wmav2", "a.wmv", "b.ts", "aac"),
        ("wmav2", "a.wmv", "b.webm", "opus"),
    ],
)
def test_sound_becomes_what_players_of_the_format_expect(
    tmp_path, network, codec, name, result, kind
):
    source = with_sound(tmp_path / name, codec)
    (told,) = recolored(source, tmp_path / result, network).warnings
    assert told == (
        f"its sound ({codec}) becomes {kind} of 128 kb/s, which players expect; "
        "-o NAME.mkv loses nothing of it"
    )
    assert sound_codec(tmp_path / result) == kind
    lengths = [end_of_sound(path) - decoded(path)[0][0] for path in (source, tmp_path / result)]
    assert lengths[1] == pytest.approx(lengths[0], abs=0.06)  # a packet of AAC or Opus
    assert samples(tmp_path / result)[2000:-3000].max() > 15_000
    recolored(source, tmp_path / "c.mkv", network)  # the hint is true
    assert np.array_equal(samples(source), samples(tmp_path / "c.mkv"))


@pytest.mark.parametrize("result", ["b.mkv", "b.mov"])
def test_samples_stay_samples_where_players_take_them(tmp_path, network, result):
    source = with_sound(tmp_path / "a.avi", "pcm_s16le")
    assert recolored(source, tmp_path / result, network).warnings == []
    assert sound_codec(tmp_path / result) == "pcm_s16le"


def test_gaps_in_sound_that_is_encoded_stay_gaps(tmp_path, network):
    whole, source = with_sound(tmp_path / "a.avi", "pcm_s16le"), tmp_path / "gap.mkv"
    with av.open(str(whole)) as film, av.open(str(source), "w") as target:
        copies = [target.add_stream_from_template(s, opaque=True) for s in film.streams]
        for packet in film.demux():
            time = float(packet.pts * packet.time_base) if packet.size else 0
            if packet.size and not (packet.stream.type == "audio" and 0.3 < time < 0.7):
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    recolored(source, tmp_path / "b.mp4", network)
    assert end_of_sound(tmp_path / "b.mp4") == pytest.approx(1, abs=0.06)
    heard = np.abs(samples(tmp_path / "b.mp4").astype(int))
    assert heard[11_000:13_000].max() < 500
    assert min(heard[3000:5000].max(), heard[18_000:20_000].max()) > 15_000


def broadcast(path):
    """Write a film with a header for each packet of sound. Return the PID of the sound."""
    whole = make(path.with_suffix(".mkv"), 48, sound=True)
    options = {"pes_payload_size": "0"}
    with av.open(str(whole)) as film, av.open(str(path), "w", options=options) as target:
        copies = [target.add_stream_from_template(s, opaque=True) for s in film.streams]
        for packet in film.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    with av.open(str(path)) as film:
        return film.streams.audio[0].id


@pytest.mark.parametrize("first", [0, 40])
@pytest.mark.parametrize("result", ["b.mp4", "b.mkv"])
def test_damaged_packets_of_sound_are_left_out_and_told(tmp_path, network, first, result):
    source = tmp_path / "a.ts"
    pid = broadcast(source)
    data, random, found = bytearray(source.read_bytes()), np.random.default_rng(1), 0
    for place in range(0, len(data), 188):
        if int.from_bytes(data[place + 1 : place + 3], "big") & 0x1FFF == pid:
            if found % 3 == 0 and found >= first:
                begin = place + (5 + data[place + 4] if data[place + 3] & 0x20 else 4)
                begin += 14 if data[place + 1] & 0x40 else 0  # the header of a PES packet
                data[begin : place + 188] = random.bytes(place + 188 - begin)
            found += 1
    source.write_bytes(bytes(data))
    report = recolored(source, tmp_path / result, network)
    assert report.frames == 48
    (told,) = report.warnings
    assert told.startswith("its sound is damaged: ")
    assert told.endswith(" left out")
    assert sound_codec(tmp_path / result) == "aac"
    assert packets(tmp_path / result, "audio")[-1][1] == pytest.approx(2, abs=0.1)


def sound_codec(path):
    with av.open(str(path)) as film:
        return film.streams.audio[0].codec_context.codec.canonical_name


def end_of_sound(path):
    _, time, length, _ = packets(path, "audio")[-1]
    return time + length


def test_sound_that_nobody_knows_is_refused_before_anything_is_done(tmp_path, network):
    source = with_sound(tmp_path / "a.mkv", "pcm_s16le")
    source.write_bytes(source.read_bytes().replace(b"A_PCM/INT/LIT", b"A_NEW/NEW/NEW"))
    with pytest.raises(OutputError, match="cannot hold its sound") as caught:
        recolored(source, tmp_path / "b.mkv", network)
    assert caught.value.hint.startswith("convert its sound first")
    assert not network.seen


def test_sound_before_the_film_does_not_delay_the_picture(tmp_path, network):
    source = make(tmp_path / "a.mp4", 24, sound=True)
    assert packets(source, "audio")[0][1] < 0  # what the encoder needs to begin
    recolored(source, tmp_path / "b.mkv", network)
    assert decoded(tmp_path / "b.mkv")[0][0] == 0
    assert packets(tmp_path / "b.mkv", "audio")[0][1] == pytest.approx(0, abs=0.001)
    recolored(source, tmp_path / "b.mp4", network)
    assert packets(tmp_path / "b.mp4", "audio") == packets(source, "audio")


def test_a_part_has_its_own_time_code(tmp_path, network):
    def tag(container):
        container.streams.video[0].metadata["timecode"] = "01:02:03:20"

    source = make(tmp_path / "a.mov", 48, finish=tag)
    recolored(source, tmp_path / "b.mov", network, start=1.0)
    with av.open(str(tmp_path / "b.mov")) as film:
        assert film.streams.video[0].metadata["timecode"] == "01:02:04:20"


def count_frames(code):
    """Yield time codes with drop frames at 29.97 frames a second."""
    hours, minutes, seconds, frame = map(int, code.replace(";", ":").split(":"))
    while True:
        yield f"{hours:02d}:{minutes:02d}:{seconds:02d};{frame:02d}"
        frame += 1
        if frame == 30:
            frame, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            frame = 2 if minutes % 10 else 0
        if minutes == 60:
            minutes, hours = 0, hours + 1


def test_drop_frames_are_counted_as_they_are_written():
    rate = Fraction(30000, 1001)
    for index, code in zip(range(40_000), count_frames("00:00:00;00"), strict=False):
        if index % 1798 < 4 or index % 1800 < 4 or not index % 997:
            assert shift_timecode("00:00:00;00", index, rate) == code
    assert shift_timecode("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert shift_timecode("reel 7", 1, Fraction(25)) == "reel 7"


def test_sound_whose_begin_is_damaged_is_still_copied(tmp_path, network):
    source = make(tmp_path / "a.mkv", 48, sound=True)
    data = bytearray(source.read_bytes())
    for packet in packets(source, "audio")[:3]:
        place = data.find(packet[3])
        data[place : place + len(packet[3])] = bytes(len(packet[3]))
    source.write_bytes(bytes(data))
    assert recolored(source, tmp_path / "b.mkv", network).warnings == []
    assert len(packets(tmp_path / "b.mkv", "audio")) == len(packets(source, "audio"))
    all_damaged = bytearray(data)
    for packet in packets(source, "audio")[3:]:
        place = data.find(packet[3])
        all_damaged[place : place + len(packet[3])] = bytes(len(packet[3]))
    source.write_bytes(bytes(all_damaged))
    assert recolored(source, tmp_path / "c.mkv", network).frames == 48


@pytest.mark.parametrize("codec", ["ffv1", "prores", "vp9"])
def test_a_picture_that_a_container_cannot_play_is_refused(tmp_path, network, codec):
    source = make(tmp_path / "a.mp4", 4)
    with pytest.raises(OutputError, match="mpegts cannot hold its picture as"):
        recolored(source, tmp_path / "b.ts", network, encoding=VideoEncodingOptions(codec=codec))
    assert not network.seen

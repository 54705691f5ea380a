"""Side data of frames, and what is said of a source's codec."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from recolor_cli.video.encoding import VideoEncodingOptions, choose_encoding
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.frames import read_coding
from recolor_cli.video.side_data import Hdr10Metadata, _format_mastering_display
from video_clips import SIZE, luma, make, recolored


@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_side_data_of_unknown_types_is_left_alone(tmp_path, network, kind):
    exif = Image.Exif()
    exif[271] = "Canon"
    for index in range(2):
        Image.fromarray(luma(index, *SIZE)).save(tmp_path / f"{index:02d}.{kind}", exif=exif)
    assert recolored(tmp_path / f"%02d.{kind}", tmp_path / "b.mkv", network).frames == 2


def test_mastering_display_metadata_is_read():
    points = [(34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450)]
    numbers = [n for point in points for value in point for n in (value, 50000)]
    data = struct.pack("22i", *numbers, 1, 10000, 10_000_000, 10000, 1, 1)
    text = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    assert _format_mastering_display(data) == text
    assert _format_mastering_display(data[:-8] + bytes(8)) == ""


def encoding_for(film, codec, **changes):
    from dataclasses import replace

    info = replace(film.info, **changes)
    frame = av.VideoFrame(*SIZE, "yuv420p")
    options = VideoEncodingOptions(codec=codec)
    return choose_encoding(info, read_coding(frame), "b.mkv", options)


def test_hdr10_metadata_is_kept_or_its_loss_is_told(tmp_path):
    film = FilmReader(str(make(tmp_path / "a.mkv", 2)))
    hdr10 = Hdr10Metadata("G(1,2)B(3,4)R(5,6)WP(7,8)L(9,10)", "1000,400")
    encoding, warnings = encoding_for(film, "hevc", hdr10=hdr10)
    params = dict(encoding.settings)["x265-params"]
    assert "master-display=G(1,2)B(3,4)R(5,6)WP(7,8)L(9,10):max-cll=1000,400" in params
    assert warnings == []
    encoding.open_encoder()
    _, (warning,) = encoding_for(film, "h264", hdr10=hdr10)
    assert warning == "its HDR10 metadata is lost; --codec hevc keeps it"
    film.close()


def test_a_change_of_a_chosen_codec_is_told(tmp_path, network):
    source = make(tmp_path / "a.mov", 2, "prores_ks", "yuv422p10le")
    (warning,) = recolored(source, tmp_path / "b.mov", network).warnings
    assert warning == "its picture changes from prores to h264; --codec prores keeps it"
    options = VideoEncodingOptions(codec="prores")
    assert recolored(source, tmp_path / "c.mov", network, encoding=options).warnings == []


@pytest.mark.parametrize("letter", ["t", "b", "p"])
def test_yuv4mpeg_keeps_field_order_and_range(network, capfdbinary, letter):
    from recolor_cli.video.film_options import FilmOptions
    from recolor_cli.video.job import recolor_film

    header = f"YUV4MPEG2 W64 H48 F25:1 I{letter} A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
    frame = b"FRAME\n" + luma(0, *SIZE).tobytes() + bytes(np.full(64 * 48 // 2, 128, np.uint8))
    film = FilmReader("-", rate=Fraction(25), pipe=io.BytesIO(header.encode() + frame * 2))
    recolor_film(film, "-", network, FilmOptions())
    out, _ = capfdbinary.readouterr()
    words = out.split(b"\n")[0].decode().split()
    assert f"I{letter}" in words
    assert "XCOLORRANGE=LIMITED" in words

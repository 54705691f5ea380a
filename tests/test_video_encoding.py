"""Encoders and their settings."""

import av
import numpy as np
import pytest

from recolor_cli.errors import UsageError
from recolor_cli.types import ImageSize
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.pixel_format import choose_pixel_format
from video_clips import (
    decoded,
    make,
    recolored,
)


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


def test_rgb_of_14_bits_is_told_as_14(tmp_path, network):
    source = make(tmp_path / "a.mkv", 1, "ffv1", "gbrp14le")
    (warning,) = recolored(source, tmp_path / "b.mkv", network).warnings
    assert "14 bits a sample become 10" in warning
    encoding = VideoEncodingOptions("ffv1", pixel_format="gbrp14le")
    assert recolored(source, tmp_path / "c.mkv", network, encoding=encoding).warnings == []


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48), (640, 16)])
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_odd_sizes_survive(tmp_path, network, size, codec):
    source = make(tmp_path / "a.mkv", 2, "ffv1", "yuv444p", size)
    recolored(source, tmp_path / "b.mkv", network, encoding=VideoEncodingOptions(codec))
    _, after = decoded(tmp_path / "b.mkv")[1]
    assert after[0].shape == size[::-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (VideoEncodingOptions("nothing"), "no encoder nothing"),
        (VideoEncodingOptions("aac"), "encodes no picture"),
        (VideoEncodingOptions(pixel_format="rgb24"), "has no pixel format rgb24"),
        (VideoEncodingOptions(pixel_format="gray"), "gray is no pixel format of color"),
        (VideoEncodingOptions("ffv1", pixel_format="gbrap16le"), "color without transparency"),
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

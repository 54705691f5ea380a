"""Luma stays, and chroma shows the requested color."""

import numpy as np
import pytest

from recolor_cli.color.lab import rgb_to_lab_cie
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.types import ImageSize
from recolor_cli.video.planes import YuvCoding, choose_matrix, compute_chroma, downsample_luma

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
CODINGS = [
    YuvCoding(8, False, 6),
    YuvCoding(8, True, 6),
    YuvCoding(8, False, 1),
    YuvCoding(10, False, 1),
    YuvCoding(10, True, 9),
    YuvCoding(16, False, 9),
]


def rgb_of(luma, cb, cr, coding):
    """Convert YUV to RGB, written independently from H.273, equations of section 8.3."""
    kr, kb = WEIGHTS[coding.matrix]
    y = (luma.astype(float) - coding.black) / coding.luma_levels
    red = y + 2 * (1 - kr) * (cr.astype(float) - coding.gray) / coding.chroma_levels
    blue = y + 2 * (1 - kb) * (cb.astype(float) - coding.gray) / coding.chroma_levels
    return np.stack((red, (y - kr * red - kb * blue) / (1 - kr - kb), blue), axis=-1)


def ramp(coding, height=64, width=64):
    kind = np.uint8 if coding.bits == 8 else np.uint16
    row = np.linspace(coding.black, coding.black + coding.luma_levels, width)
    return np.tile(np.rint(row).astype(kind), (height, 1))


def test_codes_are_those_of_the_standard():
    limited, full = YuvCoding(8, False, 1), YuvCoding(8, True, 1)
    assert (limited.black, limited.luma_levels, limited.gray, limited.chroma_levels) == (
        16, 219, 128, 224,
    )  # fmt: skip
    assert (full.black, full.luma_levels, full.gray, full.chroma_levels) == (0, 255, 128, 255)
    deep = YuvCoding(10, False, 1)
    assert (deep.black, deep.luma_levels, deep.gray, deep.chroma_levels) == (64, 876, 512, 896)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_lightness_runs_from_black_to_white(coding):
    lightness = coding.lightness(ramp(coding))[0]
    assert lightness[0] == pytest.approx(0, abs=0.01)
    assert lightness[-1] == pytest.approx(100, abs=0.01)
    assert (np.diff(lightness) > 0).all()


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("ab", [(12.0, 8.0), (-10.0, 15.0), (5.0, -20.0)])
def test_the_color_asked_for_is_shown(coding, ab):
    luma = ramp(coding)
    box = Letterbox.fit(ImageSize(64, 64), 64)
    answer = np.broadcast_to(np.float32(ab), (16, 16, 2))
    cb, cr = compute_chroma(luma, answer, box, coding)
    assert cb.dtype == cr.dtype == luma.dtype
    rgb = rgb_of(luma, cb, cr, coding)
    step = 2 / coding.chroma_levels + 1e-3  # rounding
    assert rgb.min() > -step
    assert rgb.max() < 1 + step
    shown = rgb_to_lab_cie(rgb.astype(np.float32))[:, 16:48, 1:]  # where the gamut is wide enough
    assert np.abs(shown - np.float32(ab)).max() < (2.0 if coding.bits == 8 else 1.2)


def test_no_color_is_exactly_gray():
    coding = YuvCoding(8, False, 1)
    box = Letterbox.fit(ImageSize(64, 64), 64)
    cb, cr = compute_chroma(ramp(coding), np.zeros((16, 16, 2), np.float32), box, coding)
    assert (cb == 128).all()
    assert (cr == 128).all()


def test_chroma_gives_way_where_it_cannot_be_shown():
    coding = YuvCoding(8, False, 1)
    box = Letterbox.fit(ImageSize(64, 64), 64)
    answer = np.broadcast_to(np.float32((90, -100)), (16, 16, 2))
    luma = ramp(coding)
    cb, cr = compute_chroma(luma, answer, box, coding)
    rgb = rgb_of(luma, cb, cr, coding)
    assert rgb.min() > -0.012
    assert rgb.max() < 1.012
    assert abs(int(cb[0, 0]) - 128) <= 1  # black and white have no color
    assert abs(int(cb[0, -1]) - 128) <= 1
    assert cb[0, 20] > 150  # in between it is as blue as can be


def test_what_names_no_matrix_is_guessed_by_its_height():
    assert choose_matrix(2, 576) == 6
    assert choose_matrix(2, 720) == 1
    assert choose_matrix(9, 576) == 9
    assert choose_matrix(0, 1080) == 1  # RGB has none


def test_fields_are_reduced_each_for_itself():
    luma = np.zeros((8, 4), np.uint8)
    luma[1::2] = 200  # the other moment
    assert (downsample_luma(luma, 4, 2) == 100).all()
    by_field = downsample_luma(luma, 4, 2, interlaced=True)
    assert by_field[:, 0].tolist() == [0, 200, 0, 200]
    assert downsample_luma(luma, 8, 4) is luma

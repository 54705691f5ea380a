"""Frames of all layouts: luma, orientation, preview."""

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type

from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.frames import ensure_luma_plane, read_coding, view_plane
from video_clips import (
    LOSSLESS,
    SIZE,
    decoded,
    frame_of,
    luma,
    make,
    recolored,
)


@pytest.mark.parametrize("pixel_format", ["yuyv422", "nv12", "p010le", "gray16be", "rgb48be"])
def test_other_layouts_keep_their_luma(pixel_format):
    planar = {"yuyv422": "yuv422p", "nv12": "yuv420p", "p010le": "yuv420p10le"}
    source = frame_of(1, planar.get(pixel_format, "gray16le" if "gray" in pixel_format else "gbrp"))
    found = ensure_luma_plane(source.reformat(format=pixel_format))
    if pixel_format == "rgb48be":
        assert found.format.name == "yuv444p16le"
        assert read_coding(found).full_range
    else:
        assert (view_plane(found, 0) == view_plane(source, 0)).all()
        assert read_coding(found).bits == read_coding(source).bits


def test_a_preview_has_both_side_by_side(tmp_path, network):
    source = make(tmp_path / "a.mkv", 4, "ffv1")
    recolored(source, tmp_path / "b.mkv", network, encoding=LOSSLESS, preview=True)
    (_, before), (_, after) = decoded(source)[1], decoded(tmp_path / "b.mkv")[1]
    assert after[0].shape == (SIZE[1], 2 * SIZE[0])
    assert (after[0] == np.hstack((before[0], before[0]))).all()
    middle = after[2].shape[1] // 2
    assert (after[2][:, :middle] == 128).all()
    assert np.median(after[2][:, middle:]) > 135


@pytest.mark.parametrize(("codec", "width"), [("h264", 61), ("ffv1", 31)])
def test_a_preview_of_odd_width(tmp_path, network, codec, width):
    """H.264 has no halved chroma of odd sizes; FFV1 has, and its halves are 31 wide."""
    source = make(tmp_path / "a.mkv", 2, "ffv1", "yuv444p", size=(61, 45))
    encoding = VideoEncodingOptions(codec, lossless=True)
    recolored(source, tmp_path / "b.mkv", network, encoding=encoding, preview=True)
    (_, before), (_, after) = decoded(source)[1], decoded(tmp_path / "b.mkv")[1]
    np.testing.assert_array_equal(after[0], np.hstack((before[0], before[0])))
    left, right = np.array_split(after[2], [width], axis=1)
    assert (left == 128).all()
    assert np.median(right) > 135


@pytest.mark.parametrize("name", ["b.mp4", "b.mov", "b.mkv", "b.flv", "b.ts", "b.nut", "%d.png"])
def test_a_rotation_is_kept_or_its_loss_told(tmp_path, network, name):
    def turned(stream):
        stream.set_display_rotation(90)

    source = make(tmp_path / "a.mp4", 1, configure=turned)
    report = recolored(source, tmp_path / "new" / name, network)
    (made,) = (tmp_path / "new").iterdir()
    with av.open(str(made)) as container:
        is_kept = next(container.decode(video=0)).rotation == 90
    assert is_kept != any("turn the film by 90 degrees" in text for text in report.warnings)


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
    upright = np.rot90(stored)
    inner = seen[:, 8:-8]
    assert np.corrcoef(inner.ravel(), upright.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("pixel_format", ["gbrp9le", "gbrp10le", "gbrp16le", "bgr0"])
def test_a_preview_in_rgb_has_the_source_left_and_its_color_right(tmp_path, network, pixel_format):
    source = make(tmp_path / "a.mkv", 2, "ffv1")
    encoding = VideoEncodingOptions("ffv1", pixel_format=pixel_format)
    recolored(source, tmp_path / "b.mkv", network, encoding=encoding, preview=True)
    with av.open(str(tmp_path / "b.mkv")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == pixel_format
        rgb = frame.to_ndarray(format="rgb24").astype(int)
    left, right = rgb[:, : SIZE[0]], rgb[:, SIZE[0] :]
    with av.open(str(source)) as container:
        gray = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(left - gray).max() <= 2
    assert np.ptp(left, axis=-1).max() <= 2  # gray
    assert (right[..., 0] - right[..., 2]).mean() > 10  # red
    assert np.abs(right @ (0.299, 0.587, 0.114) - gray[..., 0]).mean() < 3


def test_a_conversion_gives_the_same_pixels_each_time():
    """In threads, FFmpeg's scaler spoils the first pixels of some rows once in a while."""
    random = np.random.default_rng(0)
    rgb = random.integers(0, 65536, (75, 101, 3), dtype=np.uint16)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb48le").reformat(format="rgb48be")
    first = view_plane(ensure_luma_plane(frame), 0).copy()
    for _ in range(2000):
        assert (view_plane(ensure_luma_plane(frame), 0) == first).all()

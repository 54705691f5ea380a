import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import draw, encoded
from recolor_cli.errors import InputError, OutputError
from recolor_cli.image.compare import THUMBNAIL_SIDE, draw_comparison, thumbnails
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.formats import ImageFormat


def tiff(*pages):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pages:
            writer.write(page, photometric="rgb")
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (400, 9), (8, 300)])
def test_before_and_after_lie_beside_each_other(shape):
    before, after = draw(*shape, 1), draw(*shape, 2)
    data = draw_comparison(encoded(before, "PNG"), encoded(after, "PNG"), ImageFormat.PNG, 95)
    joined = decode(data).rgb
    width, line = shape[1], joined.shape[1] - 2 * shape[1]
    assert joined.shape[0] == shape[0]
    assert line == max(2, round(max(shape) / 300))
    np.testing.assert_array_equal(joined[:, :width], before)
    np.testing.assert_array_equal(joined[:, width + line :], after)
    assert (joined[:, width : width + line] == 128).all()


def test_16_bits_stay_as_far_as_the_format_holds_them():
    before, after = (draw(20, 20, seed).astype(np.uint16) * 257 + 3 for seed in (1, 2))
    data = draw_comparison(tiff(before), tiff(after), ImageFormat.TIFF, 95)
    joined = next(decode_pages(data)).rgb
    assert joined.dtype == np.uint16
    np.testing.assert_array_equal(joined[:, :20], before)
    np.testing.assert_array_equal(joined[:, 22:], after)
    shallow = draw_comparison(tiff(before), tiff(after), ImageFormat.JPEG, 95)
    assert next(decode_pages(shallow)).rgb.dtype == np.uint8
    mixed = draw_comparison(encoded(draw(20, 20, 1), "PNG"), tiff(after), ImageFormat.PNG, 95)
    np.testing.assert_array_equal(
        next(decode_pages(mixed)).rgb[:, :20], draw(20, 20, 1) * np.uint16(257)
    )


def test_all_pages_and_frames_are_compared():
    pages = [draw(20, 30, seed) for seed in range(3)]
    data = draw_comparison(tiff(*pages), tiff(*pages[::-1]), ImageFormat.TIFF, 95)
    found = list(decode_pages(data))
    assert len(found) == 3
    np.testing.assert_array_equal(found[0].rgb[:, :30], pages[0])
    np.testing.assert_array_equal(found[0].rgb[:, 32:], pages[2])
    frames = [Image.fromarray(page) for page in pages]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], duration=120)
    moving = draw_comparison(buffer.getvalue(), buffer.getvalue(), ImageFormat.PNG, 95)
    found = list(decode_pages(moving))
    assert [frame.milliseconds for frame in found] == [120] * 3
    assert found[1].rgb.shape == (20, 62, 3)


def test_transparency_is_that_of_each():
    rgba = np.dstack((draw(20, 20), np.full((20, 20), 90, np.uint8)))
    data = draw_comparison(
        encoded(rgba, "PNG"), encoded(draw(20, 20, 1), "PNG"), ImageFormat.PNG, 95
    )
    alpha = decode(data).alpha
    assert (alpha[:, :20] == 90).all()
    assert (alpha[:, 20:] == 255).all()


def test_another_scan_is_brought_to_the_size_of_the_result():
    data = draw_comparison(encoded(draw(40, 40)), encoded(draw(80, 80)), ImageFormat.PNG, 95)
    assert decode(data).rgb.shape == (80, 162, 3)


def test_what_cannot_be_compared():
    good = encoded(draw(20, 20), "PNG")
    with pytest.raises(InputError):
        draw_comparison(good, b"nothing", ImageFormat.PNG, 95)
    wide = encoded(np.zeros((8, 40_000), np.uint8), "PNG")
    with pytest.raises(OutputError, match="JPEG"):
        draw_comparison(wide, wide, ImageFormat.JPEG, 95)


def test_thumbnails_are_small_and_on_white():
    rgba = np.dstack((draw(900, 600), np.zeros((900, 600), np.uint8)))
    pair = thumbnails(encoded(rgba, "PNG"), encoded(draw(900, 600, 2)))
    assert (pair.size.height, pair.size.width) == (900, 600)
    small = decode(pair.before).rgb
    assert small.shape == (THUMBNAIL_SIDE, 320, 3)
    assert small.min() == 255
    assert len(pair.after) < 40_000
    assert decode(pair.after).rgb.shape == (THUMBNAIL_SIDE, 320, 3)
    assert decode(thumbnails(encoded(draw(9, 9)), encoded(draw(9, 9))).after).rgb.shape == (9, 9, 3)

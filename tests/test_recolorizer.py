import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from conftest import BrokenNetwork, SpyNetwork, draw
from recolor_cli import recolorizer
from recolor_cli.color import painting
from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.errors import InferenceError, InputError
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.guidance.prediction import ColorFactors
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.recolorizer import Recolorizer, StageTimings, network_input, predict_ab
from recolor_cli.types import ImageSize


@pytest.mark.parametrize("shape", [(90, 60), (61, 203), (8, 8), (8, 700), (257, 256)])
def test_size_and_lightness_stay_and_color_is_the_networks(manifest, shape):
    rgb = draw(*shape)
    before = rgb.copy()
    result = Recolorizer(SpyNetwork(manifest, (15.0, -20.0))).recolor(rgb)
    assert result.shape == rgb.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(rgb, before)
    difference = np.abs(rgb_to_lightness(result) - rgb_to_lightness(rgb))
    assert difference.mean() < 0.2
    lab = rgb_to_lab_cv2(result)
    # In the middle of the lightness range sRGB has this color: there it is exact.
    middle = np.abs(lab[..., 0] - 50) < 20
    if middle.any():
        np.testing.assert_allclose(np.median(lab[middle][:, 1:], axis=0), (15, -20), atol=1)


def test_a_tall_picture_is_padded_and_not_squashed(manifest):
    rgb = np.full((300, 100, 3), 200, np.uint8)  # three times as tall as wide
    network = SpyNetwork(manifest)
    Recolorizer(network).recolor(rgb)
    ((tensor, temperature),) = network.seen
    assert tensor.shape == (1, 1, 64, 64)
    assert tensor.dtype == np.float32
    inside = np.abs(tensor[0, 0] - rgb_to_lightness(rgb[:1, :1])[0, 0]) < 0.1
    assert inside.any(axis=1).sum() == 64
    assert inside.any(axis=0).sum() == 21
    assert (tensor[0, 0][~inside] == manifest.pad_lightness).all()
    assert temperature == manifest.temperature


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1311, 903), (520, 2600), (4100, 300)])
def test_a_large_picture_is_shrunk_by_area(manifest, monkeypatch, dtype, shape):
    rgb = draw(*shape).astype(dtype) * (np.iinfo(dtype).max // 255)
    box = manifest.box(ImageSize(*shape))
    found = network_input(rgb, box, 50.0)
    monkeypatch.setattr(recolorizer, "_STRIP_PIXELS", 5000)
    np.testing.assert_array_equal(network_input(rgb, box, 50.0), found)
    inner = box.inner.width, box.inner.height
    small = cv2.resize(rgb, inner, interpolation=cv2.INTER_AREA)
    expected = box.apply(rgb_to_lightness(small), 50.0)
    assert np.abs(found[0, 0] - expected).mean() < 0.5


def test_strips_make_no_difference(manifest, monkeypatch):
    class Slope(SpyNetwork):
        def predict(self, lightness, temperature):
            y, x = np.mgrid[0:16, 0:16].astype(np.float32)
            return np.stack((y, -x))[None] * 3

    rgb = draw(150, 110)
    whole = Recolorizer(Slope(manifest)).recolor(rgb)
    monkeypatch.setattr(painting, "_STRIP_PIXELS", 1000)
    np.testing.assert_array_equal(Recolorizer(Slope(manifest)).recolor(rgb), whole)


def test_strength_scales_chroma_and_zero_is_gray(manifest):
    rgb = np.full((32, 32, 3), 120, np.uint8)
    for strength in (0.0, 0.5, 1.0):
        options = RecolorOptions(strength=strength)
        result = Recolorizer(SpyNetwork(manifest, (20.0, 10.0)), options).recolor(rgb)
        np.testing.assert_allclose(
            rgb_to_lab_cv2(result)[0, 0, 1:], np.array((20, 10)) * strength, atol=0.6
        )
    gray = Recolorizer(SpyNetwork(manifest, (20.0, 10.0)), RecolorOptions(strength=0.0))
    assert (np.ptp(gray.recolor(draw()).astype(int), axis=-1) <= 1).all()


def test_a_models_own_strength_and_the_users_are_multiplied(manifest):
    rgb = np.full((32, 32, 3), 120, np.uint8)
    paler = SpyNetwork(replace(manifest, strength=1.5), (10.0, 6.0))
    result = Recolorizer(paler, RecolorOptions(strength=2.0)).recolor(rgb)
    np.testing.assert_allclose(rgb_to_lab_cv2(result)[0, 0, 1:], (30, 18), atol=0.6)


def test_only_the_lightness_of_the_input_counts(manifest):
    rgb = draw()
    network = SpyNetwork(manifest, (5.0, 5.0))
    gray = Recolorizer(SpyNetwork(manifest)).recolor(rgb)
    from_color = Recolorizer(network).recolor(rgb).astype(int)
    from_gray = Recolorizer(network).recolor(gray).astype(int)
    assert np.abs(from_color - from_gray).mean() < 1


def test_an_asked_temperature_reaches_the_network(manifest):
    network = SpyNetwork(manifest)
    Recolorizer(network, RecolorOptions(temperature=0.7)).recolor(draw())
    assert network.seen[0][1] == 0.7


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_an_error(manifest, answer):
    with pytest.raises(InferenceError, match="not a number"):
        Recolorizer(BrokenNetwork(manifest, answer)).recolor(draw())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (7, 100)])
def test_too_few_pixels_are_an_error(manifest, shape):
    with pytest.raises(InputError, match="too few"):
        Recolorizer(SpyNetwork(manifest)).recolor(np.zeros((*shape, 3), np.uint8))


def test_color_of_another_shape_cannot_be_painted(manifest):
    for shape in ((3, 3), (3, 3, 3)):
        with pytest.raises(InputError, match=r"not \(h, w, 2\)"):
            Recolorizer(SpyNetwork(manifest)).paint(draw(), np.zeros(shape, np.float32))


def test_color_of_another_picture_cannot_be_painted(manifest):
    recolorizer = Recolorizer(SpyNetwork(replace(manifest, square=False)))
    wide, tall = draw(60, 200), draw(200, 60)
    ab = recolorizer.predict(wide)
    recolorizer.paint(wide, ab)
    for picture, wrong, said in (
        (tall, ab, "of another shape"),
        (wide, ab[:0], r"not \(h, w, 2\)"),
        (wide, ab * np.nan, "not finite"),
    ):
        with pytest.raises(InputError, match=said):
            recolorizer.paint(picture, wrong)
    for out in (np.zeros((5, 5, 3), np.uint8), np.zeros(wide.shape)):
        with pytest.raises(ValueError, match="out must be uint8"):
            recolorizer.paint(wide, ab, out)


@pytest.mark.parametrize(
    ("rgb", "said"),
    [
        (np.zeros((9, 9, 4), np.uint8), "opacity"),
        (np.zeros(9, np.uint8), "expected an array"),
        (np.zeros((9, 9, 3)), "uint8"),
    ],
)
def test_other_arrays_are_refused(manifest, rgb, said):
    with pytest.raises(ValueError, match=said):
        Recolorizer(SpyNetwork(manifest)).recolor(rgb)


def test_time_is_booked_by_stage(manifest):
    timings = StageTimings()
    Recolorizer(SpyNetwork(manifest)).recolor(draw(), timings)
    assert set(timings.seconds) == {"lightness", "network", "color"}
    assert all(seconds >= 0 for seconds in timings.seconds.values())


@pytest.mark.parametrize("values", [{"temperature": 0.0}, {"strength": -1.0}, {"strength": 9.0}])
def test_options_out_of_range_are_refused(values):
    with pytest.raises(ValueError, match="must lie in"):
        RecolorOptions(**values)


def test_a_network_may_add_a_factor_of_its_own():
    assert ColorFactors(model=1.5, user=2.0).total == 3.0
    factors = ColorFactors(model=1.5, user=2.0, network=0.5)
    assert (factors.without_user, factors.total) == (0.75, 1.5)


def test_the_network_decodes_a_distribution_as_it_predicts(manifest):
    """With and without a palette of no strength, the same factors are applied."""
    rgb, network = draw(), SpyNetwork(replace(manifest, strength=1.5), (16.0, -24.0))
    steering = Steering(Palette(np.float32([[0, 0]]), np.float32([1])), palette_strength=0)
    plain, steered = (
        Recolorizer(network, RecolorOptions(strength=0.5, steering=one)).predict(rgb)
        for one in (None, steering)
    )
    np.testing.assert_allclose(plain, np.broadcast_to([12, -18], plain.shape), rtol=1e-5)
    np.testing.assert_allclose(steered, plain, rtol=1e-4)


def test_several_pictures_are_predicted_at_once(manifest):
    tensor = np.zeros((3, 1, 64, 64), np.float32)
    ab = predict_ab(SpyNetwork(manifest, (8.0, 2.0)), tensor, RecolorOptions(strength=2.0))
    assert ab.shape == (3, 2, 16, 16)
    np.testing.assert_array_equal(ab[2, :, 0, 0], (16, 4))


def test_the_library_loads_no_more_than_it_needs_and_changes_nothing_of_its_host():
    """A program that imports `Recolorizer` keeps its own settings of Pillow, too."""
    code = (
        "import sys; from PIL import Image, PngImagePlugin as png\n"
        "limits = lambda: (Image.MAX_IMAGE_PIXELS, png.MAX_TEXT_CHUNK, png.MAX_TEXT_MEMORY)\n"
        "before = limits(); import recolor_cli.recolorizer; assert limits() == before\n"
        "print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"tifffile", "click", "rich", "onnxruntime"}
    assert not unwanted & set(found.stdout.split())


def test_a_model_is_found_by_its_name():
    rgb = draw()
    result = Recolorizer("poster").recolor(rgb)
    assert result.shape == rgb.shape
    assert not np.array_equal(result, rgb)

"""The refinement of a network's ab, and who applies it."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import draw
from recolor_cli.color.refinement import fade_paper, refine
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer, network_input
from recolor_cli.types import ImageSize


def grid(values):
    """One pixel of ab for each value, and L* of 4 x 4 px for each."""
    return np.repeat(np.repeat(np.float32([values]), 4, axis=1), 4, axis=0)


def test_paper_fades_and_the_rest_does_not():
    ab = np.full((1, 5, 2), (6.0, -7.0), np.float32)
    faded = fade_paper(ab, grid([50, 85, 91.5, 97, 100]))
    share = [1, 1, 0.625, 0.25, 0.25]
    np.testing.assert_allclose(faded[0, :, 0] / 6, share, atol=1e-6)
    np.testing.assert_allclose(faded[0, :, 1] / -7, share, atol=1e-6)


def test_a_deep_yellow_is_no_paper():
    ab = np.zeros((1, 5, 2), np.float32)
    ab[0, :, 1] = 10, 30, 50, 70, 90
    faded = fade_paper(ab, np.full((4, 20), 97, np.float32))
    np.testing.assert_allclose(faded[..., 1], [[2.5, 7.5, 31.25, 70, 90]], atol=1e-4)


def rim(color, paper=(-3.0, 20.0)):
    """The share that is left of a pixel's color, L* 60, between one of paper and two darker ones.

    Four pixels: paper, the one, and two of another color.
    """
    ab = np.float32([[paper, color, (40, -30), (40, -30)]])
    faded = fade_paper(ab, grid([97, 60, 60, 60]))
    np.testing.assert_allclose(faded[0, 0], ab[0, 0] / 4, atol=1e-6)
    np.testing.assert_array_equal(faded[0, 2:], ab[0, 2:])
    return np.linalg.norm(faded[0, 1]) / np.linalg.norm(ab[0, 1])


def test_ink_on_yellow_paper_has_no_yellow_rim():
    assert rim((-3.0, 20.0)) == pytest.approx(0.25, abs=1e-3)
    assert rim((-3.0, 30.0)) == pytest.approx(1 - 0.75 * np.exp(-0.5), abs=1e-3)  # 10 units away


def test_ink_of_another_color_than_the_paper_beside_it_keeps_it():
    assert rim((50.0, 30.0)) == pytest.approx(1, abs=1e-3)
    assert rim((-1.0, 8.0), paper=(-1.0, 8.0)) == 1  # such a pale rim is not seen


@pytest.fixture(scope="module")
def poster_network():
    return OnnxColorNetwork.load("poster", "cpu", threads=1)


def flat_poster():
    """A picture of 120 x 80 with a ground of one lightness and a rough half."""
    rgb = np.full((120, 80, 3), 150, np.uint8)
    rgb[:, 40:] = draw(120, 40, seed=3)
    return rgb


def with_refinement(network, refined):
    class Changed:
        manifest = replace(network.manifest, refined=refined)
        device = network.device
        predict, distribution = network.predict, network.distribution

    return Changed()


def test_a_network_is_refined_if_its_manifest_says_so(poster_network):
    rgb = flat_poster()
    raw = Recolorizer(with_refinement(poster_network, refined=False)).predict(rgb)
    found = Recolorizer(with_refinement(poster_network, refined=True)).predict(rgb)
    box = poster_network.manifest.box(ImageSize(120, 80))
    lightness = network_input(rgb, box, poster_network.manifest.pad_lightness)[0, 0]
    assert np.abs(found - raw).max() > 1
    np.testing.assert_array_equal(found, refine(raw, lightness, box.inside))


def test_the_first_variant_is_the_result_without_steering(poster_network):
    rgb = flat_poster()
    recolorizer = Recolorizer(with_refinement(poster_network, refined=True))
    (first,) = recolorizer.predict_distribution(rgb).variants(1)
    plain = recolorizer.predict(rgb)
    inside = poster_network.manifest.box(ImageSize(120, 80)).inside
    quarter = tuple(slice(side.start // 4 + 1, side.stop // 4 - 1) for side in inside)
    np.testing.assert_allclose(first[quarter], plain[quarter], atol=0.5)
    options = RecolorOptions(steering=Steering())
    steered = Recolorizer(recolorizer.network, options).predict(rgb)
    np.testing.assert_allclose(steered[quarter], plain[quarter], atol=0.5)

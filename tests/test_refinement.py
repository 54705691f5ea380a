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


def test_paper_fades_and_the_rest_does_not():
    lightness = np.repeat(np.float32([[50, 89, 93.5, 97, 100]]), 4, axis=1)
    lightness = np.repeat(lightness, 4, axis=0)
    ab = np.full((1, 5, 2), (6.0, -8.0), np.float32)
    share = fade_paper(ab, lightness)[0, :, 0] / 6
    np.testing.assert_allclose(share, [1, 1, 0.7, 0.4, 0.4], atol=1e-6)
    np.testing.assert_allclose(fade_paper(ab, lightness)[..., 1] / -8, share[None], atol=1e-6)


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

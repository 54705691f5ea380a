"""The architecture of the default model."""

import pytest
import torch

from conftest import with_changes
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import UsageError
from recolor_cli.training.networks import build_network

BINS = AbBins.srgb()


@pytest.fixture
def config(shipped_config):
    return shipped_config


def test_a_photograph_gets_less_color(config):
    network = build_network(with_changes(config, photo_strength=0.5), len(BINS), False).eval()
    plain = build_network(config, len(BINS), False).eval()
    plain.load_state_dict(network.state_dict())
    lightness = torch.rand(2, 1, 64, 64) * 100
    with torch.inference_mode():
        expected = plain.logits_and_strength(lightness)
        for bias, factor in ((-30.0, 1.0), (0.0, 0.75), (30.0, 0.5)):
            network.gate.bias.fill_(bias)
            logits, strength = network.logits_and_strength(lightness)
            assert strength.shape == (2, 1, 1, 1)
            torch.testing.assert_close(strength, torch.full_like(strength, factor))
            torch.testing.assert_close(logits, expected[0])
    assert expected[1] is None


@pytest.mark.parametrize(("widths", "stride"), [((8, 8, 8), 8), ((8,) * 4, 4), ((8,) * 5, 2)])
def test_the_network_answers_at_its_stride_for_any_multiple_of_32(config, widths, stride):
    network = build_network(with_changes(config, widths=widths), len(BINS), False).eval()
    assert network.output_stride == stride
    with torch.inference_mode():
        for height, width in ((32, 32), (64, 96)):
            logits = network(torch.full((2, 1, height, width), 50.0))
            assert logits.shape == (2, len(BINS), height // stride, width // stride)


def test_predict_at_some_pixels_are_those_of_the_whole(config):
    network = build_network(config, len(BINS), pretrained=False).eval()
    lightness = torch.rand(2, 1, 64, 64) * 100
    pixels = torch.tensor([0, 17, 300, 511])  # of 2 x 16 x 16
    with torch.inference_mode():
        whole = network(lightness).permute(0, 2, 3, 1).reshape(-1, len(BINS))
        torch.testing.assert_close(
            network.predict_at(lightness, pixels), whole[pixels], rtol=1e-4, atol=1e-4
        )


def test_drop_path_is_for_training_alone(config):
    changes = {"drop_path": 0.9, "frozen_blocks": 5}
    network = build_network(with_changes(config, **changes), len(BINS), False)
    lightness = torch.rand(4, 1, 64, 64) * 100
    with torch.inference_mode():
        network.eval()
        torch.testing.assert_close(network(lightness), network(lightness))
        network.train()
        assert not torch.allclose(network(lightness), network(lightness))


def test_the_frozen_part_keeps_its_weights_and_statistics(config):
    config = with_changes(config, frozen_blocks=5)
    network = build_network(config, len(BINS), pretrained=True).train()
    frozen = {k: v.clone() for k, v in network.state_dict().items() if "_blocks.4." in k}
    free = {k: v.clone() for k, v in network.state_dict().items() if "_blocks.5." in k}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.rand(2, 1, 64, 64) * 100).square().mean().backward()
    optimizer.step()
    state = network.state_dict()
    assert all(torch.equal(state[k], v) for k, v in frozen.items())
    assert not all(torch.equal(state[k], v) for k, v in free.items())


@pytest.mark.parametrize("changes", [{"architecture": "x"}, {"encoder": "x"}, {"widths": [8] * 6}])
def test_networks_that_do_not_exist_are_refused(config, changes):
    with pytest.raises(UsageError):
        build_network(with_changes(config, **changes), len(BINS), pretrained=False)

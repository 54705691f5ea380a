"""Variants, palettes, hints and confidence, on distributions that are made by hand."""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest

from conftest import encoded
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import Distribution, annealed_mean, softmax
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.guidance import palette_matching, prediction
from recolor_cli.guidance.color_texts import levels_to_ab, parse_color
from recolor_cli.guidance.confidence import confidence_map, entropy
from recolor_cli.guidance.guided_filter import guided_filter
from recolor_cli.guidance.hint_propagation import HintConstraints, _link_pixels, propagate_hints
from recolor_cli.guidance.hints import Hint, Hints
from recolor_cli.guidance.palette_bank import (
    DESCRIPTIONS,
    bank_palettes,
    main_colors,
    named_palette,
)
from recolor_cli.guidance.palette_matching import (
    Palette,
    match_palette,
    smooth_logits,
    smoothing,
)
from recolor_cli.guidance.prediction import ColorFactors, Prediction
from recolor_cli.guidance.recolor_options import MAX_VARIANTS, Steering
from recolor_cli.guidance.variants import mean_distribution, select_palettes
from recolor_cli.training import palettes as training_palettes
from recolor_cli.types import ImageSize

BINS = AbBins.srgb()


def logits_of(*modes: tuple[tuple[float, float], float], side: int = 32) -> np.ndarray:
    """Return the logits of a mixture of Gaussians around some ab, the same everywhere."""
    p = np.full(len(BINS), 1e-6)
    for ab, weight in modes:
        p += weight * np.exp(-np.square(BINS.centers - ab).sum(axis=1) / (2 * 12**2))
    plane = np.log(p / p.sum()).astype(np.float32)
    return np.broadcast_to(plane[:, None, None], (len(BINS), side, side)).copy()


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Return lightness and logits of a dark left and a light right half that may be many things."""
    lightness = np.full((32, 32), 30, np.float32)
    lightness[:, 16:] = 70
    left = logits_of(((30, 20), 0.5), ((0, -40), 0.4), ((-30, 20), 0.2))
    right = logits_of(((0, 0), 0.5), ((10, 50), 0.4), ((-5, -30), 0.3))
    noise = np.random.default_rng(5).normal(0, 0.5, left.shape)
    logits = np.where(np.arange(32) < 16, left, right) + noise
    return lightness, logits.astype(np.float32)


def predicted(lightness, logits, steering=None, temperature=0.38, factors=None, refined=False):
    """Return a prediction for a picture of 32 x 32 that fills its canvas."""
    box = Letterbox.fit(ImageSize(32, 32), 32)
    distribution = Distribution(logits[None], BINS, np.ones(1, np.float32))
    factors, steering = factors or ColorFactors(1, 1), steering or Steering()
    return Prediction(distribution, lightness, box, temperature, factors, steering, refined)


def some_variants(count=4, seed=0):
    return predicted(*halves(), Steering(seed=seed)).variants(count)


def apart(one, other):
    """Mean distance of two colorings, ab units."""
    return float(np.linalg.norm(one - other, axis=-1).mean())


def test_the_first_variant_is_the_networks_own():
    _, logits = halves()
    own = annealed_mean(logits[None], BINS, 0.38)[0].transpose(1, 2, 0)
    for count in (1, 3):
        np.testing.assert_array_equal(some_variants(count)[0], own)


def test_variants_differ_clearly_and_the_seed_decides_which():
    found = some_variants()
    assert len(found) == 4
    for one, other in itertools.combinations(found, 2):
        assert apart(one, other) > 6
    for one, again in zip(found, some_variants(), strict=True):
        np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(some_variants(seed=1)[1], some_variants(5)[4])


def test_seeds_of_the_docs_give_other_palettes():
    likely = mean_distribution(logits_of(((40, 30), 0.5), ((0, -40), 0.5)), 0.38)

    def chosen(variants: int, seeds: range) -> list[int]:
        palettes = [select_palettes(likely, BINS, bank_palettes(), variants - 1, s) for s in seeds]
        return [id(palette) for some in palettes for palette in some]

    for variants, seeds in ((4, range(21)), (8, range(0, 19, 3)), (16, range(0, 16, 5))):
        found = chosen(variants, seeds)
        assert len(set(found)) == len(found) == (variants - 1) * len(seeds)


def test_the_most_variants_are_all_different():
    found = some_variants(MAX_VARIANTS)
    assert len(found) == MAX_VARIANTS
    assert min(apart(a, b) for a, b in itertools.combinations(found, 2)) > 2


def test_what_the_network_is_sure_of_stays():
    lightness, logits = halves()
    sure = logits_of(((40, 30), 1.0))
    logits[:, :, :16] = 8 * sure[:, :, :16]
    own, *others = predicted(lightness, logits).variants(4)
    for ab in others:
        change = np.linalg.norm(ab - own, axis=-1)
        assert change[:, 2:12].mean() < 0.6 * change[:, 20:30].mean()


def of_one_color(*ab: float) -> Palette:
    return Palette.of_equal_shares(np.float32([ab]))


def test_palettes_are_selected_far_apart_and_likely():
    likely = mean_distribution(logits_of(((40, 30), 0.5), ((0, -40), 0.5)), 0.38)
    red, reddish, blue, green = (
        of_one_color(*ab) for ab in ((40, 30), (44, 28), (0, -40), (-60, 40))
    )
    bank = [green, reddish, red, blue]
    first, second = select_palettes(likely, BINS, bank, 2, 0)
    assert {id(first), id(second)} in ({id(red), id(blue)}, {id(reddish), id(blue)})
    assert select_palettes(likely, BINS, bank, 4, 0)[3] is green  # the network excludes it
    assert len(select_palettes(likely, BINS, bank, 9, 5)) == 9  # from the beginning again


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_named_palette_has_the_colors_that_are_listed(name):
    palette = named_palette(name)
    assert palette.shares.sum() == pytest.approx(1, abs=1e-3)
    listed = levels_to_ab([parse_color(code) for code in main_colors(palette)])
    nearest = np.linalg.norm(listed[:, None] - palette.ab, axis=-1).min(axis=1)
    assert nearest.max() < 12  # L* 60 cannot show them all
    hues = np.degrees(np.arctan2(*listed.T[::-1]))
    assert len(listed) >= 2, hues


def test_periods_differ_in_what_is_typical():
    blue = {name: blue_share(named_palette(name)) for name in ("1950s", "1980s")}
    assert blue["1980s"] > 3 * blue["1950s"]
    assert np.linalg.norm(named_palette("1930s").ab, axis=1) @ named_palette("1930s").shares > 30


def blue_share(palette: Palette) -> float:
    return float(palette.shares[(palette.ab[:, 1] < -16) & (palette.ab[:, 0] > -10)].sum())


def test_a_bank_is_made_of_posters(monkeypatch):
    monkeypatch.setattr(training_palettes, "_CLUSTERS", 2)

    def pictures(*colors):
        return [Picture(c, encoded(np.full((20, 30, 3), parse_color(c), np.uint8))) for c in colors]

    posters = pictures("#c02020", "#c82828", "#c01818", "#2030c0")
    periods = {name: pictures("#c02020") for name in DESCRIPTIONS} | {"1930s": pictures("#c09020")}
    with np.load(io.BytesIO(training_palettes.make_bank(posters, periods))) as stored:
        clusters, gold = stored["clusters"].astype(np.float32), stored["period 1930s"]
    np.testing.assert_allclose(clusters.sum(axis=1), 1, atol=1e-2)
    red = BINS.index_of(levels_to_ab([parse_color("#c02020")]))[0]
    assert clusters[0, red] > 0.3  # the larger cluster comes first
    assert clusters[1, red] == 0
    np.testing.assert_allclose(
        BINS.centers[gold.argmax()], levels_to_ab([(192, 144, 32)])[0], atol=8
    )


def pulled(palette: Palette, strength: float = 1.0) -> np.ndarray:
    """Return the logits of `halves`, pulled toward a palette."""
    lightness, logits = halves()
    smooth = smooth_logits(logits, strength, smoothing(logits, lightness))
    return match_palette(smooth, BINS, palette, strength, 0.38)


def distance_to(palette: Palette, logits: np.ndarray) -> float:
    p = softmax(logits / np.float32(0.38)).mean(axis=(1, 2))
    return 0.5 * float(np.abs(p - palette.histogram(BINS, 6.0)).sum())


def test_a_palette_pulls_the_histogram_as_far_as_its_strength():
    palette = Palette.of_equal_shares(levels_to_ab([[200, 16, 46], [242, 193, 78], [17, 34, 51]]))
    strengths = (0.0, 0.4, 0.8, 1.0)
    distances = [distance_to(palette, pulled(palette, strength)) for strength in strengths]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == distance_to(palette, halves()[1])
    assert distances[1] == pytest.approx(0.6 * distances[0], rel=0.15)
    assert distances[3] < 0.1 * distances[0]


def test_a_palette_leaves_places_to_the_network():
    """Of two colors each goes where the network thinks it more likely."""
    palette = Palette(np.float32([[-30, 20], [10, 50]]), np.float32([0.5, 0.5]))
    ab = annealed_mean(pulled(palette)[None], BINS, 0.38)[0]
    np.testing.assert_allclose(ab[:, 8:24, 3:12].mean(axis=(1, 2)), (-30, 20), atol=8)
    np.testing.assert_allclose(ab[:, 8:24, 20:29].mean(axis=(1, 2)), (10, 50), atol=8)


def test_a_palette_makes_neighbours_less_different():
    palette = Palette.of_equal_shares(levels_to_ab([[200, 16, 46], [42, 157, 143]]))
    before, after = (
        annealed_mean(logits[None], BINS, 0.38)[0] for logits in (halves()[1], pulled(palette))
    )
    chroma = [np.linalg.norm(ab, axis=0).mean() for ab in (before, after)]
    rough = [np.abs(np.diff(ab, axis=1)).mean() for ab in (before, after)]
    assert rough[1] / chroma[1] < 0.5 * rough[0] / chroma[0]


def test_a_palettes_histogram_counts_colors():
    ab = np.float32([[0, 0], [0, 0], [40, 40]])
    palette = Palette(ab, np.float32([0.25, 0.25, 0.5]))
    count = palette.histogram(BINS)
    assert count[BINS.index_of(np.float32([0, 0]))] == 0.5
    assert count[BINS.index_of(np.float32([40, 40]))] == 0.5
    assert palette.histogram(BINS, 8.0).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="shape"):
        Palette(ab, np.float32([1]))


def test_guided_smoothing_keeps_edges_and_means():
    guide = np.where(np.arange(40) < 20, 10, 90).astype(np.float32) * np.ones((40, 1), np.float32)
    noise = np.random.default_rng(0).normal(0, 1, (3, 40, 40)).astype(np.float32)
    smooth = guided_filter(noise + guide / 10, guide, 4, 30.0)
    flat = smooth[:, 8:-8, 6:14]
    assert flat.std() < 0.4
    assert flat.mean() == pytest.approx(1, abs=0.15)
    assert smooth[:, 8:-8, 26:34].mean() == pytest.approx(9, abs=0.15)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ab, lightness and content of a light disc on dark ground, padded left and right."""
    y, x = np.mgrid[0:256, 0:256]
    disc = np.hypot(x - 128, y - 100) < 40
    lightness = np.where(disc, 70, 30).astype(np.float32)
    lightness += np.random.default_rng(1).normal(0, 0.7, (256, 256)).astype(np.float32)
    content = (x >= 40) & (x < 216)
    return np.zeros((256, 256, 2), np.float32), np.where(content, lightness, 50), content


def constraints_at(*hints: tuple[int, int, tuple[float, float]]) -> HintConstraints:
    y, x = np.mgrid[0:256, 0:256]
    fixed, ab = np.zeros((256, 256), bool), np.zeros((256, 256, 2), np.float32)
    for column, row, color in hints:
        at = np.hypot(x - column, y - row) < 3
        fixed |= at
        ab[at] = color
    return HintConstraints(fixed, ab)


def test_work_that_other_wishes_leave_as_it_is_is_not_done_again(monkeypatch):
    palette, others = Palette.of_colors(["#c8102e", "gold"]), Palette.of_colors(["navy"])
    steerings = [
        Steering(),
        Steering(palette),
        Steering(palette, hints=Hints((Hint(4, 4, "red"),))),
        Steering(palette, 0.3),
        Steering(others, pick=3),
        Steering(others, pick=3, seed=2),
        Steering(pick=2),
        Steering(),
    ]
    smoothed = []
    monkeypatch.setattr(
        prediction, "smoothing", lambda *a: smoothed.append(0) or palette_matching.smoothing(*a)
    )

    def fresh(steering, temperature, strength):
        return predicted(*halves(), steering, temperature, ColorFactors(1.1, strength), True)

    kept = fresh(Steering(), 0.38, 1)
    for temperature, strength in ((0.38, 1), (0.38, 0.5), (0.7, 0.5)):
        for steering in steerings:
            factors = ColorFactors(1.1, strength)
            again = replace(kept, temperature=temperature, factors=factors, steering=steering)
            np.testing.assert_array_equal(
                again.picked(), fresh(steering, temperature, strength).picked()
            )
    del smoothed[:]
    replace(kept, steering=Steering(palette)).picked()
    replace(kept, steering=Steering(others, 0.4), temperature=0.9).picked()
    assert smoothed == []  # the longest stage is done once for a picture


def test_a_hint_fills_its_region_and_ends_at_its_edge():
    ab, lightness, content = scene()
    result = propagate_hints(ab, lightness, content, constraints_at((115, 90, (50.0, -20.0))))
    np.testing.assert_array_equal(result[90, 115], (50, -20))
    y, x = np.mgrid[0:256, 0:256]
    away = np.hypot(x - 128, y - 100)
    np.testing.assert_allclose(result[away < 38].mean(axis=0), (50, -20), atol=0.5)
    assert np.abs(result[(away > 43) & content]).max() < 3
    assert np.abs(result[(away > 60) & content]).max() < 0.5


def test_a_hint_leaves_the_places_that_it_does_not_reach():
    ab, lightness, content = scene()
    ab[...] = np.random.default_rng(2).normal(0, 20, ab.shape)
    result = propagate_hints(ab, lightness, content, constraints_at((115, 90, (50.0, -20.0))))
    np.testing.assert_array_equal(result[200:], ab[200:])


@pytest.mark.parametrize("size", [(600, 400), (300, 900), (9, 2000)])
def test_a_place_that_no_hint_reaches_is_painted_as_without_hints(size):
    """The network's answer is coarser than the canvas that hints are drawn on."""
    box = Letterbox.fit(ImageSize(*size), 256)
    logits = logits_of(((30, 20), 0.5), ((0, -40), 0.4), side=64)
    logits += np.random.default_rng(5).normal(0, 0.5, logits.shape).astype(np.float32)
    lightness = np.tile(np.where(np.arange(256) < 128, 30, 70), (256, 1)).astype(np.float32)
    own = Distribution(logits[None], BINS, np.ones(1, np.float32))
    plain = Prediction(own, lightness, box, 0.38, ColorFactors(1, 1), Steering(), False)
    hinted = replace(plain, steering=Steering(hints=Hints([Hint(3, 3, "red")])))
    far = slice(size[1] * 2 // 3, None)
    before, after = (box.invert(one.picked())[:, far] for one in (plain, hinted))
    assert np.abs(after - before).max() < 1.5
    assert np.abs(after - before).mean() < 0.1


def test_a_list_without_hints_changes_nothing():
    lightness, logits = halves()
    none = predicted(lightness, logits, Steering(hints=Hints([]))).picked()
    np.testing.assert_array_equal(none, predicted(lightness, logits).picked())
    assert not Hints([])
    assert len(Hints(Hint(x, 2, "red") for x in range(3)).points) == 3


def test_a_palette_of_no_strength_changes_nothing():
    lightness, logits = halves()
    lightness[:, 16:] = 97  # paper
    none = Steering(Palette.of_colors(["navy"]), 0.0)
    for steering in (none, replace(none, pick=2)):
        np.testing.assert_array_equal(
            predicted(lightness, logits, steering, refined=True).picked(),
            predicted(lightness, logits, Steering(pick=steering.pick), refined=True).picked(),
        )


def test_two_hints_share_what_is_between_them():
    ab, lightness, content = scene()
    two = constraints_at((115, 90, (50.0, 0.0)), (128, 230, (0.0, 50.0)))
    result = propagate_hints(ab, lightness, content, two)
    np.testing.assert_allclose(result[120, 140], (50, 0), atol=2)
    np.testing.assert_allclose(result[200, 100], (0, 50), atol=2)


def test_the_network_sees_edges_that_lightness_does_not():
    ab, lightness, content = scene()
    lightness[:] = 50
    ab[:, 128:] = (40, 0)  # something else begins at column 128
    result = propagate_hints(ab, lightness, content, constraints_at((90, 128, (0.0, 60.0))))
    np.testing.assert_allclose(result[128, 100], (0, 60), atol=3)
    np.testing.assert_allclose(result[128, 160], (40, 0), atol=3)


def test_spreading_solves_the_linear_system():
    """Against a dense solution of the same system, on a side that has to be padded."""
    random = np.random.default_rng(3)
    lightness = random.uniform(40, 46, (21, 21)).astype(np.float32)
    fixed = np.zeros((21, 21), bool)
    fixed[4, 4] = fixed[15:18, 12] = True
    grid = _link_pixels(
        lightness, np.zeros((21, 21, 2), np.float32), np.ones((21, 21), bool), fixed
    )
    given = np.where(grid.fixed, random.uniform(0, 1, grid.fixed.shape), 0).astype(np.float32)
    matrix = np.zeros((grid.fixed.size, grid.fixed.size))
    place = np.arange(grid.fixed.size).reshape(grid.fixed.shape)
    pairs = (place[:-1], place[1:], grid.down), (place[:, :-1], place[:, 1:], grid.right)
    for one, other, weights in pairs:
        matrix[one, other] = matrix[other, one] = -weights
    matrix += np.diag(grid.prior.ravel() - matrix.sum(axis=1))
    free = ~grid.fixed.ravel()
    exact = given.ravel().astype(np.float64)
    exact[free] = np.linalg.solve(
        matrix[np.ix_(free, free)], -matrix[np.ix_(free, ~free)] @ exact[~free]
    )
    planes = grid.solve(given * np.array([1, -2, 0.5], np.float32)[:, None, None], 100)
    for plane, factor in zip(planes, (1, -2, 0.5), strict=True):
        np.testing.assert_allclose(plane.ravel(), factor * exact, atol=4e-3)
    assert exact[free].max() > 0.1


def test_entropy_is_between_certainty_and_all_bins():
    flat = np.zeros((394, 2, 3), np.float32)
    sure = flat.copy()
    sure[7] = 100
    np.testing.assert_allclose(entropy(flat), np.log(394), rtol=1e-5)
    np.testing.assert_allclose(entropy(sure), 0, atol=1e-5)
    two = np.full_like(flat, -100)
    two[[3, 9]] = 0
    np.testing.assert_allclose(entropy(two), np.log(2), rtol=1e-5)


@pytest.mark.parametrize("size", [(600, 400), (3000, 4500), (9, 8)])
def test_a_map_has_the_pictures_shape_and_a_scale(size):
    box = Letterbox.fit(ImageSize(*size), 64)
    nats = np.zeros((64, 64), np.float32)
    nats[:, 32:] = 6
    drawn = confidence_map(nats, box, 6.0)
    share = min(1, 1024 / max(size))
    height, width = round(size[0] * share), round(size[1] * share)
    assert drawn.shape == (height + 28, width, 3)
    lightness = rgb_to_lab_cv2(drawn)[..., 0]
    assert lightness[height // 2, 0] < 20  # certain is dark
    assert lightness[height // 2, -1] > 85
    scale = lightness[height + 5]
    assert (np.diff(scale) > -0.5).all()
    assert scale[-1] - scale[0] > 60
    assert (drawn[height + 10 :] < 100).any() == (width >= 120)  # words, where there is room

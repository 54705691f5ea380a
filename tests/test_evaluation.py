import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import sqrtm

from conftest import SpyNetwork, draw, encoded
from recolor_cli.errors import ModelError
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.frechet import Encoder, FeatureSet, frechet_distance
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.evaluation.sheet import contact_sheet
from recolor_cli.evaluation.table import Table, aged_picture, evaluate
from recolor_cli.lab import gray_of, lightness_of
from recolor_cli.types import RecolorOptions

PICTURES = [Picture(f"{i}.png", encoded(draw(50 + i, 40, seed=i), "PNG")) for i in range(6)]
OPTIONS = RecolorOptions()


# Aging.


def test_aging_keeps_shape_and_range_and_depends_on_the_seed_alone():
    lightness = lightness_of(draw())
    seen = [age(lightness, np.random.default_rng(seed)) for seed in range(60)]
    for worn in seen:
        assert worn.shape == lightness.shape
        assert worn.dtype == np.float32
        assert 0 <= worn.min() <= worn.max() <= 100
    np.testing.assert_array_equal(seen[3], age(lightness, np.random.default_rng(3)))
    changed = [np.abs(worn - lightness).mean() for worn in seen]
    assert np.median(changed) > 3  # most are visibly worn
    assert min(changed) < max(changed) / 10  # and not all alike
    np.testing.assert_array_equal(lightness, lightness_of(draw()))  # the input is left alone


def test_a_worn_picture_is_still_the_same_picture():
    lightness = lightness_of(draw(120, 90, seed=5))
    like = [
        np.corrcoef(lightness.ravel(), age(lightness, np.random.default_rng(s)).ravel())[0, 1]
        for s in range(40)
    ]
    assert np.median(like) > 0.9
    assert min(like) > 0.4


def test_tiny_pictures_age_too():
    for seed in range(40):
        assert age(np.full((3, 5), 50, np.float32), np.random.default_rng(seed)).shape == (3, 5)


# The distance of features.


def test_frechet_against_the_matrix_square_root():
    random = np.random.default_rng(0)
    one, two = random.normal(size=(50, 6)), random.normal(1, 2, size=(50, 6))
    means, covariances = zip(*((x.mean(axis=0), np.cov(x.T)) for x in (one, two)), strict=True)
    root = sqrtm(covariances[0] @ covariances[1])
    expected = np.square(means[0] - means[1]).sum() + np.trace(sum(covariances) - 2 * root.real)
    measured = frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert measured == pytest.approx(expected, rel=1e-6)
    same = frechet_distance(means[0], covariances[0], means[0], covariances[0])
    assert same == pytest.approx(0, abs=1e-9)


def test_features_see_color_and_fewer_than_two_pictures_have_no_distance():
    encoder = Encoder()
    rgb = draw()
    features = encoder.features(rgb)
    assert features.shape == (320,)
    assert np.abs(features - encoder.features(gray_of(rgb))).max() > 0.1
    assert np.isnan(FeatureSet([features]).distance_to(FeatureSet([features])))


# The table.


def test_the_baselines_come_first_and_the_truth_would_win(manifest):
    entries = evaluate(PICTURES, {"one": SpyNetwork(manifest, (10.0, 5.0))}, OPTIONS)
    assert [entry.name for entry in entries] == ["gray", "prior mean", "one"]
    gray = entries[0]
    assert gray.values()["l2_over_gray"] == 1
    assert gray.figures.pictures == len(gray.differences) == 6
    assert gray.frechet > 0


def test_the_same_again_gives_the_same(manifest):
    def run(aged):
        entries = evaluate(PICTURES, {"one": SpyNetwork(manifest, (9.0, 5.0))}, OPTIONS, aged)
        return [{**e.values(), "seconds": 0} for e in entries]

    assert run(False) == run(False)
    assert run(True) == run(True)


def test_aged_shows_the_network_worn_pictures_and_keeps_the_clean_lightness(manifest):
    network = SpyNetwork(manifest, (9.0, 5.0))
    evaluate(PICTURES, {"one": network}, OPTIONS)
    clean = evaluate(PICTURES, {"one": network}, OPTIONS)[2]
    aged = evaluate(PICTURES, {"one": network}, OPTIONS, aged=True)[2]
    shown = [tensor for tensor, _ in network.seen]
    assert not np.array_equal(shown[6], shown[12])
    assert aged.differences == clean.differences  # this network answers the same to all


def test_the_table_as_text_has_every_line_and_its_meaning(manifest):
    entries = evaluate(PICTURES, {"one": SpyNetwork(manifest, (10.0, 5.0))}, OPTIONS)
    table = Table(entries, False, "Six drawn pictures.")
    markdown = table.to_markdown()
    assert "| L2 / gray |" in markdown
    assert "- **CIEDE2000**:" in markdown
    assert "Six drawn pictures." in markdown
    legacy = Table(entries, True, "")
    assert [row[0] for row in legacy.rows() if "class," in row[0]] == [
        f"{n}-class, legacy mask" for n in range(3)
    ]
    document = json.loads(table.to_json())
    assert [entry["model"] for entry in document["entries"]] == ["gray", "prior mean", "one"]
    assert set(document["entries"][0]) - set(document["definitions"]) == {
        "model", "pictures", "true_classes", "true_colorfulness",
    }  # fmt: skip


def test_without_a_prior_there_is_no_baseline(manifest):
    from dataclasses import replace

    from recolor_cli.types import ModelKind

    bare = replace(manifest, kind=ModelKind.REGRESSION, centers=(), prior=())
    with pytest.raises(ModelError, match="prior"):
        evaluate(PICTURES, {"one": SpyNetwork(bare)}, OPTIONS)


def test_the_sheet_has_best_median_and_worst(manifest):
    network = SpyNetwork(manifest, (10.0, 5.0))
    differences = [5.0, 1.0, 3.0, 2.0, 4.0, 6.0]
    for count, rows in ((2, 2), (50, 6)):
        png = contact_sheet(PICTURES, differences, network, OPTIONS, count)
        with Image.open(io.BytesIO(png)) as sheet:
            assert sheet.width == 3 * 768 + 2 * 24
            assert sheet.height == 14 + rows * (256 + 14 + 24)
            # The truth of the best one stands in the third cell of the first row.
            cell = np.asarray(sheet)[28 : 28 + 51, 512 : 512 + 40]
    np.testing.assert_array_equal(cell, draw(51, 40, seed=1))


def test_an_aged_picture_is_gray():
    assert np.ptp(aged_picture(draw(), 3).astype(int), axis=-1).max() <= 1

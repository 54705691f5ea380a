import math

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, lab2rgb

from conftest import draw
from recolor_cli.color.ab_bins import AbBins, cells_of
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2
from recolor_cli.evaluation.metrics import GLOSSARY, Accumulator, Figures, colorfulness


def figures(truth, result):
    accumulator = Accumulator()
    accumulator.add(truth, result)
    return accumulator.figures()


def from_ab(ab, lightness=60):
    """Return sRGB of some ab that it can show, one pixel each: shape (1, N, 3)."""
    lab = np.array([[(lightness, a, b) for a, b in ab]], float)
    return np.rint(lab2rgb(lab) * 255).astype(np.uint8)


def test_the_truth_itself_is_perfect():
    f = figures(draw(), draw())
    assert f.l2 == f.ciede2000 == f.delta_cf_mean == f.delta_cf_of_means == 0
    assert f.auc == f.balanced_auc == f.chroma_ratio == f.class_ratio == 1
    assert f.zero_class == f.one_class == f.two_class == 1
    assert math.isnan(f.psnr)  # infinite: left out of a mean


def test_gray_has_no_color():
    truth = draw()
    f = figures(truth, rgb_to_gray(truth))
    assert f.l2 == pytest.approx(np.square(rgb_to_lab_cv2(truth)[..., 1:]).mean(), rel=1e-2)
    assert f.chroma_ratio == pytest.approx(0, abs=1e-3)
    assert f.classes == 1
    assert f.colorfulness == pytest.approx(0, abs=0.1)  # a gray is rounded to a level
    assert f.delta_cf_mean == pytest.approx(f.true_colorfulness, abs=0.1)


def test_both_auc_against_the_definition():
    truth, result = draw(seed=0), draw(seed=1)
    true_ab, ab = rgb_to_lab_cv2(truth)[..., 1:], rgb_to_lab_cv2(result)[..., 1:]
    error = np.linalg.norm(true_ab - ab, axis=-1)
    shares = [(error <= t).mean() for t in range(151)]
    f = figures(truth, result)
    assert f.auc == pytest.approx(np.mean(shares), abs=1e-6)
    index = AbBins.srgb().index_of(true_ab)
    of_class = [
        np.mean([(error[index == q] <= t).mean() for t in range(151)]) for q in np.unique(index)
    ]
    assert f.balanced_auc == pytest.approx(np.mean(of_class), abs=1e-6)
    assert f.auc != pytest.approx(f.balanced_auc, abs=1e-3)


def test_class_accuracy_leaves_out_pixels_whose_truth_is_gray():
    truth = from_ab([(0, 0), (0, 40), (16, 0), (40, 40)])
    result = from_ab([(32, 32), (0, 48), (0, 0), (16, 40)])  # 4, 1, 2 and 3 cells away
    cells = cells_of(rgb_to_lab_cv2(result)[..., 1:]) - cells_of(rgb_to_lab_cv2(truth)[..., 1:])
    assert np.abs(cells).max(axis=-1).tolist() == [[4, 1, 2, 3]]
    f = figures(truth, result)
    # (0, 40) is a color: only the gray cell is left out.
    assert (f.zero_class, f.one_class, f.two_class) == pytest.approx((0, 1 / 3, 2 / 3))


def test_psnr_in_floating_point():
    truth = np.full((8, 8, 3), 250, np.uint8)
    result = np.full((8, 8, 3), 4, np.uint8)  # in 8 bits 4 - 250 would wrap to 10
    assert figures(truth, result).psnr == pytest.approx(10 * math.log10(255**2 / 246**2), abs=1e-4)


def test_colorfulness_is_the_absolute_variant():
    rgb = draw()
    red, green, blue = rgb.astype(float).transpose(2, 0, 1)
    expected = {}
    for name, shape in (("absolute", np.abs), ("signed", lambda x: x)):
        rg, yb = shape(red - green), shape((red + green) / 2 - blue)
        expected[name] = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colorfulness(rgb) == pytest.approx(expected["absolute"], rel=1e-4)
    assert colorfulness(rgb) != pytest.approx(expected["signed"], rel=1e-2)


def test_the_two_deltas_of_colorfulness_differ():
    dull = (draw(seed=1) // 4 + 96).astype(np.uint8)
    accumulator = Accumulator()
    accumulator.add(draw(seed=1), dull)
    accumulator.add(dull, draw(seed=1))  # as much too much as the other is too little
    f = accumulator.figures()
    assert f.delta_cf_of_means == pytest.approx(0, abs=1e-4)
    assert f.delta_cf_mean > 5


def test_ciede2000_looks_at_lightness_too():
    truth, result = draw(seed=0), draw(seed=1)
    expected = deltaE_ciede2000(rgb_to_lab_cv2(truth), rgb_to_lab_cv2(result)).mean()
    assert figures(truth, result).ciede2000 == pytest.approx(expected)
    lighter = np.minimum(truth.astype(int) + 40, 255).astype(np.uint8)
    assert figures(rgb_to_gray(truth), rgb_to_gray(lighter)).ciede2000 > 5


def test_pictures_count_the_same_whatever_their_size():
    small, large = draw(10, 10, seed=0), draw(100, 100, seed=1)
    accumulator = Accumulator()
    for rgb in (small, large):
        accumulator.add(rgb, rgb_to_gray(rgb))
    alone = [figures(rgb, rgb_to_gray(rgb)).l2 for rgb in (small, large)]
    assert accumulator.figures().l2 == pytest.approx(np.mean(alone))


def test_a_gray_picture_does_not_spoil_the_class_accuracy():
    accumulator = Accumulator()
    gray = rgb_to_gray(draw())
    accumulator.add(gray, gray)
    assert math.isnan(accumulator.figures().one_class)
    accumulator.add(draw(), draw())
    assert accumulator.figures().one_class == 1


def test_every_figure_is_defined():
    own = {"pictures", "true_classes", "true_colorfulness"}
    assert set(Figures.__dataclass_fields__) - own == set(GLOSSARY)


def test_misuse():
    with pytest.raises(ValueError, match="no picture"):
        Accumulator().figures()
    with pytest.raises(ValueError, match="differ in shape"):
        Accumulator().add(draw(40, 40), draw(40, 50))

import numpy as np
import pytest

from recolor_cli.evaluation.metrics import Accumulator
from recolor_cli.gamut import AbBins


def figures(truth, result):
    accumulator = Accumulator()
    accumulator.add(truth, result)
    return accumulator.figures()


def colors(seed=0, shape=(40, 30)):
    random = np.random.default_rng(seed)
    return random.uniform(-50, 60, (*shape, 2)).astype(np.float32)


def test_the_truth_itself_is_perfect():
    f = figures(colors(), colors())
    assert f.l2 == 0
    assert f.auc == f.balanced_auc == f.one_class == f.two_class == f.chroma == f.classes == 1


def test_gray_has_no_color():
    truth = colors()
    f = figures(truth, np.zeros_like(truth))
    assert f.l2 == pytest.approx(np.square(truth).mean(), rel=1e-5)
    assert f.chroma == 0
    assert f.classes < 0.02


def test_both_auc_against_the_definition():
    truth, result = colors(0), colors(1)
    error = np.linalg.norm(truth - result, axis=-1)
    shares = [(error <= t).mean() for t in range(151)]
    f = figures(truth, result)
    assert f.auc == pytest.approx(np.mean(shares), abs=1e-6)
    index = AbBins.srgb().index_of(truth)
    of_class = [
        np.mean([(error[index == q] <= t).mean() for t in range(151)]) for q in np.unique(index)
    ]
    assert f.balanced_auc == pytest.approx(np.mean(of_class), abs=1e-6)
    assert f.auc != pytest.approx(f.balanced_auc, abs=1e-3)


def test_class_accuracy_leaves_out_only_the_gray_cell():
    # a = 0 with b = 40 is a color: the seed's mask lost the whole row and column of gray.
    truth = np.array([[[0, 0], [0, 40], [16, 0], [40, 40]]], np.float32)
    result = np.array([[[80, 80], [0, 48], [0, 0], [16, 40]]], np.float32)
    f = figures(truth, result)
    assert f.one_class == pytest.approx(1 / 3)  # 1, 2 and 3 cells away
    assert f.two_class == pytest.approx(2 / 3)


def test_pictures_count_the_same_whatever_their_size():
    accumulator = Accumulator()
    accumulator.add(np.full((10, 10, 2), 10, np.float32), np.zeros((10, 10, 2), np.float32))
    accumulator.add(np.full((100, 100, 2), 20, np.float32), np.zeros((100, 100, 2), np.float32))
    assert accumulator.figures().l2 == pytest.approx((100 + 400) / 2)


def test_a_gray_picture_does_not_spoil_the_class_accuracy():
    accumulator = Accumulator()
    accumulator.add(np.zeros((4, 4, 2), np.float32), np.zeros((4, 4, 2), np.float32))
    accumulator.add(colors(), colors())
    assert accumulator.figures().one_class == 1


def test_misuse():
    with pytest.raises(ValueError, match="no picture"):
        Accumulator().figures()
    with pytest.raises(ValueError, match="differ in shape"):
        Accumulator().add(np.zeros((4, 4, 2), np.float32), np.zeros((4, 5, 2), np.float32))

"""Measure whether a weighted mean of two models' ab is better than the better one of the two.

python tests/benchmarks/blending.py data/val.tar --only posters --count 300

A blend is also paler than its parts, and paler colors alone have a smaller L2. So each blend stands
beside the first model alone at the strength that is best for it, and beside itself at the chroma of
the first model.
"""

import argparse
from collections.abc import Callable

import numpy as np

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.color.letterbox import LazyUpsampled
from recolor_cli.color.painting import paint
from recolor_cli.evaluation.metrics import Accumulator
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.evaluation.table import decode_for_measuring
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import FloatArray, ImageSize, RgbImage

_OTHERS = ("classification", "regression", "koalarization", "fruitnet", "film", "colorunet")
Mix = Callable[[np.ndarray], FloatArray]
_SAMPLES = 2000  # of the bootstrap


def _predict(recolorizer: Recolorizer, rgb: RgbImage) -> np.ndarray:
    box = recolorizer.network.manifest.box(ImageSize(*rgb.shape[:2]))
    return box.invert(recolorizer.predict(rgb)).astype(np.float16)


def _measure(pictures: list[RgbImage], ab: list[np.ndarray], mix: Mix) -> dict[str, float]:
    accumulator = Accumulator()
    for rgb, planes in zip(pictures, ab, strict=True):
        result = np.empty_like(rgb)
        whole = np.ascontiguousarray(np.moveaxis(mix(planes.astype(np.float32)), -1, 0))
        paint(rgb, LazyUpsampled(whole, np.eye(len(rgb), dtype=np.float32)), result)
        accumulator.add(rgb, result)
    figures = accumulator.figures()
    return {
        "L2": figures.l2,
        "1-class": figures.one_class,
        "2-class": figures.two_class,
        "chroma": figures.chroma_ratio,
        "CIEDE2000": figures.ciede2000,
    }


def _print(name: str, figures: dict[str, float]) -> None:
    print(
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in figures.values()) + " |", flush=True
    )


def main() -> None:
    """Print the best weights of each pair, and the figures at them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--only", default="posters")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("-m", "--model", dest="models", action="append")
    options = parser.parse_args()
    models = ["poster", *(options.models or _OTHERS)]
    found = [p for p in load_pictures(options.sources) if options.only in p.name]
    pictures = [decode_for_measuring(p) for p in found[:: max(1, len(found) // options.count)]]
    recolorizers = [Recolorizer(model, device="cpu") for model in models]
    ab = [np.stack([_predict(r, rgb) for r in recolorizers]) for rgb in pictures]

    # L2 before gamut mapping is a quadratic form of the weights: w' G w - 2 w' c + t.
    grams, crosses, squares = [], [], []
    for rgb, planes in zip(pictures, ab, strict=True):
        flat = planes.astype(np.float64).reshape(len(models), -1)
        truth = rgb_to_lab_cv2(rgb)[..., 1:].astype(np.float64).ravel()
        grams.append(flat @ flat.T / truth.size)
        crosses.append(flat @ truth / truth.size)
        squares.append(truth @ truth / truth.size)
    gram, cross, square = np.array(grams), np.array(crosses), np.array(squares)

    def l2(weights: FloatArray, chosen: object = slice(None)) -> FloatArray:
        g, c, t = gram[chosen], cross[chosen], square[chosen]
        return np.einsum("i,nij,j->n", weights, g, weights) - 2 * c @ weights + t

    alone = np.eye(len(models))[0]
    best_strength = cross.mean(0)[0] / gram.mean(0)[0, 0]
    print(
        f"{len(pictures)} pictures; poster alone {l2(alone).mean():.1f}, at its best strength "
        f"{best_strength:.2f}: {l2(alone * best_strength).mean():.1f}"
    )
    random = np.random.default_rng(0)
    draws = random.integers(0, len(pictures), (_SAMPLES, len(pictures)))
    print(
        "| with | L2 of weights that sum to 1: best weight of poster | L2 | free weights | L2 | "
        "gain over poster at its best strength, 95 % |"
    )
    best: dict[str, tuple[int, float]] = {}
    for other in range(1, len(models)):
        shares = np.linspace(0, 1, 21)
        mixes = [np.where(np.arange(len(models)) == 0, s, 0.0) for s in shares]
        for mix, share in zip(mixes, shares, strict=True):
            mix[other] = 1 - share
        means = [l2(mix).mean() for mix in mixes]
        at = int(np.argmin(means))
        pair = [0, other]
        free = np.zeros(len(models))
        free[pair] = np.linalg.solve(gram.mean(0)[np.ix_(pair, pair)], cross.mean(0)[pair])
        gain = l2(alone * best_strength) - l2(free)
        low, high = np.percentile(gain[draws].mean(axis=1), (2.5, 97.5))
        best[models[other]] = other, float(shares[at])
        print(
            f"| {models[other]} | {shares[at]:.2f} | {means[at]:.1f} | "
            f"{free[0]:.2f}, {free[other]:.2f} | {l2(free).mean():.1f} | "
            f"{gain.mean():.2f} ({low:.2f} to {high:.2f}) |",
            flush=True,
        )
    everything = np.linalg.solve(gram.mean(0), cross.mean(0))
    print("all, free weights:", np.round(everything, 2), f"{l2(everything).mean():.1f}")

    print("\n| painted | L2 | 1-class | 2-class | chroma | CIEDE2000 |\n|---|---|---|---|---|---|")
    _print("poster", (own := _measure(pictures, ab, lambda x: x[0])))
    for strength in (0.95, 0.9, 0.85, 0.8):
        _print(f"poster x {strength}", _measure(pictures, ab, lambda x, s=strength: x[0] * s))
    for name, (other, share) in best.items():
        for weight in sorted({share, 0.8, 0.5} - {1.0}):

            def mix(x: np.ndarray, w: float = weight, o: int = other) -> FloatArray:
                return w * x[0] + (1 - w) * x[o]

            figures = _measure(pictures, ab, mix)
            _print(f"{weight:.2f} poster + {1 - weight:.2f} {name}", figures)
            if weight == share:
                factor = own["chroma"] / figures["chroma"]

                def vivid(x: np.ndarray, m: Mix = mix, f: float = factor) -> FloatArray:
                    return m(x) * f

                _print(f"the same x {factor:.2f}", _measure(pictures, ab, vivid))


if __name__ == "__main__":
    main()

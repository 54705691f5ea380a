"""Steer a film: a palette, its own color, stills; the same in one run and in several."""

import itertools
import threading
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from conftest import SpyNetwork, encoded
from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import InputError, ModelError, UsageError
from recolor_cli.guidance.color_texts import levels_to_ab
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.types import ImageSize
from recolor_cli.video import frame_samples, segment_encoder
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.frame_samples import sample_frames
from recolor_cli.video.frames import FrameGeometry
from recolor_cli.video.own_color import OwnColor
from recolor_cli.video.pipeline import FramePipeline
from recolor_cli.video.references import Reference
from recolor_cli.video.span import Span
from video_clips import RATE, SIZE, decoded, make, recolored

FULL = VideoEncodingOptions(codec="ffv1", pixel_format="yuv444p")


class Undecided(SpyNetwork):
    """Holds each of two colors possible everywhere, and prefers one by the lightness."""

    def distribution(self, lightness):
        bins = self.manifest.bins
        count, _, height, width = lightness.shape
        small = [cv2.resize(one[0], (width // 4, height // 4)) for one in lightness]
        logits = np.full((count, len(bins), height // 4, width // 4), -5, np.float32)
        first, second = bins.index_of(np.array([(40, 30), (-40, -30)], np.float32))
        logits[:, first] = np.stack(small) / 25
        logits[:, second] = 4 - np.stack(small) / 25
        return Distribution(logits, bins, np.ones(count, np.float32))


def scenes(path, *pictures, length=6, codec="ffv1", pixel_format="yuv444p"):
    """Write a film of still pictures, uint8 (H, W, 3), each so many frames long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].shape[1::-1]
        stream.pix_fmt = pixel_format
        for picture in pictures:
            for _ in range(length):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                container.mux(stream.encode(frame.reformat(format=pixel_format)))
        container.mux(stream.encode(None))
    return path


def scene(seed, gray=True):
    """Draw a picture of large patches."""
    random = np.random.default_rng(seed)
    small = random.integers(30, 226, (6, 8, 3), dtype=np.uint8)
    rgb = cv2.resize(small, SIZE, interpolation=cv2.INTER_NEAREST)
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) if gray else rgb


def ab_of(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.array([rgb_to_lab_cv2(frame)[..., 1:] for frame in frames])


def steered(ab, strength=1.0):
    return RecolorOptions(
        steering=Steering(Palette.of_equal_shares(np.array(ab, np.float32)), strength)
    )


def test_a_palette_is_the_same_for_the_whole_film(tmp_path, manifest):
    one, two = scene(1), scene(2) // 3
    options = steered([(40, 30), (-40, -30)])
    network = Undecided(manifest)
    source = scenes(tmp_path / "a.mkv", one, two, one)
    recolored(source, tmp_path / "b.mkv", network, recolor=options, encoding=FULL)
    colors = ab_of(tmp_path / "b.mkv")
    # The dark scene alone would have to take both colors; in the film it takes the dark one's.
    assert np.linalg.norm(colors[3] - colors[15], axis=-1).max() < 1
    dark = colors[9]
    assert (dark[..., 0] < 0).mean() > 0.9
    alone = scenes(tmp_path / "c.mkv", two)
    recolored(alone, tmp_path / "d.mkv", network, recolor=options, encoding=FULL)
    assert 0.25 < (ab_of(tmp_path / "d.mkv")[3][..., 0] < 0).mean() < 0.75


def test_a_palette_pulls_a_film_toward_its_colors(tmp_path, manifest):
    source = scenes(tmp_path / "a.mkv", scene(1), scene(2))
    means = []
    for strength in (0.0, 1.0):
        recolored(source, tmp_path / f"{strength}.mkv", Undecided(manifest),
                  recolor=steered([(40, 30)], strength), encoding=FULL)  # fmt: skip
        means.append(ab_of(tmp_path / f"{strength}.mkv")[..., 0].mean())
    assert means[1] > means[0] + 10


def test_a_film_takes_a_palette_or_a_variant():
    steering = Steering(Palette.of_colors(["navy"]), pick=2)
    with pytest.raises(UsageError, match="one palette each"):
        FilmOptions(RecolorOptions(steering=steering))


def test_a_film_takes_the_variant_that_is_picked(tmp_path, manifest):
    source = scenes(tmp_path / "a.mkv", scene(1), scene(2), scene(1))
    colors = []
    for pick in (1, 2, 3):
        options = RecolorOptions(steering=Steering(pick=pick))
        target = tmp_path / f"{pick}.mkv"
        recolored(source, target, Undecided(manifest), recolor=options, encoding=FULL)
        colors.append(ab_of(target))
        assert np.linalg.norm(colors[-1][3] - colors[-1][15], axis=-1).max() < 1
    for one, other in itertools.combinations(colors, 2):
        assert np.linalg.norm(one - other, axis=-1).mean() > 5


def test_a_palette_needs_a_distribution(tmp_path, manifest):
    class OneColor:
        device, predict = "cpu", None

    network = OneColor()
    network.manifest = manifest
    source = scenes(tmp_path / "a.mkv", scene(1))
    with pytest.raises(ModelError, match="gives no choice of colors"):
        recolored(source, tmp_path / "b.mkv", network, recolor=steered([(40, 30)]))


def test_frames_are_sampled_from_all_parts(tmp_path, monkeypatch):
    film = FilmReader(str(make(tmp_path / "a.mp4", 96, options={"g": "4"})))
    whole = sample_frames(film, Span(), 8, lambda frame: frame.time)
    assert len(whole) == 12
    assert whole[0] == 0
    assert whole[-1] > 3.5
    monkeypatch.setattr(frame_samples, "_SHORT", 10)
    sought = sample_frames(film, Span(1.0, 3.0), 8, lambda frame: frame.time)
    assert len(sought) == 8
    assert min(sought) >= 0.8
    assert 2.5 < max(sought) < 3
    film.close()


def test_own_color_stays_in_part_or_as_a_whole(tmp_path, network):
    source = scenes(tmp_path / "a.mkv", scene(1, gray=False))
    before = decoded(source)[2][1]
    found = []
    for keep in (1.0, 0.5, 0.0):
        options = RecolorOptions(keep_original=keep)
        recolored(source, tmp_path / "b.mkv", network, recolor=options, encoding=FULL)
        found.append([plane.astype(int) for plane in decoded(tmp_path / "b.mkv")[2][1]])
    whole, half, none = found
    assert all((a == b).all() for a, b in zip(before, whole, strict=True))
    assert (np.abs(whole[1] - none[1])).max() > 10
    for index in (1, 2):
        assert np.abs(half[index] * 2 - whole[index] - none[index]).max() <= 1
    assert (half[0] == before[0]).all()


def test_a_mask_keeps_places(tmp_path, network):
    source = scenes(tmp_path / "a.mkv", scene(1, gray=False))
    mask = np.zeros((SIZE[1] * 2, SIZE[0] * 2), np.uint8)
    mask[:, : SIZE[0]] = 255  # the left half
    recolored(source, tmp_path / "b.mkv", network, recolor=RecolorOptions(mask=mask), encoding=FULL)
    before, after = decoded(source)[0][1], decoded(tmp_path / "b.mkv")[0][1]
    right = slice(SIZE[0] // 2, None)
    assert all((a[:, right] == b[:, right]).all() for a, b in zip(before, after, strict=True))
    assert (before[1][:, : right.start] != after[1][:, : right.start]).mean() > 0.5
    with pytest.raises(InputError, match="the mask, 10x10, has another shape"):
        recolored(source, tmp_path / "c.mkv", network,
                  recolor=RecolorOptions(mask=np.zeros((10, 10), np.uint8)))  # fmt: skip


def test_a_mask_lies_over_the_film_as_it_is_displayed(manifest):
    geometry = FrameGeometry.fit(ImageSize(32, 48), 1.0, 90, manifest)
    mask = np.zeros((48, 32), np.uint8)
    mask[:24] = 255  # the upper half
    own = OwnColor(RecolorOptions(mask=mask), geometry)
    stored = own.shares(av.VideoFrame(48, 32, "yuv420p"), ImageSize(16, 24), None)
    upright = geometry.rotate_upright(stored)
    assert (upright[:12] == 1).all()
    assert (upright[12:] == 0).all()


def test_gray_shots_are_recolored_and_colored_ones_stay(tmp_path, network):
    source = scenes(tmp_path / "a.mkv", scene(1), scene(2, gray=False), scene(3))
    options = RecolorOptions(only_gray=True)
    recolored(source, tmp_path / "b.mkv", network, recolor=options, encoding=FULL)
    before, after = decoded(source), decoded(tmp_path / "b.mkv")
    changed = [
        np.abs(b[1][1].astype(int) - a[1][1]).mean() for a, b in zip(before, after, strict=True)
    ]
    assert min(changed[:6] + changed[12:]) > 3
    assert max(changed[6:12]) == 0


GREEN = (40, 170, 60)


def still(picture, time=0.1):
    """Paint a picture in one color of its lightness."""
    lab = rgb_to_lab_cv2(picture)
    lab[..., 1:] = levels_to_ab([GREEN])[0]
    return Reference(time, "still.png", np.uint8(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255))


def greenness(path):
    """Return for each frame how far its mean color went from the network's to the still's."""
    own = np.array((24.0, 8.0))
    way = levels_to_ab([GREEN])[0] - own
    means = ab_of(path).mean(axis=(1, 2))
    return (means - own) @ way / (way @ way)


def test_a_shot_and_those_like_it_take_the_colors_of_a_still(tmp_path, network):
    one, two = scene(1), scene(2) // 3
    like = np.roll(one, 4, axis=1)
    source = scenes(tmp_path / "a.mkv", one, two, like)
    reference = still(one)
    recolored(source, tmp_path / "b.mkv", network, references=(reference,), encoding=FULL)
    green = greenness(tmp_path / "b.mkv")
    assert min(green[:6]) > 0.6
    assert min(green[12:]) > 0.5
    assert max(green[6:12]) < 0.25
    assert np.ptp(green[1:6]) < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 0.4}, "still.png does not show its frame at 0.4 s"),
        ({"time": 99.0}, "has no frame at the time of still.png, 99 s"),
        ({"rgb": np.zeros((20, 20, 3), np.uint8)}, "still.png, 20x20, has another shape"),
    ],
)
def test_a_still_must_show_the_film(tmp_path, network, change, message):
    source = scenes(tmp_path / "a.mkv", scene(1), scene(2))
    reference = replace(still(scene(1)), **change)
    with pytest.raises(InputError, match=message):
        recolored(source, tmp_path / "b.mkv", network, references=(reference,))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize("kind", ["palette", "only_gray", "references"])
def test_in_several_runs_a_film_is_the_same(tmp_path, manifest, monkeypatch, kind):
    monkeypatch.setattr(segment_encoder, "SEGMENT", 4)
    slightly = scene(1) // 2 + scene(1, gray=False) // 2
    source = scenes(tmp_path / "a.mkv", slightly, scene(2), np.roll(scene(1), 3, axis=1))
    options = {
        "palette": {"recolor": steered([(40, 30), (-40, -30)])},
        "only_gray": {"recolor": RecolorOptions(only_gray=True)},
        "references": {"references": (still(scene(2), 0.3),)},
    }[kind]
    network = Undecided(manifest, (24.0, 8.0))
    recolored(source, tmp_path / "whole.mkv", network, encoding=FULL, **options)
    stop, told = threading.Event(), []

    def advance(count):
        told.append(count)
        if len(told) == 10:  # in the second shot
            stop.set()

    parts = tmp_path / "parts.mkv"
    assert recolored(source, parts, network, stop, advance, encoding=FULL, **options).interrupted
    assert recolored(source, parts, network, encoding=FULL, **options).resumed
    for (_, one), (_, two) in zip(decoded(tmp_path / "whole.mkv"), decoded(parts), strict=True):
        assert all((a == b).all() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    "changed",
    [
        {"recolor": RecolorOptions(mask=np.full((48, 64), 255, np.uint8))},
        {"recolor": steered([(40, 31)])},
        {"recolor": steered([(40, 30)], 0.5)},
        {"recolor": steered([(40, 30)]), "references": (still(scene(1)),)},
    ],
)
def test_a_film_that_is_steered_otherwise_is_begun_anew(tmp_path, manifest, changed):
    source = scenes(tmp_path / "a.mkv", scene(1), scene(2))
    stop, network = threading.Event(), Undecided(manifest)
    first = {"recolor": steered([(40, 30)])}
    assert recolored(source, tmp_path / "b.mkv", network, stop, lambda count: stop.set(), **first)
    assert recolored(source, tmp_path / "b.mkv", network, **changed).resumed == 0


def test_the_command_steers_a_film(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    scenes(tmp_path / "a.mkv", scene(1))
    (tmp_path / "still.png").write_bytes(encoded(still(scene(1)).rgb, "PNG"))
    recolor("a.mkv", "--reference", "0:00.1=still.png", "--palette", "#205a3c", "--device", "cpu",
            "--keep-original", "0.1", "--only-gray", "--mask", "still.png")  # fmt: skip
    assert len(decoded("a-recolored.mkv")) == 6
    _, err = recolor("a.mkv", "--reference", "still.png", exit_code=2)
    assert "is not TIME=PICTURE" in err
    _, err = recolor("a.mkv", "--reference", "1=none.png", exit_code=2)
    assert "--reference none.png: no such file" in err
    _, err = recolor(
        "a.mkv", "--palette", "#205a3c", "-m", "regression", "--overwrite", exit_code=4
    )
    assert "gives no choice of colors" in err


def test_a_palette_is_smoothed_over_twice_as_many_frames(tmp_path, network):
    film = FilmReader(str(make(tmp_path / "a.mp4", 2)))
    steering = Steering(Palette(np.zeros((1, 2), np.float32), np.ones(1, np.float32)))
    kept = []
    for recolor in (RecolorOptions(), RecolorOptions(steering=steering)):
        options = FilmOptions(recolor, temporal_smoothing=0.2)
        smoother = FramePipeline(film, network, options).smoother
        for _ in range(2):
            smoother.smooth(np.zeros((64, 64), np.float32), np.zeros((16, 16, 2), np.float32))
        kept.append(float(smoother.state.weight.mean() - 1))
    film.close()
    assert kept == pytest.approx([np.exp(-0.2), np.exp(-0.1)])

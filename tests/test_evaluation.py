import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from conftest import SpyNetwork, draw, encoded
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import InputError, NoInputsError
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.example_sheet import draw_example_sheet
from recolor_cli.evaluation.pictures import Picture, load_pictures
from recolor_cli.evaluation.table import Table, age_picture, evaluate
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.decode import decode
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import ImageSize

PICTURES = [Picture(f"{i}.png", encoded(draw(50 + i, 40, seed=i), "PNG")) for i in range(6)]
OPTIONS = RecolorOptions()


# Reading pictures.


def test_a_folder_is_no_picture_whatever_its_name(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    with pytest.raises(NoInputsError, match="no pictures in"):
        load_pictures([str(tmp_path)])
    (tmp_path / "x.jpg" / "y.png").write_bytes(PICTURES[0].data)
    (found,) = load_pictures([str(tmp_path)])
    assert Path(found.name) == tmp_path / "x.jpg" / "y.png"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg: no such file") as caught:
        load_pictures([str(tmp_path)])
    assert caught.value.hint


def tar_of(pictures):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for picture in pictures:
            member = tarfile.TarInfo(picture.name)
            member.size = len(picture.data)
            tar.addfile(member, io.BytesIO(picture.data))
    return whole.getvalue()


def test_a_broken_tar_file_is_named_without_the_words_of_a_library(tmp_path):
    data = gzip.compress(tar_of(PICTURES))
    (tmp_path / "whole.tar").write_bytes(data)
    assert [p.data for p in load_pictures([f"{tmp_path}/*.tar"])] == [p.data for p in PICTURES]
    (tmp_path / "[1].tar").write_bytes(data)
    assert len(load_pictures([f"{tmp_path}/[1].tar"])) == len(PICTURES)  # a name, and no glob
    (tmp_path / "[1].tar").unlink()
    for broken in (b"once upon a time", data[: len(data) // 2]):
        (tmp_path / "whole.tar").write_bytes(broken)
        with pytest.raises(InputError, match=r"whole\.tar: cannot be read") as caught:
            load_pictures([f"{tmp_path}/*.tar"])
        assert "Error" not in caught.value.message


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_tar_file_with_a_damaged_header_is_no_shorter_one(tmp_path, compress):
    whole, path = tar_of(PICTURES), tmp_path / "pictures.tar"
    path.write_bytes(compress(whole))
    assert len(load_pictures([str(path)])) == len(PICTURES)
    damaged = bytearray(whole)
    third = whole.index(PICTURES[2].name.encode())  # its header begins with the name
    damaged[third + 148] ^= 7  # of the header's checksum
    path.write_bytes(compress(bytes(damaged)))
    with pytest.raises(InputError, match=r"pictures\.tar: cannot be read: it is no tar file, or a"):
        load_pictures([str(path)])


def test_a_picture_that_several_sources_hold_is_there_once(tmp_path):
    folder, tar_file = tmp_path / "all", tmp_path / "x.tar"
    (folder / "posters").mkdir(parents=True)
    for name in ("a.png", "posters/b.png"):
        (folder / name).write_bytes(PICTURES[0].data)
    with tarfile.open(tar_file, "w") as tar:
        for _ in range(2):  # two pictures, though of one name
            tar.add(folder / "a.png", "a.png")
    (tmp_path / "link").symlink_to(folder)
    sources = [folder, folder, folder / "posters", tmp_path / "link", tar_file, tar_file]
    found = load_pictures(list(map(str, sources)))
    names = [str(folder / "a.png"), str(folder / "posters/b.png"), *[f"{tar_file}:a.png"] * 2]
    assert [picture.name for picture in found] == names


def test_pictures_of_a_folder_are_in_the_order_of_their_paths(tmp_path):
    names = ["a/z.png", "a-b/c.png", "a.png", "B.png", "a/b/c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PICTURES[0].data)
    for hidden in (".trash", "@eaDir"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "x.png").write_bytes(PICTURES[0].data)
    found = load_pictures([str(tmp_path)])
    assert [Path(p.name) for p in found] == sorted(tmp_path / name for name in names)
    assert [p.within for p in found] == ["B.png", "a/b/c.png", "a/z.png", "a-b/c.png", "a.png"]


def test_a_subfolder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(PICTURES[0].data)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="closed: cannot be read: Permission denied"):
        load_pictures([str(tmp_path)])


def test_measuring_needs_no_package_of_training(tmp_path):
    for picture in PICTURES[:2]:
        (tmp_path / picture.name).write_bytes(picture.data)
    # None in sys.modules makes an import fail as if the package were not installed.
    script = (
        "import sys\n"
        "absent = ('torch', 'onnx', 'safetensors', 'keras', 'efficientnet_lite_pytorch')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "from recolor_cli.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "evaluate", tmp_path, "--json", "--device", "cpu"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["pictures"] for line in done.stdout.splitlines()] == [2, 2, 2]


# Aging.


def test_aging_keeps_shape_and_range_and_depends_on_the_seed_alone():
    lightness = rgb_to_lightness(draw())
    seen = [age(lightness, np.random.default_rng(seed)) for seed in range(60)]
    for worn in seen:
        assert worn.shape == lightness.shape
        assert worn.dtype == np.float32
        assert 0 <= worn.min() <= worn.max() <= 100
    np.testing.assert_array_equal(seen[3], age(lightness, np.random.default_rng(3)))
    changed = [np.abs(worn - lightness).mean() for worn in seen]
    assert np.median(changed) > 3  # most are visibly worn
    assert min(changed) < max(changed) / 10  # and not all alike
    np.testing.assert_array_equal(lightness, rgb_to_lightness(draw()))  # the input is left alone


def test_a_worn_picture_is_still_the_same_picture():
    lightness = rgb_to_lightness(draw(120, 90, seed=5))
    like = [
        np.corrcoef(lightness.ravel(), age(lightness, np.random.default_rng(s)).ravel())[0, 1]
        for s in range(40)
    ]
    assert np.median(like) > 0.9
    assert min(like) > 0.4


def test_tiny_pictures_age_too():
    for seed in range(40):
        assert age(np.full((3, 5), 50, np.float32), np.random.default_rng(seed)).shape == (3, 5)


# The table.


class Oracle(SpyNetwork):
    """A network that knows the pictures in their order, and answers with their own ab."""

    def predict(self, lightness, temperature):
        rgb = decode(PICTURES[len(self.seen)].data).rgb
        self.seen.append((lightness, temperature))
        box = Letterbox.fit(ImageSize(*rgb.shape[:2]), 64)
        small = cv2.resize(rgb, (box.inner.width, box.inner.height))
        planes = np.moveaxis(rgb_to_lab_cv2(small)[..., 1:], -1, 0)
        return np.stack([box.apply(np.ascontiguousarray(p), 0) for p in planes])[None]


def test_the_baselines_come_first_and_who_knows_the_truth_wins(manifest):
    entries = evaluate(PICTURES, {"oracle": Oracle(manifest)}, manifest, OPTIONS)
    assert [entry.name for entry in entries] == ["gray", "prior mean", "oracle"]
    gray, _, oracle = entries
    assert gray.values()["l2_over_gray"] == 1
    assert gray.figures.pictures == len(gray.differences) == 6
    assert oracle.values()["l2_over_gray"] < 0.1
    for better in ("auc", "balanced_auc", "one_class", "two_class", "psnr", "class_ratio"):
        assert getattr(oracle.figures, better) > getattr(gray.figures, better), better
    assert oracle.figures.ciede2000 < gray.figures.ciede2000


def test_a_models_own_strength_does_not_touch_the_baselines(manifest):
    network = {"one": SpyNetwork(manifest, (9.0, 5.0))}
    plain = evaluate(PICTURES, network, manifest, OPTIONS)[1]
    stronger = evaluate(PICTURES, network, replace(manifest, strength=2.0), OPTIONS)[1]
    assert stronger.figures == plain.figures


def test_the_same_again_gives_the_same(manifest):
    def run(aged):
        entries = evaluate(
            PICTURES, {"one": SpyNetwork(manifest, (9.0, 5.0))}, manifest, OPTIONS, aged
        )
        return [{**e.values(), "seconds": 0} for e in entries]

    assert run(False) == run(False)
    assert run(True) == run(True)


def test_aged_shows_the_network_worn_pictures_and_keeps_the_clean_lightness(manifest):
    network = SpyNetwork(manifest, (9.0, 5.0))
    evaluate(PICTURES, {"one": network}, manifest, OPTIONS)
    clean = evaluate(PICTURES, {"one": network}, manifest, OPTIONS)[2]
    aged = evaluate(PICTURES, {"one": network}, manifest, OPTIONS, aged=True)[2]
    shown = [tensor for tensor, _ in network.seen]
    assert not np.array_equal(shown[6], shown[12])
    assert aged.differences == clean.differences  # this network answers the same to all


def test_the_table_as_text_has_every_line_and_its_meaning(manifest):
    entries = evaluate(PICTURES, {"one": SpyNetwork(manifest, (10.0, 5.0))}, manifest, OPTIONS)
    table = Table(entries, "Six drawn pictures.")
    markdown = table.to_markdown()
    assert "| L2 / gray |" in markdown
    assert "- **CIEDE2000**:" in markdown
    assert "Six drawn pictures." in markdown
    document = json.loads(table.to_json())
    assert [entry["model"] for entry in document["entries"]] == ["gray", "prior mean", "one"]
    assert set(document["entries"][0]) - set(document["definitions"]) == {
        "model", "pictures", "true_classes", "true_colorfulness",
    }  # fmt: skip


def test_the_sheet_has_best_median_and_worst(manifest):
    network = SpyNetwork(manifest, (10.0, 5.0))
    differences = [5.0, 1.0, 3.0, 2.0, 4.0, 6.0]
    png = draw_example_sheet(PICTURES, differences, network, OPTIONS, rows=50)
    with Image.open(io.BytesIO(png)) as sheet:  # more than there are
        assert sheet.size == (3 * 768 + 2 * 24, 14 + 6 * (256 + 14 + 24))
    png = draw_example_sheet(PICTURES, differences, network, OPTIONS, rows=2)
    with Image.open(io.BytesIO(png)) as sheet:
        pixels = np.asarray(sheet)
    # Column by column the first and the second row: the best, those around the middle, the worst.
    for column, (first, second) in enumerate([(1, 3), (2, 4), (5, 0)]):
        for row, number in enumerate((first, second)):
            truth = decode(PICTURES[number].data).rgb
            result = Recolorizer(network).recolor(truth)
            for place, expected in enumerate((rgb_to_gray(truth), result, truth)):
                top, left = 28 + row * (256 + 14 + 24), column * (768 + 24) + place * 256
                cell = pixels[top : top + truth.shape[0], left : left + truth.shape[1]]
                np.testing.assert_array_equal(cell, expected)


def test_wear_does_not_depend_on_the_size_of_a_scan():
    small = draw(256, 200, seed=3)
    large = cv2.resize(small, (1600, 2048), interpolation=cv2.INTER_CUBIC)
    for number in range(5):
        worn, worn_large = age_picture(small, number), age_picture(large, number)
        assert worn.shape == worn_large.shape == small.shape
        assert np.abs(worn.astype(int) - worn_large).mean() < 3


def test_an_aged_picture_is_gray():
    assert np.ptp(age_picture(draw(), 3).astype(int), axis=-1).max() <= 1

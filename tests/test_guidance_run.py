"""Variants, palettes, hints and confidence by the command line."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import SpyNetwork, draw, encoded, names, pixels
from recolor_cli.batch import picture
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Report, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.picture import PictureWork
from recolor_cli.batch.skip_rule import MissingOutputs, missing_outputs
from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.errors import OutputError
from recolor_cli.guidance.color_texts import levels_to_ab
from recolor_cli.guidance.contact_sheet import draw_contact_sheet
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.memory import MemoryBudget


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with two small pictures."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        rgb = draw(72, 54, seed=number)
        (folder / f"scan-{number}.png").write_bytes(encoded(rgb, "PNG"))
    return folder


def test_variants_lie_beside_the_result_with_their_sheet(recolor, scans):
    picture = scans / "scan-0.png"
    out, _ = recolor(picture, "--variants", 3, "--confidence", "--json", "--device", "cpu")
    told = json.loads(out)
    stem = str(scans / "scan-0-recolored")
    labels = ("2", "3", "variants", "confidence")
    assert told["companions"] == [f"{stem}-{label}.png" for label in labels]
    assert 0 < told["entropy"] < np.log(394)
    assert len(names(scans)) == 2 + 1 + len(labels)
    shown = [pixels(f"{stem}{number}.png") for number in ("", "-2", "-3")]
    for one, other in combinations(shown, 2):
        assert np.abs(rgb_to_lab_cv2(one) - rgb_to_lab_cv2(other))[..., 1:].mean() > 2
        assert np.abs(rgb_to_lightness(one) - rgb_to_lightness(other)).mean() < 0.3
    assert pixels(f"{stem}-variants.png").shape[1] > 2 * 54
    assert pixels(f"{stem}-confidence.png").shape == (72 + 28, 54, 3)


def test_a_variant_can_be_picked_as_the_result(recolor, scans):
    picture = scans / "scan-0.png"
    recolor(picture, "--variants", 3, "--device", "cpu")
    third = pixels(scans / "scan-0-recolored-3.png")
    recolor(picture, "-o", "picked.png", "--pick", 3, "--device", "cpu")
    np.testing.assert_array_equal(pixels("picked.png"), third)
    recolor(picture, "-o", "first.png", "--pick", 3, "--variants", 2, "--device", "cpu")
    np.testing.assert_array_equal(pixels("first.png"), third)
    assert {"first-1.png", "first-2.png", "first-variants.png"} <= set(names(scans.parent))
    out, _ = recolor(picture, "-o", "one.png", "--pick", 2, "--variants", 3, "--device", "cpu")
    assert out.decode().split() == ["one.png", "one-1.png", "one-3.png", "one-variants.png"]


def test_palettes_are_listed_and_taken_by_name(recolor, scans):
    out, _ = recolor("palettes")
    assert b"1930s" in out
    assert b"#" in out
    out, _ = recolor("palettes", "--json")
    listed = [json.loads(line) for line in out.splitlines()]
    assert {"modern", "noir", "technicolor"} <= {entry["name"] for entry in listed}
    picture = scans / "scan-0.png"
    shown = []
    for name in ("1930s", "noir"):
        recolor(picture, "-o", f"{name}.png", "--palette", name, "--device", "cpu")
        shown.append(np.linalg.norm(rgb_to_lab_cv2(pixels(f"{name}.png"))[..., 1:], axis=-1).mean())
    assert shown[0] > 1.5 * shown[1]
    _, err = recolor(picture, "--palette", "modrn", "--device", "cpu", exit_code=2)
    assert "recolor palettes" in err


def test_the_same_command_twice_does_nothing_twice(recolor, scans):
    flags = ("--variants", "2", "--confidence", "--device", "cpu")
    _, err = recolor("in", *flags)
    assert "2 written" in err
    before = names(scans)
    assert len(before) == 2 * 5
    for inputs in (["in"], [f"in/{name}" for name in before]):
        for again in (flags, ()):
            _, err = recolor(*inputs, *again)
            assert "2 skipped" in err
            assert names(scans) == before


def test_what_is_missing_is_made_and_what_is_there_stays(recolor, scans):
    picture = scans / "scan-1.png"
    recolor(picture, "--device", "cpu")
    result = scans / "scan-1-recolored.png"
    mine = encoded(draw(72, 54, seed=9), "PNG")
    result.write_bytes(mine)
    out, _ = recolor(picture, "--variants", 2, "--compare", "--json", "--device", "cpu")
    told = json.loads(out)
    assert told["status"] == "skipped"
    assert len(told["companions"]) == 3
    assert result.read_bytes() == mine
    np.testing.assert_array_equal(
        pixels(scans / "scan-1-recolored-compare.png")[:, 56:], pixels(result)
    )


def test_what_is_made_anew_has_new_variants(recolor, scans):
    run = (scans / "scan-1.png", "--variants", 2, "--device", "cpu")
    stale = scans / "scan-1-recolored-2.png"
    recolor(*run, "--seed", 1)
    before = stale.read_bytes()
    (scans / "scan-1-recolored.png").unlink()
    recolor(*run, "--seed", 2)
    assert stale.read_bytes() != before


@pytest.mark.parametrize("spoil", [Path.unlink, Path.touch, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("spoilt", ["2", "variants", "confidence"])
def test_sidecar_files_of_the_network_are_one_set(scans, spoil, spoilt):
    options = OutputOptions(variants=3, confidence=True, compare=True)
    job = Job("scan-0.png", str(scans / "new.png"))
    for path in (job.destination, *options.sidecar_paths(job.destination)):
        Path(path).write_bytes(b"x")
    spoil(scans / f"new-{spoilt}.png")
    expected = () if spoil is Path.touch else tuple(options.network_sidecars(job.destination))
    assert missing_outputs(job, options) == MissingOutputs(False, expected)


def test_more_variants_make_all_anew_unless_the_result_is_of_other_options(recolor, scans):
    run = (scans / "scan-1.png", "--device", "cpu", "--variants")
    stem = f"{scans}/scan-1-recolored"
    recolor(*run, 2)
    before = {path: path.read_bytes() for path in scans.iterdir()}
    for other in (("--palette", "#c8102e"), ("--seed", 7)):
        _, err = recolor(*run, 3, *other, exit_code=1)
        assert f"{other[0]} {other[1]}" in err.replace("--seed 0 instead of", "--seed")
        assert {path: path.read_bytes() for path in scans.iterdir()} == before
    out, err = recolor(*run, 3)
    assert f"{stem}.png exists, and was not redone" in err
    labels = ("2", "3", "variants")
    assert out.decode().split() == [f"{stem}-{label}.png" for label in labels]
    after = {path: path.read_bytes() for path in scans.iterdir()}
    changed = {str(path) for path in after if before.get(path) != after[path]}
    same = f"{stem}-2.png"  # made anew of the same options
    assert changed == set(out.decode().split()) - {same}
    Path(same).unlink()
    _, err = recolor(*run, 2)
    assert f"{stem}-3.png is of an earlier run" in err
    _, err = recolor(*run, 2, "--overwrite", "--compare")
    assert err.count("warning") == 1  # of the same
    _, err = recolor(*run[:3], "--overwrite")
    assert err.count("is of an earlier run") == 4


def test_no_page_is_painted_for_a_sidecar_file(manifest, scans, monkeypatch):
    recolorizer = Recolorizer(SpyNetwork(manifest))
    options = OutputOptions(confidence=True)
    job = Job(str(scans / "scan-0.png"), str(scans / "new.png"))
    (map_path,) = options.network_sidecars(job.destination)
    monkeypatch.setattr(recolorizer, "paint", None)
    work = PictureWork(recolorizer, options, MemoryBudget(1 << 30))
    outcome = work(job, MissingOutputs(False, (map_path,)))
    assert outcome.written == (map_path,)


def test_a_sidecar_file_that_cannot_be_written_takes_its_set_along(manifest, scans, monkeypatch):
    original, options = picture.write, OutputOptions(variants=4)

    def fail(path, *args):
        if Path(path).stem.endswith("-3"):
            raise OutputError("no room")
        original(path, *args)

    monkeypatch.setattr(picture, "write", fail)
    recolorizer = Recolorizer(SpyNetwork(manifest))
    job = Job(str(scans / "scan-0.png"), str(scans / "new.png"))
    work = PictureWork(recolorizer, options, MemoryBudget(1 << 30))
    outcome = work(job, missing_outputs(job, options))
    assert outcome.status is Status.FAILED
    assert outcome.written == (job.destination,)
    assert names(scans) == ["new.png", "scan-0.png", "scan-1.png"]


def test_written_files_are_named_though_another_one_failed(recolor, scans):
    """A comparison of 80,000 pixels is too wide for JPEG."""
    (scans / "wide.jpg").write_bytes(encoded(draw(8, 40_000), "JPEG"))
    out, err = recolor("in/wide.jpg", "--compare", "--device", "cpu", exit_code=1)
    assert out == b"in/wide-recolored.jpg\n"
    assert "a sidecar file of it is not" in err


def test_numbered_pictures_are_no_variants(recolor, scans):
    """A variant that would overwrite another picture's result is refused, and nothing is lost."""
    (scans / "scan.png").write_bytes(encoded(draw(72, 54, seed=5), "PNG"))
    (scans / "scan-0.png").rename(scans / "scan-2.png")
    _, err = recolor("in", "-o", "out", "--variants", 2, "--device", "cpu", exit_code=1)
    assert "2 written, 1 failed" in err
    assert "scan.png: out/scan-2.png, a sidecar file of its result, is an input or a result" in err
    _, err = recolor("in", "--variants", 2, "--device", "cpu")
    assert "3 written" in err


def test_the_seed_decides_which_variants(recolor, scans):
    found = []
    for seed in (0, 7):
        recolor(
            scans / "scan-0.png", "--variants", 2, "--seed", seed, "--overwrite", "--device", "cpu"
        )
        found.append((scans / "scan-0-recolored-2.png").read_bytes())
    assert found[0] != found[1]


def test_all_pages_have_variants(recolor, scans):
    pages = [Image.fromarray(draw(40, 30, seed=seed)) for seed in (1, 2)]
    pages[0].save("book.tif", save_all=True, append_images=pages[1:])
    recolor("book.tif", "--variants", 2, "--confidence", "--device", "cpu")
    for label, count in (("2", 2), ("variants", 1), ("confidence", 1)):
        with Image.open(f"book-recolored-{label}.tif") as book:
            assert book.n_frames == count


def test_the_least_certain_pictures_come_first(recolor, scans):
    out, err = recolor("in", "--confidence", "--json", "--device", "cpu")
    told = [json.loads(line) for line in out.splitlines()]
    expected = sorted(told, key=lambda line: -line["entropy"])
    lines = err.split("least certain first, nats:\n")[1].splitlines()
    assert [line.split("  ")[-1] for line in lines[:2]] == [line["source"] for line in expected]
    assert "least certain" not in recolor("in", "--overwrite", "--device", "cpu")[1]


def test_a_report_keeps_ten_of_many():
    report = Report()
    for number in range(40):
        job = Job(str(number))
        report.add(Outcome(job, Status.WRITTEN, entropy=float(number * 7 % 40)))
        report.add(Outcome(job, Status.SKIPPED))
    assert [nats for nats, _ in report.least_certain] == list(range(39, 29, -1))


def test_a_palette_and_a_hint_change_the_color_and_not_the_lightness(recolor, scans):
    picture = scans / "scan-1.png"
    recolor(picture, "-o", "plain.png", "--device", "cpu")
    recolor(
        picture, "-o", "p.png", "--palette", "#c8102e", "--palette-strength", 1, "--device", "cpu"
    )
    recolor(picture, "-o", "h.png", "--hint", "20,30,#3060a0", "--device", "cpu")
    plain, palette, hint = (pixels(name) for name in ("plain.png", "p.png", "h.png"))
    assert rgb_to_lab_cv2(palette)[..., 1].mean() > rgb_to_lab_cv2(plain)[..., 1].mean() + 10
    blue = levels_to_ab([(48, 96, 160)])[0]
    near = [np.linalg.norm(rgb_to_lab_cv2(rgb)[30, 20, 1:] - blue) for rgb in (plain, hint)]
    assert near[1] < 0.5 * near[0]
    for rgb in (palette, hint):
        assert np.abs(rgb_to_lightness(rgb) - rgb_to_lightness(plain)).mean() < 0.5


def test_places_are_those_of_the_picture_as_it_is_displayed(recolor, tmp_path):
    """A hint at the right edge of a picture that lies on its side in the file."""
    rgb = np.full((60, 90, 3), 119, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: displayed, it is 60 wide and 90 high
    picture = tmp_path / "side.png"
    picture.write_bytes(encoded(rgb, "PNG", exif=exif))
    flags = ("--strength", 0, "--device", "cpu")
    recolor(picture, "-o", tmp_path / "out.png", "--hint", "50,80,#806040", *flags)
    result = pixels(tmp_path / "out.png")
    assert result.shape == (90, 60, 3)
    sought = levels_to_ab([(128, 96, 64)])[0]
    np.testing.assert_allclose(rgb_to_lab_cv2(result)[80, 50, 1:], sought, atol=1)
    recolor(picture, "-o", tmp_path / "no.png", "--hint", "80,50,#806040", *flags, exit_code=1)


@pytest.mark.processes
def test_steering_works_in_the_process_of_a_batch(recolor, scans):
    (scans / "h.json").write_text('[{"x": 20, "y": 30, "color": "#3060a0"}]')
    _, err = recolor("in", "--hint", "in/h.json", "--palette", "in/scan-0.png", "--device", "cpu")
    assert "2 written" in err
    (scans / "wide.png").write_bytes(encoded(draw(25, 60), "PNG"))
    out, err = recolor(
        "in", "--hint", "in/h.json", "--overwrite", "--json", "--device", "cpu", exit_code=1
    )
    failed = [line for line in map(json.loads, out.splitlines()) if line["status"] == "failed"]
    assert [line["source"] for line in failed] == ["in/wide.png"]
    assert "outside the picture, 60x25" in failed[0]["error"]


@pytest.mark.parametrize(
    ("inputs", "flags"),
    [
        ("in", ["--variants", "3"]),
        ("in", ["--palette", "#123"]),
        ("in/scan-0.png", ["--hint", "1,2,#123"]),
        ("in/scan-0.png", ["--confidence"]),
    ],
)
def test_a_model_with_one_color_is_told_before_anything_is_done(recolor, scans, inputs, flags):
    before = names(scans)
    _, err = recolor(inputs, *flags, "-m", "fruitnet", "--device", "cpu", exit_code=4)
    assert err.count("gives no choice of colors") == 1
    assert names(scans) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seed", "1"], "--variants or --pick"),
        (["--palette-strength", "1"], "goes with --palette"),
        (["--variants", "2", "--in-place", ".orig"], "cannot be combined"),
        (["--variants", "2", "-o", "-"], "next to a file"),
        (["--confidence", "-o", "-"], "next to a file"),
        (["--palette", "missing.gpl"], "cannot read the palette missing.gpl"),
        (["--hint", "1,2"], "cannot read the hints 1,2"),
        (["--hint", "1,2,#12"], "not a color"),
        (["--variants", "1"], "--variants"),
        (["--variants", "17"], "--variants"),
        (["--palette", "#123", "--palette-strength", "nan"], "nan"),
    ],
)
def test_options_that_make_no_sense(recolor, scans, flags, said):
    _, err = recolor("in/scan-0.png", *flags, exit_code=2)
    assert said in err


def test_a_sheet_has_each_picture_with_its_label():
    pictures = [np.full((90, 60, 3), 40 * n, np.uint8) for n in range(1, 6)]
    sheet = draw_contact_sheet(pictures, [str(n) for n in range(1, 6)])
    height, width = sheet.shape[:2]
    for n in range(1, 6):
        assert (sheet == 40 * n).all(axis=-1).sum() >= 90 * 60
    assert 0.5 < width / height < 3
    assert draw_contact_sheet(pictures[:1], ["1"]).shape == (90 + 28 + 32, 60 + 32, 3)

"""What the program shows of a run and keeps of a picture, by its command line."""

import json
import re

import numpy as np
import pytest

from conftest import draw, encoded, names, pixels
from recolor_cli.color.lab import rgb_to_gray


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with a gray picture, a colored one and a broken one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "gray.png").write_bytes(encoded(rgb_to_gray(draw(64, 48)), "PNG"))
    (folder / "color.png").write_bytes(encoded(draw(64, 48), "PNG"))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    return folder


def shown(page):
    script = re.search(r'id="entries">\n(.*?)</script>', page.read_text(), re.DOTALL)
    return [json.loads(line) for line in script[1].splitlines()]


def test_a_comparison_lies_beside_each_result(recolor, scans):
    out, _ = recolor("in", "--compare", "--json", "--device", "cpu", exit_code=1)
    told = [json.loads(line) for line in out.splitlines()]
    assert [t["companions"] for t in told] == [
        [],
        ["in/color-recolored-compare.png"],
        ["in/gray-recolored-compare.png"],
    ]
    joined = pixels(scans / "gray-recolored-compare.png")
    np.testing.assert_array_equal(joined[:, :48], pixels(scans / "gray.png"))
    np.testing.assert_array_equal(joined[:, 50:], pixels(scans / "gray-recolored.png"))
    before = names(scans)
    for command in (["in"], [f"in/{name}" for name in before]):
        _, err = recolor(*command, exit_code=1)  # companions are no pictures
        assert "2 skipped, 1 failed" in err
        assert names(scans) == before


def test_a_comparison_that_is_missing_is_made_of_what_is_there(recolor, scans):
    recolor("in/gray.png", "--device", "cpu")
    result = (scans / "gray-recolored.png").read_bytes()
    recolor("in/gray.png", "--compare", "--device", "cpu")
    assert (scans / "gray-recolored.png").read_bytes() == result
    assert pixels(scans / "gray-recolored-compare.png").shape == (64, 98, 3)
    mine = scans / "gray-recolored-compare.png"
    mine.write_bytes(b"mine")
    recolor("in/gray.png", "--compare", "--device", "cpu")
    assert mine.read_bytes() == b"mine"  # what exists is not touched
    recolor("in/gray.png", "--compare", "--overwrite", "--device", "cpu")
    assert mine.read_bytes() != b""


def test_in_place_it_compares_with_the_backup(recolor, scans):
    (scans / "broken.png").unlink()
    original = pixels(scans / "gray.png")
    for _ in range(2):
        recolor("in", "--in-place", ".orig", "--compare", "--device", "cpu")
        assert len(names(scans)) == 6
    joined = pixels(scans / "gray-compare.png")
    np.testing.assert_array_equal(joined[:, :48], original)
    np.testing.assert_array_equal(joined[:, 50:], pixels(scans / "gray.png"))


def test_a_comparison_overwrites_no_input(recolor, scans):
    (scans / "gray-compare.png").write_bytes(encoded(draw(), "PNG"))
    _, err = recolor(
        *("in/gray.png", "in/gray-compare.png", "-o", "out/"),
        *("--compare", "--device", "cpu"),
        exit_code=1,
    )
    assert "gray-compare.png, a sidecar file of its result, is an input or a result itself" in err
    assert names(scans.parent / "out") == ["gray-compare-compare.png", "gray-compare.png"]
    np.testing.assert_array_equal(pixels(scans / "gray-compare.png"), draw())


@pytest.mark.parametrize("label", ["compare", "2", "variants"])
def test_a_picture_that_has_the_name_of_a_sidecar_file_is_kept(recolor, scans, label):
    out = scans.parent / "out"
    out.mkdir()
    theirs = out / f"gray-{label}.png"
    theirs.write_bytes(encoded(draw(), "PNG"))
    command = ["in/gray.png", "-o", "out/", "--compare", "--variants", "2", "--device", "cpu"]
    _, err = recolor(*command, exit_code=1)
    assert f"out/gray-{label}.png exists, and does not say that it is a sidecar file" in err
    assert names(out) == [theirs.name]
    np.testing.assert_array_equal(pixels(theirs), draw())
    recolor(*command, "--overwrite")
    assert names(out) == ["gray-2.png", "gray-compare.png", "gray-variants.png", "gray.png"]
    assert (pixels(theirs).shape != draw().shape) or (pixels(theirs) != draw()).any()


def test_the_result_of_another_picture_is_no_sidecar_file(recolor, scans):
    (scans / "gray-2.png").write_bytes(encoded(rgb_to_gray(draw(64, 48, 5)), "PNG"))
    recolor("in/gray-2.png", "-o", "out/", "--device", "cpu")
    theirs = scans.parent / "out/gray-2.png"
    before = theirs.read_bytes()
    _, err = recolor("in/gray.png", "-o", "out/", "--variants", "2", exit_code=1)
    assert "out/gray-2.png exists, and does not say" in err
    assert theirs.read_bytes() == before


def test_a_picture_beside_a_result_is_no_variant_of_it(recolor, scans):
    recolor("in/gray.png", "--device", "cpu")
    retouched = scans / "gray-recolored-2.png"
    retouched.write_bytes(encoded(draw(), "PNG"))
    _, err = recolor("in/gray.png", "--variants", "3", "--device", "cpu", exit_code=1)
    assert "gray-recolored-2.png exists, and does not say" in err
    np.testing.assert_array_equal(pixels(retouched), draw())


def test_sidecar_files_that_outlive_their_result_are_replaced(recolor, scans):
    command = ["in/gray.png", "--compare", "--variants", "2", "--device", "cpu"]
    recolor(*command)
    made = names(scans)
    (scans / "gray-recolored.png").unlink()
    recolor(*command)
    assert names(scans) == made


def test_in_place_no_picture_is_taken_for_a_sidecar_file(recolor, scans):
    theirs = scans / "gray-compare.png"
    theirs.write_bytes(encoded(draw(), "PNG"))
    before = names(scans)
    _, err = recolor("in/gray.png", "--in-place", ".orig", "--compare", exit_code=1)
    assert "gray-compare.png exists, and does not say" in err
    assert names(scans) == before
    np.testing.assert_array_equal(pixels(theirs), draw())


def test_a_comparison_needs_a_file(recolor, scans):
    recolor("in/gray.png", "-o", "-", "--compare", exit_code=2)


def test_a_comparison_that_fails_is_told_and_the_result_stays(recolor, scans):
    (scans / "wide.png").write_bytes(encoded(np.full((8, 40_000), 99, np.uint8), "PNG"))
    _, err = recolor(*("in/wide.png", "-o", "out.jpg", "--compare", "--device", "cpu"), exit_code=1)
    assert "out.jpg is there, but a sidecar file of it is not: cannot be written as JPEG" in err
    assert (scans.parent / "out.jpg").exists()


def test_the_gallery_shows_the_run_and_what_was_done_before(recolor, scans):
    page = scans.parent / "out/gallery.html"
    out, _ = recolor("in", "-o", "out", "--gallery", "--device", "cpu", exit_code=1)
    assert out.decode().split() == ["out/color.png", "out/gray.png", "out/gallery.html"]
    first = shown(page)
    assert [entry["status"] for entry in first] == ["failed", "written", "written"]
    assert first[0]["error"]
    assert first[1]["model"] == "poster"
    assert first[1]["seconds"] > 0
    assert {"model": "poster", "device": "cpu"}.items() <= json.loads(
        re.search(r'id="run">(.*?)</script>', page.read_text())[1]
    ).items()
    recolor("in", "-o", "out", "--gallery", "--device", "cpu", exit_code=1)
    second = shown(page)
    assert [entry["status"] for entry in second] == ["failed", "skipped", "skipped"]
    assert second[1]["before"] == first[1]["before"]
    assert len(names(page.parent / "gallery-thumbnails")) == 4
    # neither the page nor its thumbnails are pictures to recolor
    _, err = recolor("out", "-r", "-n")
    assert "2 planned" in err


def test_what_is_no_picture_is_not_in_the_gallery(recolor, scans):
    (scans.parent / "in/scan.pdf").write_bytes(b"%PDF-1.4")
    _, err = recolor("in", "-o", "out", "--gallery", "--device", "cpu", exit_code=1)
    assert "1 file is left out: it is a PDF file" in err
    entries = shown(scans.parent / "out/gallery.html")
    assert entries
    assert not any("pdf" in entry["name"] for entry in entries)


def test_the_gallery_lies_here_without_a_folder_for_results(recolor, scans):
    recolor("in/gray.png", "--gallery", "--device", "cpu")
    assert len(shown(scans.parent / "gallery.html")) == 1
    recolor("in/gray.png", "-o", "new/gray.png", "--gallery", "--device", "cpu")
    assert (scans.parent / "new/gallery.html").exists()
    (scans.parent / "gallery.html").write_text("mine")
    _, err = recolor("in/color.png", "--gallery", "--device", "cpu", exit_code=2)
    assert "is another page" in err
    assert not (scans / "color-recolored.png").exists()


def test_a_run_that_cannot_begin_leaves_the_earlier_page(recolor, scans):
    recolor("in/gray.png", "-o", "out/", "--gallery", "--device", "cpu")
    before = (scans.parent / "out/gallery.html").read_bytes()
    recolor("in", "-o", "out/", "--gallery", "-m", "no-such-model", exit_code=4)
    assert (scans.parent / "out/gallery.html").read_bytes() == before
    assert names(scans.parent / "out") == ["gallery-thumbnails", "gallery.html", "gray.png"]


def test_what_is_kept(recolor, scans):
    run = ("--device", "cpu", "--overwrite")
    recolor("in/color.png", "--keep-original", "1", *run)
    np.testing.assert_array_equal(pixels(scans / "color-recolored.png"), draw(64, 48))
    recolor("in/color.png", "--only-gray", *run)
    np.testing.assert_array_equal(pixels(scans / "color-recolored.png"), draw(64, 48))
    recolor("in/color.png", *run)
    new = pixels(scans / "color-recolored.png")
    assert (new != draw(64, 48)).any()
    mask = np.zeros((32, 24), np.uint8)  # of half the size
    mask[:16] = 255
    (scans.parent / "mask.png").write_bytes(encoded(mask, "PNG"))
    recolor("in/color.png", "--mask", "mask.png", *run)
    masked = pixels(scans / "color-recolored.png")
    np.testing.assert_array_equal(masked[34:], draw(64, 48)[34:])
    np.testing.assert_array_equal(masked[:30], new[:30])


def test_colored_pictures_are_skipped_with_the_reason(recolor, scans):
    out, _ = recolor("in", "--if-gray", "--json", "--device", "cpu", exit_code=1)
    told = {t["source"]: t for t in map(json.loads, out.splitlines())}
    assert told["in/color.png"]["status"] == "skipped"
    assert told["in/color.png"]["reason"] == "it has color of its own"
    assert told["in/gray.png"]["status"] == "written"
    assert not (scans / "color-recolored.png").exists()
    _, err = recolor("in/color.png", "--if-gray", "--device", "cpu")
    assert "in/color.png: it has color of its own, skipped" in err
    _, err = recolor("in", "--if-gray", "--gallery", "--device", "cpu", exit_code=1)
    reasons = [entry.get("reason") for entry in shown(scans.parent / "gallery.html")]
    assert reasons == [None, "it has color of its own", None]


def test_a_colored_picture_passes_through_a_pipe(recolor, scans):
    data = (scans / "color.png").read_bytes()
    out, err = recolor("-", "--if-gray", "--device", "cpu", stdin=data)
    (scans / "out.png").write_bytes(out)
    np.testing.assert_array_equal(pixels(scans / "out.png"), draw(64, 48))
    assert "passed on with it" in err


def test_masks_that_do_not_fit(recolor, scans):
    _, err = recolor("in/gray.png", "--mask", "none.png", exit_code=2)
    assert "--mask none.png: no such file" in err
    (scans.parent / "mask.png").write_bytes(encoded(np.full((64, 64), 255, np.uint8), "PNG"))
    _, err = recolor("in/gray.png", "--mask", "mask.png", "--device", "cpu", exit_code=1)
    assert "the mask, 64x64, has another shape than the picture, 48x64" in err

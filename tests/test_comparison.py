"""The page on which pictures stand as several models color them."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from test_gallery import ODD_NAMES, browser, wait  # noqa: F401

from conftest import draw, encoded, names, pixels
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import UsageError
from recolor_cli.gallery.comparison import ComparedModel, ComparisonPage
from recolor_cli.image.compare import draw_thumbnail

RED, BLUE = (draw_thumbnail(np.full((40, 30, 3), c, np.uint8)) for c in ((200, 0, 0), (0, 0, 200)))


def facts_of(page: Path) -> dict:
    return json.loads(re.search(r'json">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def thumbnail(page: Path, url: str) -> Path:
    return page.parent / unquote_to_bytes(url).decode()


def write(page: Path, pictures, commands=("recolor x -m a", "recolor x -m b")):
    comparison = ComparisonPage(page)
    for name in pictures:
        row = comparison.add_picture(name, RED)
        comparison.add_result(row, 0, RED)
        comparison.add_result(row, 1, BLUE, "0.1 s")
    models = [ComparedModel(n, "", c) for n, c in zip("ab", commands, strict=True)]
    comparison.write(models, "some pictures")


def test_every_picture_stands_beside_its_results(tmp_path):
    page = tmp_path / "out" / "x y.html"
    page.parent.mkdir()
    write(page, [f"in/{name}" for name in ODD_NAMES])
    facts = facts_of(page)
    assert [model["name"] for model in facts["models"]] == ["a", "b"]
    assert len(facts["pictures"]) == len(ODD_NAMES)
    assert facts["pictures"][0]["name"] == ODD_NAMES[0]
    for picture in facts["pictures"]:
        assert picture["folder"] == "in"
        assert thumbnail(page, picture["before"]).read_bytes() == RED
        first, second = picture["results"]
        assert thumbnail(page, first["image"]).read_bytes() == RED
        assert thumbnail(page, second["image"]).read_bytes() == BLUE
        assert second["note"] == "0.1 s"
    assert page.read_text().count("</script>") == 2  # no name ends a script


def test_an_earlier_comparison_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "comparison.html"
    write(page, ["a.png", "b.png"])
    write(page, ["c.png"])
    assert len(names(tmp_path / "comparison-thumbnails")) == 3
    page.write_text("<title>mine</title>")
    with pytest.raises(UsageError, match="is another page"):
        ComparisonPage(page)


def test_an_interrupted_comparison_leaves_the_earlier_page_as_it_is(tmp_path):
    page = tmp_path / "comparison.html"
    write(page, ["a.png"])
    interrupted = ComparisonPage(page)
    row = interrupted.add_picture("a.png", BLUE)
    interrupted.add_result(row, 0, BLUE)
    (picture,) = facts_of(page)["pictures"]
    first, second = picture["results"]
    urls = (picture["before"], first["image"], second["image"])
    assert [thumbnail(page, url).read_bytes() for url in urls] == [RED, RED, BLUE]
    write(page, ["a.png"])
    assert len(names(tmp_path / "comparison-thumbnails")) == 3  # what was left is removed


def test_a_click_counts_and_shows_the_command(browser, tmp_path):  # noqa: F811
    page = tmp_path / "comparison.html"
    write(page, ["1.png", "2.png", "3.png"])
    browser.get(page.as_uri())
    wait(lambda: browser.execute_script("return document.body.dataset.drawn"))
    inputs = browser.find_elements("css selector", "tbody input")
    line = browser.find_element("id", "choice")
    browser.execute_script("arguments[0].click()", inputs[0])
    assert "a is ahead" in line.text
    browser.execute_script("arguments[0].click()", inputs[3])
    assert "a and b are even" in line.text
    browser.execute_script("arguments[0].click()", inputs[5])
    assert "3 of 3 chosen: b is ahead. recolor x -m b" in line.text
    browser.execute_script("arguments[0].click()", inputs[1])  # another choice for the first row
    counts = [e.text for e in browser.find_elements("css selector", ".count")]
    assert counts == ["", "best of 3"]


def test_the_command_compares_some_pictures_of_a_folder(recolor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    for number in range(5):
        Path(f"old/{number}.png").write_bytes(encoded(draw(seed=number), "PNG"))
    out, _ = recolor(
        "compare", "old", "-m", "fruitnet", "-m", "film", "--count", 3, "--device", "cpu"
    )
    assert out.decode() == "comparison.html\n"
    page = Path("comparison.html")
    facts = facts_of(page)
    assert [picture["name"] for picture in facts["pictures"]] == ["0.png", "1.png", "3.png"]
    assert facts["models"][1]["command"] == "recolor run old -m film -o new"
    first, second = (
        pixels(thumbnail(page, result["image"])).astype(int)
        for result in facts["pictures"][0]["results"]
    )
    assert np.abs(first - second).mean() > 1  # two models, two results
    assert np.abs(rgb_to_lab_cv2(first.astype(np.uint8))[..., 1:]).mean() > 1
    # The thumbnails are no pictures of a later run.
    options = ("-r", "--exclude", "new *", "--temperature", 0.5, "--strength", 1.2)
    out, _ = recolor("compare", ".", *options, "-m", "fruitnet", "-m", "film", "--device", "cpu")
    facts = facts_of(page)
    assert len(facts["pictures"]) == 5
    command = "recolor run . -r --exclude 'new *' --temperature 0.5 --strength 1.2 -m film -o new"
    assert facts["models"][1]["command"] == command


def test_the_command_on_the_page_works_for_a_folder_with_the_name_of_a_command(
    recolor, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/a.png").write_bytes(encoded(draw(), "PNG"))
    recolor("compare", "models", "-m", "fruitnet", "-m", "film", "--device", "cpu")
    words = shlex.split(facts_of(Path("comparison.html"))["models"][1]["command"])
    recolor(*words[1:], "--device", "cpu")
    assert names(Path("new")) == ["a.png"]


def test_what_cannot_be_read_is_told_and_left_out(recolor, tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(draw(), "PNG"))
    (tmp_path / "bad.png").write_bytes(encoded(draw(), "PNG")[:90])
    page = tmp_path / "page.html"
    models = ("-m", "fruitnet", "-m", "film")
    _, err = recolor("compare", tmp_path, *models, "-o", page, "--device", "cpu", "-q", exit_code=1)
    assert "bad.png: " in err
    assert [picture["name"] for picture in facts_of(page)["pictures"]] == ["good.png"]
    (tmp_path / "bad.png").unlink()
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    _, err = recolor("compare", tmp_path, *models, "-o", page, "--device", "cpu")
    assert "left out: 1 file of formats that cannot be read" in err
    assert [picture["name"] for picture in facts_of(page)["pictures"]] == ["good.png"]
    _, err = recolor("compare", tmp_path, "-m", "film", "-m", "film", exit_code=2)
    assert "name two models or more" in err
    _, err = recolor("compare", tmp_path, "-m", "film", "-m", "nobody", exit_code=4)
    assert "no model is called nobody" in err
    _, err = recolor("compare", "-", *models, exit_code=2)
    assert "standard input cannot be compared" in err

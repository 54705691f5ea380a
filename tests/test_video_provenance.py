"""Films say how they were made, in a tag of their container."""

import json
import os
from dataclasses import replace

import av
import pytest

from conftest import draw, encoded
from recolor_cli.image.provenance import DIGITAL_SOURCE_TYPE, Provenance, digest_of_file
from recolor_cli.video.provenance_tag import film_provenance, read_film_provenance, with_record
from video_clips import make, recolored

RUN = Provenance(
    model="fake", model_digest="aa", version="1.2", options=(("smoothing", "0.2"), ("preview", ""))
)
CONTAINERS = ("a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.flv", "a.nut")


def tags(path) -> dict[str, str]:
    with av.open(str(path)) as film:
        return dict(film.metadata)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("odd", [False, True], ids=["plain", "odd tags"])
def test_each_container_keeps_it_and_the_tags_of_the_source(name, odd, tmp_path, network):
    def finish(container):
        container.metadata.update(title="Casablanca", comment="by ear\nand eye")
        if odd:  # MP4 and MOV then store all tags in another way
            container.metadata["reel"] = "7"

    source, result = make(tmp_path / "räel 1.mkv", 3, finish=finish), tmp_path / name
    wanted = film_provenance(str(source), RUN)
    recolored(source, result, network, provenance=wanted)
    assert read_film_provenance(result) == wanted
    assert (wanted.source, wanted.source_digest) == ("räel 1.mkv", digest_of_file(str(source)))
    found = {key.lower(): value for key, value in tags(result).items()}
    assert DIGITAL_SOURCE_TYPE in " ".join(found.values())
    assert found["title"] == "Casablanca"
    assert found["comment"].startswith("by ear\nand eye")
    if odd:
        assert found["reel"] == "7"

    # A result that is recolored again says how that was done, once.
    again = replace(wanted, source=name, model="film")
    for other in ("again.mov", "again.mp4", "again.mkv"):
        recolored(result, tmp_path / other, network, provenance=again)
        assert read_film_provenance(tmp_path / other) == again
        assert " ".join(tags(tmp_path / other).values()).count(DIGITAL_SOURCE_TYPE) == 1


def test_without_it_a_film_has_no_tag_of_ours(tmp_path, network):
    source = make(tmp_path / "a.mkv", 3)
    recolored(source, tmp_path / "b.mkv", network)
    assert read_film_provenance(tmp_path / "b.mkv") is None
    assert "recolor" not in str(tags(tmp_path / "b.mkv")).lower()


def test_mpeg_ts_has_no_place_for_it(tmp_path, network):
    recolored(make(tmp_path / "a.mkv", 3), tmp_path / "b.ts", network, provenance=RUN)
    assert read_film_provenance(tmp_path / "b.ts") is None


@pytest.mark.parametrize(
    "text",
    [
        "recolor 1.2 {}",
        "recolor 1.2 {broken}",
        'recolor 1.2 {"options": 3}',
        "recolor 1.2 [1]",
        "recolor is good",
        "recolor 1.2 " + '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_broken_tags_tell_nothing(text, tmp_path):
    path = make(tmp_path / "a.mkv", 2, finish=lambda film: film.metadata.update(recolor=text))
    assert read_film_provenance(path) is None


def test_what_is_no_film_tells_nothing(tmp_path):
    for data in (b"", b"once upon a time", b"\0\0\0\x14ftypisom"):
        (tmp_path / "a.mp4").write_bytes(data)
        assert read_film_provenance(tmp_path / "a.mp4") is None
    assert read_film_provenance(tmp_path / "missing.mp4") is None


def test_the_record_joins_a_comment():
    before = with_record({"Comment": "mine"}, "mov", RUN)
    assert list(before) == ["Comment"]
    assert before["Comment"].startswith("mine\nrecolor 1.2 {")
    assert with_record(before, "mov", None) == {"Comment": "mine"}
    assert with_record({"comment": with_record({}, "mov", RUN)["comment"]}, "mov", None) == {}


def test_the_source_of_numbered_pictures_is_the_first(tmp_path):
    for number in (3, 4):
        (tmp_path / f"{number:05d}.png").write_bytes(encoded(draw(seed=number), "PNG"))
    found = film_provenance(str(tmp_path / "%05d.png"), RUN)
    assert found.source == "%05d.png"
    assert found.source_digest == digest_of_file(str(tmp_path / "00003.png"))
    assert film_provenance("-", RUN) == RUN
    assert film_provenance(str(tmp_path / "x%05d.png"), RUN).source_digest == ""


def test_another_film_of_the_same_stem_is_told(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "reel.avi", 3, "mpeg4")
    make(tmp_path / "reel.wmv", 4, "wmv2")
    recolor("film", "reel.avi", "--device", "cpu")
    result = (tmp_path / "reel-recolored.mkv").read_bytes()
    _, err = recolor("film", "reel.avi")
    assert "exists, skipped" in err
    for arguments in ((), ("-n",)):
        _, err = recolor("film", "reel.wmv", *arguments, exit_code=1)
        assert "reel-recolored.mkv exists, and was made of reel.avi" in err
        assert "--overwrite redoes it" in err
    out, _ = recolor("film", "reel.avi", "--smoothing", "off", "--json", exit_code=1)
    told = json.loads(out)
    assert told["status"] == "made otherwise"
    assert "with --smoothing 0.2 instead of off" in told["error"]
    recolor("film", "reel.avi", "-m", "film", exit_code=1)
    recolor("film", "reel.wmv", "--no-provenance")
    assert (tmp_path / "reel-recolored.mkv").read_bytes() == result
    os.utime(tmp_path / "reel.avi")
    recolor("film", "reel.avi")


def test_a_part_of_another_place_is_told(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "reel.mp4", 12)
    recolor("film", "reel.mp4", "--duration", "0.2", "--device", "cpu")
    _, err = recolor("film", "reel.mp4", "--duration", "0.2", "--start", "0.2", exit_code=1)
    assert "made without --start 0.2" in err


def test_the_option_leaves_it_out_of_films(tmp_path, monkeypatch, recolor):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "reel.mp4", 2)
    recolor("film", "reel.mp4", "--no-provenance", "--device", "cpu")
    assert read_film_provenance(tmp_path / "reel-recolored.mp4") is None

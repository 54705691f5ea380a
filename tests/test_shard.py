import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import draw, encoded, names
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan, plan_lines
from recolor_cli.batch.shard import Shard
from recolor_cli.commands.film_plan import FILMS, plan_films
from recolor_cli.errors import UsageError

NAMES = st.text(st.characters(blacklist_characters="\0"), min_size=1)


@given(st.lists(NAMES), st.integers(1, 30))
def test_each_name_falls_into_one_shard(given_names, count):
    for name in given_names:
        assert sum(Shard(number, count).holds(name) for number in range(1, count + 1)) == 1


def test_the_shard_of_a_name_never_changes():
    given_names = ("a.jpg", "1931/b.jpg", "c.png", "\udcff.tif", "\ud800.png")
    held = [name for name in given_names if Shard(1, 2).holds(name)]
    assert held == ["1931/b.jpg", "\ud800.png"]


def test_accents_are_stored_in_two_ways():
    name = "Königin.jpg"
    for number in range(1, 8):
        forms = {Shard(number, 7).holds(unicodedata.normalize(f, name)) for f in ("NFC", "NFD")}
        assert len(forms) == 1


def test_shards_are_about_equal():
    sizes = [
        sum(Shard(number, 4).holds(f"{i:05}.jpg") for i in range(4000)) for number in range(1, 5)
    ]
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="is no part of a run"):
        Shard.parse(text)


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    """Return a folder with two trees of files, some of which cannot be read or collide."""
    folder = tmp_path_factory.mktemp("forest")
    for tree in ("a", "b"):
        for below in ("1.jpg", "1.png", "old/1.jpg", "old/x.heic", "old/deep/2.tif", "ü.webp"):
            path = folder / tree / below
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


INPUTS = st.lists(st.sampled_from(["a", "b", "a/1.jpg", "b/old", "a/missing.jpg"]), min_size=1)


@settings(max_examples=60)
@given(
    inputs=INPUTS,
    count=st.integers(1, 6),
    recursive=st.booleans(),
    listed=st.booleans(),
    out=st.sampled_from([None, "out/"]),
    base=st.booleans(),
)
def test_the_shards_of_a_plan_are_the_whole_and_disjoint(
    forest, inputs, count, recursive, listed, out, base
):
    def jobs(shard):
        options = OutputOptions(
            out=out and str(forest / out), base=str(forest) if out and base else None, shard=shard
        )
        found = (plan_lines if listed else plan)(
            [str(forest / i) for i in inputs], recursive, options
        )
        return [(job.source, job.destination, str(job.error)) for job in found]

    parts = [job for number in range(1, count + 1) for job in jobs(Shard(number, count))]
    assert sorted(parts) == sorted(jobs(None))


def test_a_shard_does_not_depend_on_the_place_of_the_folder(tmp_path):
    found = []
    for place in (tmp_path / "here", tmp_path / "mnt/there"):
        for i in range(20):
            path = place / f"year/{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        options = OutputOptions(out=str(tmp_path / "out"), shard=Shard(2, 3))
        jobs = plan([str(place)], True, options)
        lines = plan_lines(
            [f"{place}/year/{i}.jpg" for i in range(20)],
            False,
            OutputOptions(out=options.out, base=str(place), shard=options.shard),
        )
        assert {job.source for job in jobs} == {job.source for job in lines}
        found.append([os.path.relpath(job.source, place) for job in jobs])
    assert found[0] == found[1]
    assert 0 < len(found[0]) < 20


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.png").write_bytes(encoded(draw(seed=i), "PNG"))
    return folder


def test_runs_of_all_shards_do_all(recolor, scans, tmp_path):
    out = tmp_path / "out"
    planned = []
    for number in (1, 2, 3):
        lines, _ = recolor(scans, "-o", out, "--shard", f"{number}/3", "-n", "-q", "--json")
        planned.append([json.loads(line)["source"] for line in lines.splitlines()])
        recolor(scans, "-o", out, "--shard", f"{number}/3")
        assert len(names(out)) == sum(map(len, planned))
    assert names(out) == names(scans)
    _, told = recolor(scans, "-o", out, "--shard", "2/3")
    assert f"{len(planned[1])} skipped" in told or "exists, skipped" in told


def test_a_shard_may_be_empty(recolor, scans, tmp_path):
    numbers = [
        n
        for n in range(1, 40)
        if not any(Shard(n, 40).holds(path.name) for path in scans.iterdir())
    ]
    _, told = recolor(scans, "-o", tmp_path / "out", "--shard", f"{numbers[0]}/40")
    assert "nothing to do" in told
    assert not (tmp_path / "out").exists()


def test_a_list_has_shards(recolor, scans, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted(scans.iterdir())))
    for number in (1, 2):
        recolor("--files-from", listed, "-o", tmp_path / "out/", "--shard", f"{number}/2")
    assert names(tmp_path / "out") == names(scans)


def test_two_results_of_one_name_collide_in_each_shard_as_in_the_whole(recolor, tmp_path):
    for name in ("1.png", "1.jpg"):
        (tmp_path / name).write_bytes(encoded(draw(), "PNG"))
    exit_codes = {1 + Shard(2, 2).holds("1.jpg"): 1, 1 + Shard(1, 2).holds("1.jpg"): 0}
    told = ""
    for number in (1, 2):
        *_, text = recolor(
            tmp_path / "1.png",
            tmp_path / "1.jpg",
            "-o",
            tmp_path / "out/",
            "--format",
            "png",
            "--shard",
            f"{number}/2",
            exit_code=exit_codes[number],
        )
        told += text
    assert told.count("is already the result of") == 1
    assert names(tmp_path / "out") == ["1.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-", "--shard", "1/2"), "a stream is in no shard"),
        (
            (".", "--watch", "-o", "out/", "--shard", "1/2"),
            "--watch cannot be combined with --shard",
        ),
        (("x.jpg", "--shard", "2/1"), "--shard 2/1 is no part of a run"),
    ],
)
def test_shards_that_make_no_sense(recolor, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in recolor(*arguments, exit_code=2)[1]


def test_the_variable_of_a_job_array(recolor, scans, tmp_path, monkeypatch):
    monkeypatch.setenv("RECOLOR_SHARD", "1/2")
    recolor(scans, "-o", tmp_path / "out")
    assert 0 < len(list(Path(tmp_path / "out").iterdir())) < 6


def test_films_have_shards(recolor, tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.mp4").touch()
    parts = [
        len(plan_films([str(tmp_path)], False, OutputOptions(kind=FILMS, shard=Shard(n, 3))))
        for n in (1, 2, 3)
    ]
    assert sum(parts) == 8
    assert max(parts) < 8

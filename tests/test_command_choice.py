"""Which command a command line without one means."""

import sys

import pytest

from conftest import draw, encoded, names
from recolor_cli.cli import cli
from recolor_cli.commands.command_choice import choose_commands
from recolor_cli.errors import UsageError
from video_clips import make


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.jpg").write_bytes(encoded(draw()))
    make(tmp_path / "a.mp4", 2)
    return tmp_path


def choose(*args):
    return choose_commands(args, cli.commands)


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["b.jpg"], "run"),
        (["b.jpg", "--files-from", "names.ts"], "run"),
        (["b.jpg", "--files-from=names.ts"], "run"),
        (["b.jpg", "-o", "x.mp4"], "run"),
        (["b.jpg", "-ox.mp4"], "run"),
        (["b.jpg", "-rvo", "x.mp4"], "run"),
        (["b.jpg", "--suffix", ".mp4"], "run"),
        (["b%20d.jpg"], "run"),
        (["--if-gray", "a.mp4"], "run"),
        (["--", "-a.mp4"], "film"),
        (["a.mp4"], "film"),
        (["--palette", "b.jpg", "a.mp4"], "film"),
        (["frames/%05d.png"], "film"),
        (["-"], "run"),
        (["-", "-o", "x.mkv"], "film"),
        (["-", "--raw", "64x48"], "film"),
        ([], "run"),
    ],
)
def test_the_inputs_choose_the_command(args, command):
    assert choose(*args) == [(command, args)]


@pytest.mark.parametrize(
    ("name", "value", "commands"),
    [
        ("IF_GRAY", "1", ["run"]),
        ("IF_GRAY", "no", ["run", "film"]),
        ("IN_PLACE", ".orig", ["run"]),
        ("FILES_FROM", "names.txt", ["run"]),
        ("WATCH", "true", ["run"]),
        ("WATCH", "", ["run", "film"]),
    ],
)
def test_options_that_variables_give_choose_as_well(folder, monkeypatch, name, value, commands):
    monkeypatch.setenv(f"RECOLOR_{name}", value)
    assert [command for command, _ in choose("b.jpg", "a.mp4")] == commands


@pytest.mark.parametrize(("value", "command"), [("1", "film"), ("0", "run")])
def test_a_variable_searches_folders_in_depth(folder, monkeypatch, value, command):
    (folder / "box/reels").mkdir(parents=True)
    (folder / "a.mp4").rename(folder / "box/reels/a.mp4")
    monkeypatch.setenv("RECOLOR_RECURSIVE", value)
    assert [name for name, _ in choose("box")] == [command]


def test_options_go_to_the_command_that_has_them(folder):
    args = ["-rm", "film", "b.jpg", "--quality", "80", "--crf=20", "a.mp4", "--nothing"]
    shared = ["-r", "-m", "film"]
    assert choose(*args) == [
        ("run", [*shared, "--quality", "80", "--nothing", "--", "b.jpg"]),
        ("film", [*shared, "--crf=20", "--nothing", "--", "a.mp4"]),
    ]
    for out in ("x.mp4", "x.jpg", "-"):
        with pytest.raises(UsageError, match="do not fit"):
            choose("a.mp4", "b.jpg", "-o", out)


def test_a_folder_belongs_to_the_commands_whose_files_it_holds(folder, monkeypatch):
    assert [name for name, _ in choose(".")] == ["run", "film"]
    assert [name for name, _ in choose(".", "--in-place", ".old")] == ["run"]
    (folder / "deep").mkdir()
    (folder / "a.mp4").rename(folder / "deep" / "a.mp4")
    assert choose(".") == [("run", ["."])]
    assert [name for name, _ in choose("-r", ".")] == ["run", "film"]
    assert choose("deep") == [("film", ["deep"])]
    monkeypatch.setitem(sys.modules, "av", None)
    assert choose("-r", ".") == [("run", ["-r", "."])]


@pytest.mark.parametrize("args", [["."], ["b.jpg", "a.mp4"], ["a.mp4", "b.jpg"]])
def test_pictures_and_films_are_recolored_by_one_command(folder, recolor, args):
    out, err = recolor(*args, "--device", "cpu")
    assert out.decode().split() == ["b-recolored.jpg", "a-recolored.mp4"]
    assert "left out" not in err
    _, err = recolor(*args, "-v")
    assert err.count("exists, skipped") == 2


def test_names_of_both_kinds_end_alike(folder, recolor):
    out, _ = recolor(".", "--null", "--device", "cpu")
    assert out == b"b-recolored.jpg\0a-recolored.mp4\0"


def test_a_bad_job_of_one_kind_does_not_stop_the_other(folder, recolor):
    (folder / "c.jpg").write_bytes(b"no picture")
    out, _ = recolor("c.jpg", "a.mp4", "--device", "cpu", exit_code=1)
    assert out == b"a-recolored.mp4\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--crf", "99"],
        ["--nothing"],
        ["--encoder-option", "slow"],
        ["--codec", "nothing"],
        ["--reference", "1=nothing.png"],
        ["--quality", "101"],
    ],
)
def test_wrong_options_are_said_before_anything_is_done(folder, recolor, wrong):
    recolor(".", *wrong, "--device", "cpu", exit_code=2)
    assert names(folder) == ["a.mp4", "b.jpg"]


def test_folders_keep_their_common_base(folder, recolor):
    for name in ("one", "two"):
        (folder / name).mkdir()
    (folder / "b.jpg").rename(folder / "one" / "b.jpg")
    (folder / "a.mp4").rename(folder / "two" / "a.mp4")
    out, _ = recolor("one", "two", "-o", "out", "-n")
    assert out.decode().splitlines() == [
        "one/b.jpg -> out/one/b.jpg",
        "two/a.mp4 -> out/two/a.mp4",
    ]
    out, _ = recolor("one", "two", "-o", "out", "-n", "--exclude", "*.mp4")
    assert out.decode().splitlines() == ["one/b.jpg -> out/one/b.jpg"]
    recolor("one", "two", "-o", "out", "-n", "--exclude", "*.*", exit_code=3)

import os

import pytest

from conftest import draw, encoded
from recolor_cli.errors import NoInputsError, UsageError
from recolor_cli.formats import ImageFormat
from recolor_cli.jobs import OutputOptions, plan


def pairs(jobs):
    assert [job.error for job in jobs] == [None] * len(jobs)
    return [(job.source, job.destination) for job in jobs]


def test_a_file_goes_beside_itself(tree):
    assert pairs(plan(["in/b.jpg"], False, OutputOptions())) == [("in/b.jpg", "in/b-recolored.jpg")]


def test_a_folder_is_searched_in_the_order_of_names(tree):
    (tree / "in/b-recolored.jpg").write_bytes(b"a result")
    expected = [("in/a.PNG", "in/a-recolored.PNG"), ("in/b.jpg", "in/b-recolored.jpg")]
    assert pairs(plan(["in"], False, OutputOptions())) == expected
    expected.append(("in/sub/d.webp", "in/sub/d-recolored.webp"))
    assert pairs(plan(["in"], True, OutputOptions())) == expected


def test_the_tree_is_kept_in_an_output_folder(tree):
    assert pairs(plan(["in"], True, OutputOptions(out="out"))) == [
        ("in/a.PNG", "out/a.PNG"),
        ("in/b.jpg", "out/b.jpg"),
        ("in/sub/d.webp", "out/sub/d.webp"),
    ]


def test_an_output_folder_inside_the_input_is_not_searched(tree):
    jobs = plan(["in"], True, OutputOptions(out="in/sub"))
    assert pairs(jobs) == [("in/a.PNG", "in/sub/a.PNG"), ("in/b.jpg", "in/sub/b.jpg")]


def test_format_and_suffix_change_the_name(tree):
    options = OutputOptions(suffix="_new", format=ImageFormat.WEBP)
    assert pairs(plan(["in/b.jpg"], False, options)) == [("in/b.jpg", "in/b_new.webp")]


@pytest.mark.parametrize(
    ("out", "destination"),
    [("x.png", "x.png"), ("x", "x/b.jpg"), ("x.d/", "x.d/b.jpg"), ("-", "-")],
)
def test_out_is_a_file_by_its_ending(tree, out, destination):
    assert pairs(plan(["in/b.jpg"], False, OutputOptions(out=out))) == [("in/b.jpg", destination)]


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (["in/b.jpg", "in/a.PNG"], OutputOptions(out="-")),
        (["in"], OutputOptions(out="-")),
        (["in/b.jpg"], OutputOptions(out="x.png", format=ImageFormat.JPEG)),
        (["in/b.jpg"], OutputOptions(out="x.psd")),
        (["in"], OutputOptions(out="in/notes.txt")),
        (["in/b.jpg"], OutputOptions(suffix="/../x")),
        (["in/b.jpg", "in/a.PNG"], OutputOptions(out="x.jpg")),
        (["-", "in/b.jpg"], OutputOptions()),
    ],
)
def test_options_that_do_not_fit_are_refused(tree, inputs, options):
    with pytest.raises(UsageError):
        plan(inputs, False, options)


def test_a_folder_without_pictures_is_an_error_with_advice(tree):
    (tree / "empty").mkdir()
    with pytest.raises(NoInputsError, match="empty") as caught:
        plan(["empty"], False, OutputOptions())
    assert "-r" in caught.value.hint


def test_results_of_an_earlier_run_are_not_inputs(tree):
    (tree / "in/b-recolored.jpg").write_bytes(b"x")
    assert pairs(plan(["in/b-recolored.jpg", "in/b.jpg"], False, OutputOptions())) == [
        ("in/b.jpg", "in/b-recolored.jpg")
    ]
    # The whole folder at once, as a shell's glob would give it.
    files = ["in/a.PNG", "in/b-recolored.jpg", "in/b.jpg"]
    assert len(pairs(plan(files, False, OutputOptions()))) == 2
    (tree / "in/c-recolored.jpg").write_bytes(b"x")  # has no original beside it
    assert len(pairs(plan(["in"], False, OutputOptions(out="out")))) == 3
    # Alone it is what the user means.
    assert len(plan(["in/b-recolored.jpg"], False, OutputOptions())) == 1


def test_the_same_input_twice_is_done_once(tree):
    assert len(plan(["in/b.jpg", "./in/b.jpg", "in"], False, OutputOptions())) == 2


@pytest.mark.parametrize("link", ["none", "hard", "symbolic"])
def test_an_input_is_never_overwritten(tree, link):
    source = tree / "in/b.jpg"
    options = OutputOptions(out="in/", suffix="", overwrite=True)
    if link == "hard":
        os.link(source, tree / "x.jpg")
        options = OutputOptions(out="x.jpg", overwrite=True)
    elif link == "symbolic":
        (tree / "x.jpg").symlink_to(source)
        options = OutputOptions(out="x.jpg", overwrite=True)
    (job,) = plan(["in/b.jpg"], False, options)
    assert "overwrite an input" in job.error.message


def test_two_inputs_with_one_destination(tree):
    (tree / "in/b.png").write_bytes(encoded(draw(), "PNG"))
    first, second = plan(["in/b.jpg", "in/b.png"], False, OutputOptions(format=ImageFormat.JPEG))
    assert first.error is None
    assert "already the result of in/b.jpg" in second.error.message


def test_what_is_no_regular_file_is_left_out_of_folders(tree):
    os.mkfifo(tree / "in/pipe.jpg")
    assert "in/pipe.jpg" not in [job.source for job in plan(["in"], False, OutputOptions())]


def test_a_folder_that_cannot_be_read_is_told(tree, monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", "in/locked"))
        yield folder, [], []

    monkeypatch.setattr(os, "walk", walk)
    (job,) = plan(["in"], True, OutputOptions())
    assert job.source == "in/locked"
    assert "Permission denied" in job.error.message

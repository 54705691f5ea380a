import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import BrokenNetwork, SpyNetwork, draw, encoded
from recolor_cli import batch
from recolor_cli.batch import OutputOptions, Report, Status, plan
from recolor_cli.errors import ExitCode, InputError, NoInputsError, UsageError
from recolor_cli.image_io import ImageFormat
from recolor_cli.recolorizer import Recolorizer


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/d.webp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(draw(), "PNG"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
        (["in/b.jpg"], OutputOptions(out="x.gif")),
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


def test_large_pictures_wait_for_each_other():
    budget = batch.MemoryBudget(100)
    order = []
    with ThreadPoolExecutor(4) as pool:

        def hold(name):
            with budget.reserve(60):
                order.append(name)
                time.sleep(0.01)
                order.append(name)

        list(pool.map(hold, "abcd"))
    assert order[::2] == order[1::2]  # never two at a time
    with pytest.raises(InputError, match="GiB of memory"), budget.reserve(101):
        pass


def outcomes(manifest, inputs, options=None, network=None, workers=2):
    options = options or OutputOptions()
    recolorizer = Recolorizer(network or SpyNetwork(manifest, (9.0, 9.0)))
    return list(batch.run(plan(inputs, True, options), recolorizer, options, workers))


def test_one_bad_file_neither_stops_nor_hides(tree, manifest):
    (tree / "in/aa.jpg").write_bytes(b"once upon a time")
    (tree / "in/ab.jpg").write_bytes(b"")
    found = outcomes(manifest, ["in", "missing.jpg"])
    assert [(Path(o.job.source).name, o.status) for o in found] == [
        ("a.PNG", Status.WRITTEN),
        ("aa.jpg", Status.FAILED),
        ("ab.jpg", Status.FAILED),
        ("b.jpg", Status.WRITTEN),
        ("d.webp", Status.WRITTEN),
        ("missing.jpg", Status.FAILED),
    ]
    report = Report()
    for outcome in found:
        report.add(outcome)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert str(report) == "3 written, 3 failed"
    assert not (tree / "in/aa-recolored.jpg").exists()
    assert found[0].size.height == 90
    assert {"decode", "network", "color", "encode", "write"} <= set(found[0].seconds)


def test_what_is_there_is_skipped_or_redone(tree, manifest):
    assert {o.status for o in outcomes(manifest, ["in"])} == {Status.WRITTEN}
    assert {o.status for o in outcomes(manifest, ["in"])} == {Status.SKIPPED}
    again = outcomes(manifest, ["in"], OutputOptions(overwrite=True))
    assert [o.status for o in again] == [Status.WRITTEN] * 3


def test_an_empty_result_is_none(tree, manifest):
    (tree / "in/b-recolored.jpg").write_bytes(b"")
    (found,) = outcomes(manifest, ["in/b.jpg"])
    assert found.status is Status.WRITTEN


def test_an_error_of_the_network_is_of_its_picture(tree, manifest):
    (found,) = outcomes(manifest, ["in/b.jpg"], network=BrokenNetwork(manifest))
    assert found.status is Status.FAILED
    assert found.error.hint == "use less"
    assert not list(tree.glob("in/*recolored*b*"))


def test_a_bug_is_told_as_one_and_the_others_go_on(tree, manifest, monkeypatch):
    original = batch.decode

    def decode(data):
        if len(data) % 2:
            raise RuntimeError("oh")
        return original(data)

    (tree / "in/b.jpg").write_bytes((tree / "in/b.jpg").read_bytes() + b"\0" * 1)
    (tree / "in/a.PNG").write_bytes(
        (tree / "in/a.PNG").read_bytes() + b"\0" * ((tree / "in/a.PNG").stat().st_size % 2)
    )
    if (tree / "in/b.jpg").stat().st_size % 2 == 0:
        (tree / "in/b.jpg").write_bytes((tree / "in/b.jpg").read_bytes() + b"\0")
    monkeypatch.setattr(batch, "decode", decode)
    good, bad = outcomes(manifest, ["in/a.PNG", "in/b.jpg"])
    assert good.status is Status.WRITTEN
    assert "bug" in bad.error.message
    assert "RuntimeError" in bad.bug
    report = Report()
    report.add(bad)
    assert report.exit_code is ExitCode.BUG


def test_an_unwritable_target_is_an_error(tree, manifest):
    (tree / "file").write_bytes(b"")
    (found,) = outcomes(manifest, ["in/b.jpg"], OutputOptions(out="file/x/"))
    assert "cannot write" in found.error.message
    assert "-o" in found.error.hint


def test_a_name_that_is_too_long_is_an_error(tree, manifest):
    name = tree / ("x" * 250 + ".jpg")
    name.write_bytes(encoded(draw()))
    (found,) = outcomes(manifest, [str(name)])
    assert "cannot write" in found.error.message


def test_memory_does_not_grow_with_the_number_of_jobs(tree, manifest):
    started = []

    class Counting(SpyNetwork):
        def predict(self, lightness, temperature):
            started.append(1)
            return super().predict(lightness, temperature)

    for i in range(30):
        (tree / f"in/n{i:02}.png").write_bytes(encoded(draw(), "PNG"))
    options = OutputOptions(out="out")
    stream = batch.run(plan(["in"], True, options), Recolorizer(Counting(manifest)), options, 2)
    next(stream)
    assert len(started) <= 7  # two at work, a window of four, the one that was yielded
    stream.close()


def test_a_dry_run_writes_nothing(tree):
    options = OutputOptions()
    (tree / "in/b-recolored.jpg").write_bytes(b"x")
    found = list(batch.dry_run(plan(["in", "gone.jpg"], False, options), options))
    assert [o.status for o in found] == [Status.PLANNED, Status.SKIPPED, Status.FAILED]
    assert not (tree / "in/a-recolored.PNG").exists()

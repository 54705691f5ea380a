import os
from pathlib import Path

import pytest

from conftest import draw, encoded
from recolor_cli.batch import file_identity
from recolor_cli.batch.job import Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import conflict_error, plan, plan_lines
from recolor_cli.errors import NoInputsError, UsageError
from recolor_cli.image.formats import ImageFormat


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


@pytest.mark.parametrize("where", ["in", "in/sub"])
def test_a_picture_whose_whole_name_is_the_suffix_of_results_is_a_picture(tree, where):
    (tree / where / "-recolored.jpg").write_bytes(b"a picture")
    found = [source for source, _ in pairs(plan(["in"], True, OutputOptions(out="out")))]
    assert f"{where}/-recolored.jpg" in found


@pytest.mark.parametrize("name", ["@eaDir", ".thumbnails", "__MACOSX", "#recycle"])
def test_folders_that_machines_make_are_left_out_unless_they_are_named(tree, name):
    folder = tree / "in" / name
    folder.mkdir()
    (folder / "b.jpg").write_bytes(b"small")
    (folder / "sub").mkdir()
    (folder / "sub/c.heic").write_bytes(b"unsupported")
    found = [source for source, _ in pairs(plan(["in"], True, OutputOptions(out="out")))]
    assert found == ["in/a.PNG", "in/b.jpg", "in/sub/d.webp"]
    assert len(plan([str(folder)], False, OutputOptions(out="out"))) == 1


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("*.jpg",), ["in/a.PNG", "in/sub/d.webp"]),
        (("b*", "a.*"), ["in/sub/d.webp"]),
        (("sub",), ["in/a.PNG", "in/b.jpg"]),
        (("sub/*",), ["in/a.PNG", "in/b.jpg"]),
        (("in",), ["in/a.PNG", "in/b.jpg", "in/sub/d.webp"]),
        (("*.heic",), ["in/a.PNG", "in/b.jpg", "in/sub/d.webp"]),
    ],
)
def test_names_are_excluded_in_folders(tree, patterns, left):
    options = OutputOptions(out="out", exclude=patterns)
    assert [source for source, _ in pairs(plan(["in"], True, options))] == left


def test_an_excluded_file_of_another_kind_is_not_reported(tree):
    (tree / "in/x.heic").write_bytes(b"x")
    assert len(plan(["in"], False, OutputOptions(out="out"))) == 3
    assert len(plan(["in"], False, OutputOptions(out="out", exclude=("*.heic",)))) == 2


def test_the_pattern_is_named_where_it_leaves_nothing(tree):
    with pytest.raises(NoInputsError) as caught:
        plan(["in"], True, OutputOptions(exclude=("*",)))
    assert caught.value.hint.endswith(" files, or leave --exclude out")


def test_a_named_file_is_not_excluded(tree):
    assert len(plan(["in/b.jpg"], False, OutputOptions(exclude=("*.jpg",)))) == 1


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
    assert len(pairs(plan(files, False, OutputOptions(out="out")))) == 2
    results = ["in/a-recolored.webp", "in/b-recolored-1.jpg", "in/b-recolored-compare.png"]
    assert len(pairs(plan([*files, *results], False, OutputOptions(out="out")))) == 2
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


def listed(names, options=None, recursive=False):
    return list(plan_lines(names, recursive, options or OutputOptions()))


def test_a_list_keeps_its_order_and_names_each_once(tree):
    assert pairs(listed(["in/b.jpg", "in/a.PNG", "./in/b.jpg"])) == [
        ("in/b.jpg", "in/b-recolored.jpg"),
        ("in/a.PNG", "in/a-recolored.PNG"),
    ]
    assert [job.source for job in listed(["in"], recursive=True)] == [
        "in/a.PNG", "in/b.jpg", "in/sub/d.webp",
    ]  # fmt: skip


def test_a_list_is_not_waited_for(tree):
    def endless():
        yield "in/b.jpg"
        raise AssertionError("asked for more than was needed")

    assert next(plan_lines(endless(), False, OutputOptions())).source == "in/b.jpg"


def test_results_of_an_earlier_run_in_a_list_are_left_out(tree):
    (tree / "in/b-recolored.jpg").write_bytes(b"x")
    for names in (["in/b-recolored.jpg", "in/b.jpg"], ["in/b.jpg", "in/b-recolored.jpg"]):
        assert [job.source for job in listed(names)] == ["in/b.jpg"]


@pytest.mark.parametrize(
    ("options", "result"),
    [
        (OutputOptions(format=ImageFormat.WEBP), "in/b-recolored.webp"),
        (OutputOptions(out="out"), "out/in/b.jpg"),
        (OutputOptions(out="out", format=ImageFormat.PNG), "out/in/b.png"),
        (OutputOptions(out="out", suffix="-new"), "out/in/b-new.jpg"),
        (OutputOptions(out="out", base="in"), "out/b.jpg"),
        (OutputOptions(out="out", compare=True), "out/in/b-compare.jpg"),
        (OutputOptions(out="in/new", variants=3, suffix="-x"), "in/new/in/b-x-3.jpg"),
    ],
)
def test_the_order_of_a_list_does_not_decide_what_a_result_is(tree, options, result):
    (tree / result).parent.mkdir(parents=True, exist_ok=True)
    (tree / result).write_bytes(encoded(draw()))
    for names in (["in/b.jpg", result], [result, "in/b.jpg"]):
        jobs = listed(names, options)
        assert [(job.source, job.error) for job in jobs] == [("in/b.jpg", None)]


def test_a_picture_in_the_output_folder_that_is_no_result_is_an_input(tree):
    (tree / "out").mkdir()
    (tree / "out/mine.jpg").write_bytes(encoded(draw()))
    assert [job.source for job in listed(["out/mine.jpg"], OutputOptions(out="out"))] == [
        "out/mine.jpg"
    ]
    here = listed(["in/b.jpg"], OutputOptions(out=".", suffix="-new"))
    assert pairs(here) == [("in/b.jpg", "in/b-new.jpg")]


def test_a_list_harms_no_input_and_no_result(tree):
    (tree / "in/b.png").write_bytes(encoded(draw(), "PNG"))
    jobs = listed(["in/b.jpg", "in/b.png"], OutputOptions(out="out/", format=ImageFormat.JPEG))
    assert jobs[0].error is None
    assert "already the result" in jobs[1].error.message
    os.link(tree / "in/b.jpg", tree / "twin.jpg")
    (tree / "there/in").mkdir(parents=True)
    os.link(tree / "in/b.jpg", tree / "there/in/b.jpg")
    (job,) = listed(["in/b.jpg"], OutputOptions(out="there/", overwrite=True))
    assert "overwrite an input" in job.error.message
    for out, base in ((".", None), ("in/", "in")):
        options = OutputOptions(out=out, base=base, suffix="", overwrite=True)
        (job,) = listed(["in/b.jpg"], options)
        assert "overwrite an input" in job.error.message


@pytest.mark.parametrize("out", ["-", "x.jpg"])
def test_a_list_does_not_go_into_one_file(tree, out):
    with pytest.raises(UsageError):
        listed(["in/b.jpg"], OutputOptions(out=out))


def test_in_place_gives_the_picture_another_name(tree):
    (tree / "link.jpg").symlink_to("in/b.jpg")
    options = OutputOptions(backup=".orig")
    (job,) = plan(["in/b.jpg"], False, options)
    assert job.error is None
    assert job.destination == "in/b.jpg"
    assert job.backup == "in/b.jpg.orig"
    first, second = plan(["in/b.jpg", "link.jpg"], False, options)
    assert first.error is None
    assert "already the result" in second.error.message


@pytest.mark.parametrize(
    "options",
    [
        OutputOptions(backup=""),
        OutputOptions(backup="/x"),
        OutputOptions(backup=".jpg"),
        OutputOptions(backup="-orig.JPG"),
        OutputOptions(backup=".old.heic"),
        OutputOptions(backup=".orig", out="out"),
        OutputOptions(backup=".orig", suffix="-x"),
        OutputOptions(backup=".orig", overwrite=True),
        OutputOptions(backup=".orig", format=ImageFormat.PNG),
    ],
)
def test_in_place_needs_a_backup_and_goes_with_no_other_place(tree, options):
    with pytest.raises(UsageError):
        plan(["in/b.jpg"], False, options)
    with pytest.raises(UsageError):
        listed(["in/b.jpg"], options)


def test_names_that_differ_in_case_alone_are_one_where_the_disk_says_so(tree, monkeypatch):
    (tree / "B.jpg").write_bytes(encoded(draw(seed=1)))
    names, options = ["in/b.jpg", "B.jpg"], OutputOptions(out="out")
    assert [job.error for job in plan(names, False, options)] == [None, None]
    monkeypatch.setattr(file_identity, "_ignores_case", lambda folder: True)
    first, second = plan(names, False, options)
    assert first.error is None
    assert "already the result" in second.error.message


@pytest.mark.parametrize("out", ["usb", "usb/empty", "usb/new"])
def test_a_disk_that_ignores_case_is_found_below_one_that_does_not(tree, monkeypatch, out):
    disk = tree / "usb"
    (disk / "empty").mkdir(parents=True)
    real = file_identity.file_identity

    def identity(path):
        place = Path(path)
        if place.parent == disk and place.name.casefold() == "empty":
            place = disk / "empty"
        return real(str(place))

    monkeypatch.setattr(file_identity, "file_identity", identity)
    (tree / "B.jpg").write_bytes(encoded(draw(seed=1)))
    first, second = plan(["in/b.jpg", "B.jpg"], False, OutputOptions(out=f"{out}/"))
    assert first.error is None
    assert "already the result" in second.error.message
    assert not any(job.error for job in plan(["in/b.jpg", "B.jpg"], False, OutputOptions(out="x/")))


def test_symbolic_links_that_lead_in_a_circle_end(tree):
    (tree / "in/sub/up").symlink_to(tree / "in")
    (tree / "in/self.jpg").symlink_to("self.jpg")
    found = [job.source for job in plan(["in"], True, OutputOptions(out="out"))]
    assert found == ["in/a.PNG", "in/b.jpg", "in/self.jpg", "in/sub/d.webp"]


def test_gray_files_of_pnm_become_color_files(tree):
    (tree / "x.pgm").write_bytes(encoded(draw()[..., 0], "PPM"))
    assert pairs(plan(["x.pgm"], False, OutputOptions())) == [("x.pgm", "x-recolored.ppm")]
    assert Job("a").error is None


def test_a_list_may_name_sidecar_files_and_thumbnails(tree):
    folder = tree / "in"
    names = (
        "b-recolored.jpg",
        "b-recolored-compare.jpg",
        "page-thumbnails/0123456789abcdef-after.jpg",
    )
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    listed = ["in/b.jpg", *(f"in/{name}" for name in names)]
    for options in (OutputOptions(), OutputOptions(compare=True)):
        for order in (listed, listed[::-1]):
            assert [job.source for job in plan_lines(order, False, options)] == ["in/b.jpg"]
            assert [job.source for job in plan(order, False, options)] == ["in/b.jpg"]
    assert [job.source for job in plan(["in"], True, OutputOptions())] == [
        *("in/a.PNG", "in/b.jpg", "in/sub/d.webp"),
    ]


def test_a_sidecar_file_is_known_by_its_name_even_with_a_newline_in_it(tree):
    folder = tree / "in"
    names = ("x\ny.jpg", "x\ny-recolored.jpg", "x\ny-recolored-1.jpg", "x\ny-recolored-compare.jpg")
    for name in names:
        (folder / name).write_bytes(b"")
    sources = [job.source for job in plan(["in"], False, OutputOptions())]
    assert sources == ["in/a.PNG", "in/b.jpg", "in/x\ny.jpg"]


def test_names_like_sidecar_files_are_pictures_where_there_is_no_result(tree):
    (tree / "in/b-compare.jpg").write_bytes(b"")
    for options in (OutputOptions(compare=True), OutputOptions(out="out"), OutputOptions()):
        sources = [job.source for job in plan(["in"], False, options)]
        assert sources == ["in/a.PNG", "in/b-compare.jpg", "in/b.jpg"]
        assert not any(job.error for job in plan(["in"], False, OutputOptions()))
    both = plan(["in"], False, OutputOptions(out="out", compare=True))
    assert ["a sidecar file" in str(job.error) for job in both] == [
        False,
        False,
        True,
    ]
    listed = plan_lines(["in/b-compare.jpg", "in/b.jpg"], False, OutputOptions("out", compare=True))
    assert ["a sidecar file" in str(job.error) for job in listed] == [False, True]


def test_what_people_take_for_pictures_is_unsupported_in_a_folder_and_no_failure(tree):
    for name in ("phone.HEIC", "scan.pdf", "sub/raw.nef", ".hidden.heic", "film.mp4"):
        (tree / "in" / name).write_bytes(b"x")
    jobs = plan(["in"], True, OutputOptions(out="out"))
    unsupported_files = {job.source: job.error.message for job in jobs if job.is_unsupported}
    assert unsupported_files == {
        "in/phone.HEIC": "it is a HEIC file, which cannot be read",
        "in/scan.pdf": "it is a PDF file, which cannot be read",
        "in/sub/raw.nef": "it is a camera RAW file, which cannot be read",
        "in/film.mp4": "it is a film, not a picture",
    }
    assert len(jobs) == 7
    named = plan(["in/phone.HEIC"], True, OutputOptions(out="out"))
    assert not named[0].is_unsupported  # who names a file wants it


def test_a_folder_of_unsupported_files_alone_is_told_apart_from_an_empty_one(tmp_path):
    (tmp_path / "phone.heic").write_bytes(b"x")
    with pytest.raises(NoInputsError, match=r"phone\.heic: it is a HEIC file") as caught:
        plan([str(tmp_path)], False, OutputOptions())
    assert "heif-convert" in caught.value.hint


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """Make two boxes of scans whose files have the same names."""
    monkeypatch.chdir(tmp_path)
    for name in ("scans/box1/001.tif", "scans/box2/001.tif", "scans/box2/sub/002.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def destinations(jobs):
    return [destination for _, destination in pairs(jobs)]


def test_several_folders_keep_their_trees_below_their_common_folder(boxes):
    out = OutputOptions(out="out")
    assert destinations(plan(["scans/box1", "scans/box2"], True, out)) == [
        "out/box1/001.tif", "out/box2/001.tif", "out/box2/sub/002.tif",
    ]  # fmt: skip
    # The same files, however they are named.
    os.chdir("scans/box1")
    found = plan([".", str(boxes / "scans/box2/")], True, OutputOptions(out="../../out"))
    assert destinations(found) == [
        "../../out/box1/001.tif", "../../out/box2/001.tif", "../../out/box2/sub/002.tif",
    ]  # fmt: skip
    os.chdir(boxes)
    (boxes / "cover.tif").write_bytes(b"x")
    found = plan(["cover.tif", "scans/box1", "scans/box2"], False, out)
    assert destinations(found) == ["out/cover.tif", "out/scans/box1/001.tif",
                                   "out/scans/box2/001.tif"]  # fmt: skip


def test_a_folder_that_holds_the_other_is_the_base(boxes):
    expected = ["out/box1/001.tif", "out/box2/001.tif", "out/box2/sub/002.tif"]
    assert destinations(plan(["scans", "scans/box2"], True, OutputOptions(out="out"))) == expected


def test_a_single_folder_is_its_own_base(boxes):
    for inputs in (["scans/box1"], ["scans/box1", "./scans/box1/"]):
        assert destinations(plan(inputs, True, OutputOptions(out="out"))) == ["out/001.tif"]
    with_file = plan(["scans/box2/sub/002.tif", "scans/box1"], True, OutputOptions(out="out"))
    assert destinations(with_file) == ["out/002.tif", "out/001.tif"]


def test_files_on_the_command_line_collide_without_a_base(boxes):
    names = ["scans/box1/001.tif", "scans/box2/001.tif"]
    first, second = plan(names, False, OutputOptions(out="out"))
    assert first.destination == "out/001.tif"
    assert "--base" in second.error.hint
    for base in ("scans", str(boxes / "scans"), "./scans/../scans/"):
        kept = plan(names, False, OutputOptions(out="out", base=base))
        assert destinations(kept) == ["out/box1/001.tif", "out/box2/001.tif"]
    single = plan(["scans/box1"], False, OutputOptions(out="out", base="."))
    assert destinations(single) == ["out/scans/box1/001.tif"]


def test_a_list_keeps_its_tree_below_the_current_folder_or_the_base(boxes):
    names = ["scans/box1/001.tif", "./scans/box2/001.tif", str(boxes / "scans/box2/sub")]
    tree = ["scans/box1/001.tif", "scans/box2/001.tif", "scans/box2/sub/002.tif"]
    assert destinations(listed(names, OutputOptions(out="out"))) == [f"out/{n}" for n in tree]
    below = listed(names, OutputOptions(out="out", base="scans"))
    assert destinations(below) == [f"out/{n.removeprefix('scans/')}" for n in tree]
    os.chdir("scans/box1")  # the other box lies outside
    outside = listed(["001.tif", "../box2/sub/002.tif"], OutputOptions(out="../out"))
    assert destinations(outside) == ["../out/001.tif", "../out/002.tif"]


def test_an_input_outside_the_base_is_refused_alone(boxes):
    inside, outside = listed(
        ["scans/box1/001.tif", "scans/box2/001.tif"], OutputOptions(out="out", base="scans/box1")
    )
    assert inside.destination == "out/001.tif"
    assert "does not lie in the folder scans/box1" in outside.error.message


@pytest.mark.parametrize(
    ("out", "base"), [(None, "scans"), ("x.tif", "scans"), ("-", "scans"), ("out", "missing")]
)
def test_a_base_needs_a_folder_of_results_and_must_exist(boxes, out, base):
    with pytest.raises(UsageError, match="--base"):
        plan(["scans/box1/001.tif"], False, OutputOptions(out=out, base=base))


def test_the_hint_of_a_collision_fits_where_the_files_lie():
    of_one_folder = conflict_error(Job("in/x.wmv", "out/x.mkv"), "in/x.avi")
    assert "another -o or --suffix" in of_one_folder.hint
    of_two = conflict_error(Job("two/x.tif", "out/x.tif"), "one/x.tif")
    assert "--base FOLDER" in of_two.hint

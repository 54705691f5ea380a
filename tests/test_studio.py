"""The studio without a browser: its answers, its saves, and the commands that it tells."""

import errno
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest
from failing import crash, crash_once, refuse, stay
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from conftest import draw, encoded
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import DiskFullError, InputError, RecolorError, UsageError
from recolor_cli.guidance.likely_colors import likely_colors
from recolor_cli.serve.bodies import Memory
from recolor_cli.serve.problems import RefusedError, problem, recolor_problem
from recolor_cli.serve.settings import Limits, ServeSettings
from recolor_cli.serve.studio import kept
from recolor_cli.serve.studio import studio as studio_module
from recolor_cli.serve.studio.guides import Guides
from recolor_cli.serve.studio.own_process import OwnProcess
from recolor_cli.serve.studio.routes import studio_routes
from recolor_cli.serve.studio.shelf import Shelf
from recolor_cli.serve.studio.shell_words import shell_word
from recolor_cli.serve.studio.studio import ExistsError, Studio
from recolor_cli.serve.studio.wishes import PaletteWish, Wishes

ODD_NAMES = [
    'it\'s "quoted" & $HOME `id`.jpg',
    "-dash * ?.png",
    "caf\u00e9 \u65e5\u672c.tif",
    "line\nbreak\t.jpg",
    os.fsdecode(b"no utf-8 \xff.png"),
    "a,b,c.jpg",
]
GPL = b"GIMP Palette\n#\n200 16 46 red\n242 193 78 gold\n"


def picture(seed=1, height=120, width=90):
    rgb = draw(height, width, seed).copy()
    rgb[: height // 2] //= 2
    return rgb


def mask_file():
    levels = np.zeros((120, 90), np.uint8)
    levels[:, :60] = 255
    return encoded(levels, "PNG")


@pytest.fixture(scope="module")
def studio_of():
    """Return a function that makes studios, which share a reader and a writer.

    Each process of its own takes a second of CPU time to start.
    """
    made, processes = [], cycle([OwnProcess(), OwnProcess()])

    def make(folder, **values):
        made.append(Studio(ServeSettings(inputs=(str(folder),), device="cpu", **values)))
        return made[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(studio_module, "OwnProcess", lambda seconds: next(processes))
        yield make
    for studio in made:
        studio.close()


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(ODD_NAMES):
        Image.fromarray(picture(number)).save(
            tmp_path / name, "PNG" if name.endswith("png") else None
        )
    return tmp_path


def words_of(command):
    """Return the words that a shell makes of a command."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], stdout=subprocess.PIPE)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


def keys_of(studio):
    return {each["name"]: each["key"] for each in studio.listing()}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_the_copied_command_makes_the_saved_file(recolor, folder, studio_of, tmp_path, monkeypatch):
    studio = studio_of(folder)
    keys = [each["key"] for each in studio.listing()]
    assert len(keys) == len(ODD_NAMES)
    palette = studio.guides.add("my palette.gpl", GPL)
    dropped = studio.shelf.add("x/../dropped one.png", encoded(picture(9), "PNG"))
    hints = [
        {"x": 20, "y": 30, "color": "#205a3c"},
        {"x": 61.5, "y": 100, "color": "gold", "radius": 7.25},
    ]
    wished = [
        {},
        {"hints": hints, "palette": {"kind": "file", "text": palette}},
        {"mask": studio.guides.add("mask.png", mask_file()), "only_gray": True, "strength": 1.35},
        {"palette": {"kind": "name", "text": "1950s"}, "palette_strength": 0.45, "pick": 3},
        {"palette": {"kind": "picture", "text": keys[0]}, "temperature": 0.217, "seed": 2},
        {"palette": {"kind": "picture", "text": dropped.key}, "hints": hints[:1], "pick": 2},
    ]
    saved_files = {}
    for key, wishes in zip(keys, wished, strict=True):
        saved = studio.save(key, Wishes.parse(wishes), replace=False)
        assert saved.command == studio.command(key, Wishes.parse(wishes)).command
        path = studio.shelf.picture(key).destination
        saved_files[path] = path.read_bytes()
        path.unlink()
        program, *arguments = words_of(saved.command)
        assert program == "recolor"
        recolor(*arguments)
        assert path.read_bytes() == saved_files[path]
    assert len(set(saved_files.values())) == len(keys)
    # What lies beside the results is no picture of the folder.
    assert len([each for each in studio.listing() if not each["dropped"]]) == len(ODD_NAMES)
    assert all(each["done"] for each in studio.listing() if not each["dropped"])

    wishes = Wishes.parse({"hints": hints, "mask": wished[2]["mask"]})
    saved = studio.save(dropped.key, wishes, replace=False)
    elsewhere = tmp_path / "where the user has it"
    elsewhere.mkdir()
    for path in (dropped.source, *saved.files):
        shutil.copy(path, elsewhere)
    monkeypatch.chdir(elsewhere)
    recolor(*words_of(saved.command)[1:])
    result = dropped.destination
    assert (elsewhere / result.name).read_bytes() == result.read_bytes()


def test_16_bits_profile_and_metadata_stay(tmp_path, studio_of):
    from recolor_cli.image.decode import decode_pages

    levels = (picture().astype(np.uint16) << 8) + 77
    import imagecodecs

    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(levels))
    studio = studio_of(tmp_path)
    key = keys_of(studio)["deep.png"]
    studio.preview(key, Wishes())
    studio.save(key, Wishes(), replace=False)
    page = next(decode_pages((tmp_path / "deep-recolored.png").read_bytes()))
    assert page.rgb.dtype == np.uint16
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "deep-recolored.png").read_bytes()


def test_a_result_is_replaced_only_when_that_is_said(tmp_path, studio_of):
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "a-recolored.png").write_bytes(b"mine")
    studio = studio_of(tmp_path)
    key = keys_of(studio)["a.png"]
    with pytest.raises(ExistsError, match="exists already"):
        studio.save(key, Wishes(), replace=False)
    assert (tmp_path / "a-recolored.png").read_bytes() == b"mine"
    studio.save(key, Wishes(), replace=True)
    assert (tmp_path / "a-recolored.png").read_bytes() != b"mine"


def decoded(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)


def test_a_preview_looks_like_the_result(tmp_path, studio_of):
    (tmp_path / "a.png").write_bytes(encoded(picture(3, 300, 200), "PNG"))
    studio = studio_of(tmp_path)
    key = keys_of(studio)["a.png"]
    mask = studio.guides.add("m.png", encoded(np.tri(300, 200, dtype=np.uint8) * 255, "PNG"))
    for number, values in enumerate(
        (
            {"hints": [{"x": 50, "y": 200, "color": "red", "radius": 9}], "strength": 1.3},
            {"palette": {"kind": "colors", "text": "#c8102e,#123456"}, "temperature": 0.2},
            {"pick": 2, "only_gray": True, "mask": mask},
        )
    ):
        wishes = Wishes.parse(values)
        preview = decoded(studio.preview(key, wishes))
        studio.save(key, wishes, replace=number > 0)
        result = np.asarray(Image.open(tmp_path / "a-recolored.png")).astype(int)
        assert preview.shape == result.shape
        assert np.abs(preview - result).mean() < 1.5
        assert preview.std(axis=2).max() > 5  # it has color
        # A detail shows the same, before above after.
        before, after = np.split(decoded(studio.detail(key, wishes, (0, 0, 0.5, 0.5), 500)), 2)
        assert after.shape == (150, 100, 3)
        assert np.abs(after - result[:150, :100]).mean() < 1.5
        assert np.abs(before - picture(3, 300, 200)[:150, :100]).mean() < 2.5


@pytest.fixture
def steered(tmp_path, studio_of):
    """Save a.png with all that can be chosen; return answer, wishes, key and folder."""
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "b.png").write_bytes(encoded(picture(2), "PNG"))
    studio = studio_of(tmp_path)
    wishes = Wishes.parse(
        {
            "hints": [
                {"x": 20, "y": 30, "color": "#205a3c", "radius": 7.25},
                {"x": 61.5, "y": 100, "color": "gold"},
            ],
            "palette": {"kind": "file", "text": studio.guides.add("my palette.gpl", GPL)},
            "palette_strength": 0.45,
            "temperature": 0.217,
            "strength": 1.35,
            "only_gray": True,
            "mask": studio.guides.add("mask.png", mask_file()),
            "pick": 3,
            "seed": 2,
        }
    )
    key = keys_of(studio)["a.png"]
    return studio.save(key, wishes, False), wishes, key, tmp_path


def sent(choices):
    """Return choices as the page sends them back."""
    palette = choices.get("palette")
    kept = {"palette": {name: palette[name] for name in ("kind", "text")}} if palette else {}
    return Wishes.parse(choices | kept)


def test_saved_choices_are_there_after_a_restart(steered, studio_of):
    saved, wishes, key, folder = steered
    later = studio_of(folder)
    described = later.describe(key)
    assert "choices_error" not in described
    assert len(described["choices"]["palette"]["colors"]) == 2
    assert sent(described["choices"]) == wishes
    assert later.guides.path(described["choices"]["mask"]).read_bytes() == mask_file()
    assert later.command(key, sent(described["choices"])).command == saved.command

    # Another picture's colors, without all else.
    other = keys_of(later)["b.png"]
    wishes = Wishes.parse({"palette": {"kind": "picture", "text": other}})
    later.save(key, wishes, replace=True)
    choices = studio_of(folder).describe(key)["choices"]
    assert sent(choices) == wishes
    assert choices["palette"]["label"] == "b.png"

    later.save(key, Wishes(), replace=True)
    assert studio_of(folder).describe(key)["choices"] == {}
    later.save(other, Wishes(), replace=False)
    assert not (folder / "b-recolored.png-studio.json").exists()  # nothing was chosen


@pytest.mark.parametrize("through", ["the folder", "the picture", "a link"])
def test_choices_are_there_again_for_a_picture_that_was_named_itself(tmp_path, studio_of, through):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(), "PNG"))
    if through == "a link":
        (tmp_path / "named").mkdir()
        path = tmp_path / "named/link.png"
        path.symlink_to(tmp_path / "a.png")
    named = tmp_path if through == "the folder" else path
    studio = studio_of(named)
    (key,) = keys_of(studio).values()
    mask = studio.guides.add("mask.png", mask_file())
    studio.save(key, Wishes.parse({"strength": 0.5, "mask": mask}), replace=False)
    later = studio_of(named)
    assert later.describe(key)["choices"]["strength"] == 0.5
    assert later.describe(key)["choices"]["mask"]
    # Only files of its own: another one beside it, or a link to one, opens nothing.
    saved = path.with_name(f"{path.stem}-recolored.png-mask.png")
    saved.replace(path.parent / "other.png")
    saved.symlink_to(path.parent / "other.png")
    if through != "the folder":
        assert "beside it" in later.describe(key)["choices_error"]


def test_pictures_of_one_stem_have_choices_of_their_own(tmp_path, studio_of):
    (tmp_path / "a.png").write_bytes(encoded(picture(1), "PNG"))
    (tmp_path / "a.jpg").write_bytes(encoded(picture(2), "JPEG"))
    studio = studio_of(tmp_path)
    keys = keys_of(studio)
    for name, strength in (("a.png", 0.5), ("a.jpg", 0.7)):
        wishes = {"strength": strength, "mask": studio.guides.add("mask.png", mask_file())}
        studio.save(keys[name], Wishes.parse(wishes), replace=False)
    for name, strength in (("a.png", 0.5), ("a.jpg", 0.7)):
        assert studio_of(tmp_path).describe(keys[name])["choices"]["strength"] == strength
    assert sorted(keys_of(studio_of(tmp_path))) == ["a.jpg", "a.png"]  # masks are no pictures


def test_a_palette_in_use_outlives_many_strokes_on_a_mask(tmp_path, studio_of):
    studio = studio_of(tmp_path)
    palette = studio.guides.add("my palette.gpl", GPL)
    for stroke in range(300):
        studio.guides.add("mask.png", b"%d" % stroke)
        if stroke % 100 == 0:
            assert studio.guides.path(palette).is_file()
    assert studio.guides.path(palette).is_file()


def test_the_palette_of_a_picture_that_changed_is_read_anew(tmp_path, studio_of):
    for name, level in (("a.png", (200, 16, 46)), ("b.png", (10, 160, 40))):
        Image.new("RGB", (64, 64), level).save(tmp_path / name)
    studio = studio_of(tmp_path)
    wish = Wishes.parse({"palette": {"kind": "picture", "text": keys_of(studio)["a.png"]}}).palette
    before = studio.palette_colors(wish)
    (tmp_path / "b.png").replace(tmp_path / "a.png")
    assert studio.palette_colors(wish) != before


def test_choices_that_do_not_fit_are_told_and_not_used(steered, studio_of):
    *_, key, folder = steered
    path = folder / "a-recolored.png-studio.json"
    whole = json.loads(path.read_bytes())
    outside = [{"x": 900, "y": 1, "color": "red"}]

    def told():
        described = studio_of(folder).describe(key)
        assert "choices" not in described
        return described["choices_error"]

    for data, said in (
        (b"{", "a-recolored.png-studio.json: "),
        (b"7", "not used"),
        (b"[" * 100_000, "not used"),
        (b" " * (2 << 20), "too large"),
        (json.dumps(whole | {"strength": 9}).encode(), "not within"),
        (json.dumps(whole | {"picture": "0"}).encode(), "made for another picture"),
        (json.dumps(whole | {"hints": outside}).encode(), "outside the picture"),
        (json.dumps(whole | {"mask": "."}).encode(), "a-recolored.png-studio.json: "),
        (json.dumps(whole | {"mask": "a\0"}).encode(), "a-recolored.png-studio.json: "),
        (json.dumps(whole | {"mask": "/etc/passwd"}).encode(), "no /etc/passwd beside it"),
        (json.dumps(whole | {"palette": {"kind": "file", "text": "x.gpl"}}).encode(), "no x.gpl"),
        (
            json.dumps(whole | {"palette": {"kind": "picture", "text": "/etc/passwd"}}).encode(),
            "no such picture",
        ),
    ):
        path.write_bytes(data)
        assert said in told()
    path.write_text(json.dumps(whole))
    (folder / "a.png").write_bytes(encoded(picture(5), "PNG"))
    assert "another picture" in told()
    path.unlink()
    path.symlink_to(folder.parent)
    assert "choices" not in studio_of(folder).describe(key)


def test_the_network_runs_once_for_a_picture(tmp_path, studio_of, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    studio = studio_of(tmp_path)
    runs = []
    network = studio.network
    distribution = type(network).distribution
    monkeypatch.setattr(
        type(network), "distribution", lambda *a: runs.append(1) or distribution(*a)
    )
    key = keys_of(studio)["a.png"]
    for strength in (0.5, 1, 1.5):
        studio.preview(key, Wishes(strength=strength))
    studio.suggestions(key, 5, 5)
    assert decoded(studio.variants(key, Wishes())).shape == (120, 4 * 90, 3)
    assert len(runs) == 1


def test_suggestions_are_the_modes_of_the_distribution(tmp_path, studio_of):
    bins = AbBins.srgb()
    p = np.full(len(bins), 1e-6, np.float32)
    for ab, weight in (((40, 30), 0.6), ((-40, 24), 0.25), ((0, -40), 0.1)):
        near = np.square(bins.centers - ab).sum(axis=1)
        p += weight * np.exp(-near / 32) / np.exp(-near / 32).sum()
    p /= p.sum()
    found = likely_colors(p, bins, 1.5, 5)
    np.testing.assert_allclose([c.share for c in found[:3]], (0.63, 0.26, 0.1), atol=0.03)
    np.testing.assert_allclose((found[0].a, found[0].b), (60, 45), atol=1)

    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    studio = studio_of(tmp_path)
    said = studio.suggestions(keys_of(studio)["a.png"], 89, 119)
    assert 1 <= len(said["colors"]) <= 5
    assert 0 <= said["lightness"] <= 100
    shares = [color["share"] for color in said["colors"]]
    assert all(0 < share <= 1 for share in shares)


def test_files_outside_the_folders_are_neither_listed_nor_read(tmp_path, studio_of):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.png").write_bytes(encoded(picture(), "PNG"))
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "own.png").write_bytes(encoded(picture(), "PNG"))
    studio = studio_of(inside)
    assert list(keys_of(studio)) == ["own.png"]
    for key in ("../out/secret.png", "link.png", "0" * 18):
        with pytest.raises(InputError, match="no such picture"):
            studio.preview(key, Wishes())
    for key in ("../../etc/passwd", "0" * 18, "x"):
        with pytest.raises(UsageError, match="gone"):
            studio.guides.path(key)
    (outside / "real").mkdir()
    (outside / "real" / "x.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "alias").symlink_to(outside / "real")
    assert list(keys_of(studio_of(tmp_path / "alias"))) == ["x.png"]  # a folder that was named


def test_a_file_that_crashes_its_decoder_is_told_and_costs_nothing_else(
    studio_of, tmp_path, monkeypatch
):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(picture(), "PNG"))
    studio = studio_of(tmp_path)
    key, other = keys_of(studio)["a.png"], keys_of(studio)["b.png"]
    for name, ask in (
        ("studio.read_picture", lambda: studio.preview(key, Wishes())),
        ("studio._read_thumbnail", lambda: studio.thumbnail(key, False)),
        ("guides.read_mask", lambda: studio.guides.mask(studio.guides.add("m.png", mask_file()))),
        ("results._make_result", lambda: studio.save(other, Wishes(), False)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(f"recolor_cli.serve.studio.{name}", crash)
            with pytest.raises(InputError, match="the process that read it crashed"):
                ask()
    assert studio.preview(other, Wishes())
    assert studio.thumbnail(other, False)
    assert studio.save(other, Wishes(), False).command
    assert (tmp_path / "b-recolored.png").exists()


def test_a_process_that_dies_once_is_replaced(tmp_path):
    process = OwnProcess()
    assert process.call(crash_once, tmp_path / "crashed") not in (0, os.getpid())
    with pytest.raises(UsageError, match="is no size"):
        process.call(refuse)
    process.close()


def test_what_takes_too_long_is_ended():
    process = OwnProcess(0.1)
    with pytest.raises(InputError, match=r"took longer than 0\.1 s"):
        process.call(time.sleep, 600)
    process._seconds = None
    assert process.call(os.getpid) != os.getpid()
    process.close()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_stop_refuses_what_waits_and_finishes_what_does_not_hang(tmp_path, hangs):
    process, began = OwnProcess(), tmp_path / "began"
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(process.call, stay, began)
        while not (began.exists() or working.done()):
            time.sleep(0.01)
        waiting = threads.submit(process.call, os.getpid)
        process.stop()
        if hangs:
            process.close()
        else:
            began.unlink()
            assert working.result() not in (0, os.getpid())
        for refused in (working, waiting) if hangs else (waiting,):
            with pytest.raises(RefusedError, match="the server stops"):
                refused.result()
    process.close()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no signals")
def test_its_processes_end_with_a_server_that_is_killed():
    program = (
        "import os, time\n"
        "from recolor_cli.serve.studio.own_process import OwnProcess\n"
        "if __name__ == '__main__':\n"
        "    print(OwnProcess().call(os.getpid), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as server:
        assert int(server.stdout.readline()) != server.pid
        server.kill()
        server.communicate(timeout=60)  # as long as any of them has standard output open


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    def fail(path, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    shelf = Shelf((), tmp_path / "dropped")
    guides = Guides(tmp_path, None, None, 1)
    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "replace", fail)
        with pytest.raises(DiskFullError):
            shelf.add("a.png", encoded(picture(), "PNG"))
        with pytest.raises(DiskFullError) as raised:
            guides.add("a.png", mask_file())
    assert not [path for path in tmp_path.rglob("*") if path.name != "dropped"]
    answer = problem(raised.value)
    assert answer.status_code == 507
    assert b"see that the server may write there" in answer.body


def test_what_was_sent_is_kept_up_to_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "_MAX_BYTES", 40_000)
    shelf, guides = Shelf((), tmp_path / "dropped"), Guides(tmp_path / "guides", None, None, 1)
    for number in range(4):
        shelf.add(f"{number}.png", encoded(picture(), "PNG") + bytes(15_000))
        guides.add("a.gpl", GPL + bytes([number]) * 19_000)
    assert [each.source.name for each in shelf.pictures()] == ["3.png"]
    assert len(list((tmp_path / "dropped").iterdir())) == 1
    assert len(list((tmp_path / "guides").iterdir())) == 2


def test_pictures_and_guides_have_no_more_pixels_than_the_server_takes(tmp_path, studio_of):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    studio = studio_of(tmp_path, limits=Limits(pixels=5000))
    key = studio.listing()[0]["key"]
    sent = studio.guides.add("mask.png", mask_file())
    for ask in (
        lambda: studio.thumbnail(key, False),
        lambda: studio.describe(key),
        lambda: studio.guides.mask(sent),
        lambda: studio.guides.palette(PaletteWish("file", sent)),
    ):
        with pytest.raises(RecolorError, match=r"declares 10,800 pixels, more than the 5,000"):
            ask()


def test_what_was_dropped_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(studio_module, "OwnProcess", OwnProcess)  # no shared one, which ends
    studio = Studio(ServeSettings(device="cpu"))
    dropped = studio.shelf.add("../../etc/x\x00y\n.png", encoded(picture(), "PNG"))
    assert dropped.source.name == "xy.png"
    assert studio.shelf.add("photo", encoded(picture(), "JPEG")).source.name == "photo.jpg"
    with pytest.raises(InputError, match="no picture"):
        studio.shelf.add("x.png", b"<svg>")
    room = dropped.source.parents[2]
    for number in range(70):
        studio.shelf.add(f"{number}.png", encoded(picture(), "PNG"))
    assert len(studio.listing()) == 64
    assert not dropped.source.exists()
    studio.close()
    assert not room.exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no wishes"),
        ({"strength": 4}, "not within"),
        ({"strength": float("nan")}, "not within"),
        ({"temperature": 0}, "not within"),
        ({"hints": [{"x": 1, "y": 2}]}, "cannot be read"),
        ({"hints": [{"x": 1, "y": 2, "color": "rot"}]}, "is not a color"),
        ({"hints": [{"x": -1, "y": 2, "color": "red"}]}, "not within"),
        ({"hints": 7}, "cannot be read"),
        ({"hints": [{}] * 501}, "more than 500"),
        ({"palette": {"kind": "path", "text": "/etc"}}, "no kind"),
        ({"palette": {"kind": "colors", "text": "#123," * 40}}, "more than"),
        ({"model": "x"}, "no wishes called model"),
        ({"pick": 17}, "not within"),
    ],
)
def test_wishes_that_cannot_be_read(values, said):
    if values == []:
        assert Wishes.parse(values) == Wishes()
        return
    with pytest.raises(UsageError, match=said):
        Wishes.parse(values)


@pytest.mark.parametrize("kind", ["name", "file", "picture", "colors"])
def test_a_palette_is_no_way_to_other_files(kind, studio_of, tmp_path):
    (tmp_path / "p.gpl").write_bytes(GPL)
    studio = studio_of(tmp_path)
    with pytest.raises(RecolorError):
        studio.guides.options(
            Wishes.parse({"palette": {"kind": kind, "text": str(tmp_path / "p.gpl")}})
        )


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize("name", [*ODD_NAMES, "", "plain", "\\x41", "\x7f\x1b[31m", "\u2028"])
def test_a_shell_reads_a_word_as_it_is(name):
    word = shell_word(name)
    assert word.isprintable()
    assert words_of(word) == [name]


@pytest.fixture
def client(folder, studio_of):
    routes = studio_routes(studio_of(folder), 1 << 20, Memory(4 << 20))
    return TestClient(Starlette(routes=routes, exception_handlers={RecolorError: recolor_problem}))


def test_answers_to_the_page(client, folder):
    assert "recolor" in client.get("/").text
    listed = client.get("/studio/pictures").json()
    at = f"/studio/pictures/{listed[0]['key']}"
    described = client.get(at).json()
    assert (described["width"], described["height"]) == (90, 120)
    for path in ("thumbnail", "thumbnail?of=result", "before"):
        assert decoded(client.get(f"{at}/{path}").content).shape == (120, 90, 3)
    answer = client.post(f"{at}/preview", json={"strength": 2})
    assert answer.headers["content-type"] == "image/jpeg"
    assert "work;dur=" in answer.headers["server-timing"]
    assert len(client.get(f"{at}/colors?x=1&y=2").json()["colors"]) > 0
    saved = client.post(f"{at}/save", json={"wishes": {}})
    assert saved.status_code == 200
    assert saved.json()["result"]["address"] == ""  # it is in the folder
    again = client.post(f"{at}/save", json={"wishes": {}})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    assert client.post(f"{at}/save", json={"wishes": {}, "replace": True}).status_code == 200
    assert client.get(f"{at}/files/{listed[0]['name']}").status_code == 400  # not a dropped one
    (folder / saved.json()["result"]["name"]).unlink()
    (folder / saved.json()["result"]["name"]).mkdir()
    assert not any(each["done"] for each in client.get("/studio/pictures").json())
    assert client.post(f"{at}/save", json={"wishes": {}}).status_code == 422

    sent = client.post(
        "/studio/pictures",
        content=encoded(picture(), "PNG"),
        headers={"X-File-Name": "my%20caf%C3%A9.png"},
    )
    at = f"/studio/pictures/{sent.json()['key']}"
    saved = client.post(f"{at}/save", json={"wishes": {}}).json()
    result = client.get(saved["result"]["address"])
    assert result.headers["content-disposition"].startswith("attachment")
    assert decoded(result.content).shape == (120, 90, 3)
    assert client.get(f"{at}/files/..%2F..%2Fetc%2Fpasswd").status_code in (400, 404)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("pictures/none/preview", b"{}", 422),
        ("pictures/KEY/preview", b"[", 400),
        ("pictures/KEY/preview", b"[]", 400),
        ("pictures/KEY/preview", b"[" * 100_000, 400),
        ("pictures/KEY/preview", b'{"mask": "0123"}', 400),
        ("pictures/KEY/preview", b'{"strength": 1' + b"0" * 400 + b"}", 400),
        ("pictures/KEY/preview", b'{"x\\ud800": 1}', 400),
        ("palette", b'{"kind": "name", "text": "x\\ud800"}', 400),
        ("pictures/KEY/preview", b'{"hints": [{"x": 5000, "y": 1, "color": "red"}]}', 422),
        ("pictures/KEY/preview", b" " * (1 << 21), 413),
        ("pictures/KEY/detail", b'{"wishes": {}, "box": [1, 0, 0, 1], "side": 9}', 400),
        ("pictures/KEY/detail", b'{"wishes": {}, "box": [0, 0, 1], "side": 9}', 400),
        ("pictures/KEY/detail", b'{"wishes": {}, "box": [0, 0, 1, NaN], "side": 1e999}', 400),
        ("pictures", b"no picture", 422),
        ("pictures", b"x" * (1 << 21), 413),
        ("palette", b"{}", 400),
        ("palette", b'{"kind": "name", "text": "nope"}', 400),
    ],
)
def test_requests_that_make_no_sense_are_problems(client, path, body, status):
    key = client.get("/studio/pictures").json()[0]["key"]
    answer = client.post(f"/studio/{path.replace('KEY', key)}", content=body)
    assert answer.status_code == status
    problem = json.loads(answer.content)
    assert problem["detail"]
    assert problem["hint"]

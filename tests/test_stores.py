"""Pictures on stores: a real server of S3, and file systems of fsspec's for what is quick."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from s3_server import CREDENTIALS, Proxy, moto_server

from conftest import SpyNetwork, draw, encoded
from recolor_cli.batch import targets as batch_targets
from recolor_cli.batch import watch
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan, plan_lines
from recolor_cli.batch.preflight import Preflight
from recolor_cli.batch.run import run_with_workers
from recolor_cli.batch.shard import Shard
from recolor_cli.batch.skip_rule import missing_outputs
from recolor_cli.batch.threads import ThreadWorkers
from recolor_cli.commands import film_run, run
from recolor_cli.errors import FolderError, InputError, OutputError, UsageError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system import files, places, s3_listing, stores
from recolor_cli.system.listing import Listing
from recolor_cli.system.places import is_address, local_name, relative_to
from recolor_cli.terminal.console import Console
from recolor_cli.video.film_options import FilmOptions
from video_clips import make

fsspec = pytest.importorskip("fsspec")
LIBRARIES = ("fsspec", "s3fs", "botocore", "aiohttp", "gcsfs", "adlfs", "paramiko")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("moto")
    with moto_server(tmp_path_factory.mktemp("moto")) as port:
        proxy = Proxy(port)
        yield proxy
        proxy.close()


@pytest.fixture
def s3(server, monkeypatch):
    """Return a file system with an empty bucket, of which the program knows by its variables."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server.fails = lambda method, path: False
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3", use_listings_cache=False)
    if system.exists("posters"):
        system.rm("posters", recursive=True)
    system.mkdir("posters")
    server.seen.clear()
    return system


@pytest.fixture
def memory(monkeypatch):
    """Return a file system in the memory of this process, as one of the stores."""
    monkeypatch.setitem(places.SCHEMES, "memory", "fsspec")
    stores.LISTINGS.forget()
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    stores.LISTINGS.forget()


def fill(system, root, files=("a.jpg", "1931/b.jpg", "1931/c.png")):
    for seed, name in enumerate(files):
        image_format = "PNG" if name.endswith("png") else "JPEG"
        system.pipe_file(f"{root}/{name}", encoded(draw(seed=seed), image_format))


def listings(server):
    return [path for method, path in server.seen if "list-type" in path]


def test_a_run_on_disks_loads_no_library_of_stores(poster, tmp_path):
    program = (
        "import sys\nfrom recolor_cli.cli import main\n"
        f"assert main([{str(poster)!r}, '-o', {str(tmp_path / 'out/')!r}]) == 0\n"
        f"assert main([{str(tmp_path)!r}, '-n', '-r', '-o', {str(tmp_path / 'out/')!r}]) == 0\n"
        f"print([name for name in {LIBRARIES} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr


@pytest.mark.processes
def test_a_tree_on_s3_is_recolored_as_on_a_disk_and_then_skipped(recolor, s3, server, tmp_path):
    fill(s3, "posters/in")
    s3.pipe_file("posters/in/notes.txt", b"x")
    s3.pipe_file("posters/in/.hidden.jpg", b"x")
    s3.pipe_file("posters/in/1931/x.heic", b"x")
    s3.get("posters/in/", str(tmp_path / "in"), recursive=True)
    expected, _ = recolor(tmp_path / "in", "-o", tmp_path / "out", "-r", "--compare", "-j", "1")
    server.seen.clear()
    out, told = recolor("s3://posters/in", "-o", "s3://posters/new/", "-r", "--compare")
    asked = Counter(method for method, path in server.seen if path.rpartition(".")[2] in "jpgpng")
    # An earlier comparison is removed before there is another result.
    assert asked == {"GET": 3, "DELETE": 3, "PUT": 6}
    assert out.decode().replace("s3://posters/new/", f"{tmp_path}/out/") == expected.decode()
    assert "3 written, 1 left out" in told
    made = {path.removeprefix("posters/new/") for path in s3.find("posters/new")}
    assert made == {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    for name in made:
        assert s3.cat_file(f"posters/new/{name}") == (tmp_path / "out" / name).read_bytes()
    assert (
        s3.call_s3("head_object", Bucket="posters", Key="new/a.jpg")["ContentType"] == "image/jpeg"
    )
    server.seen.clear()
    out, told = recolor("s3://posters/in", "-o", "s3://posters/new/", "-r", "--compare")
    assert (out, "3 skipped" in told) == (b"", True)
    assert len(server.seen) == len(listings(server)) <= 3  # is it a folder? its pictures, results


def test_pictures_go_from_disk_to_store_and_back(recolor, s3, poster, tmp_path):
    out, _ = recolor(poster, "-o", "s3://posters/new/")
    assert out == b"s3://posters/new/poster.jpg\n"
    recolor("s3://posters/new/poster.jpg", "-o", tmp_path / "again.png")
    recolor("s3://posters/new/poster.jpg")
    assert s3.find("posters") == ["posters/new/poster-recolored.jpg", "posters/new/poster.jpg"]
    assert (tmp_path / "again.png").exists()
    assert "exists, skipped" in recolor("s3://posters/new/poster.jpg")[1]


def test_a_key_is_taken_as_it_is(recolor, s3):
    fill(s3, "posters/in", ["a.jpg", "a.jpg::2.jpg", "file::s3.jpg", "h#x.jpg", "q?x y.jpg"])
    s3.pipe_file("posters/in/v", b"x")
    assert "5 written" in recolor("s3://posters/in/", "-o", "s3://posters/n::w/")[1]
    assert len(s3.find("posters/n::w")) == 5
    address = "s3://posters/in/v?versionId=1.jpg"
    assert "would take another object for it" in recolor(address, exit_code=1)[1]


def test_one_picture_lists_no_folder_of_millions(recolor, s3, server):
    fill(s3, "posters/in", ["a.jpg", "b.jpg"])
    server.seen.clear()
    recolor("s3://posters/in/a.jpg")
    assert [path.partition("prefix=")[2][:15] for path in listings(server)] == [
        "in%2Fa-recolored"[:15]
    ]


def test_a_list_of_addresses(recolor, s3, server, tmp_path):
    fill(s3, "posters/in")
    s3.pipe_file("posters/new/a.jpg", b"done")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"s3://posters/in/{n}\n" for n in ("a.jpg", "1931/b.jpg", "z.jpg")))
    lines, _ = recolor(
        "--files-from", listed, "--base", "s3://posters/in", "-o", "s3://posters/new", "--json",
        exit_code=1,
    )  # fmt: skip
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [(row["destination"], row["status"]) for row in rows] == [
        ("s3://posters/new/a.jpg", "skipped"),
        ("s3://posters/new/1931/b.jpg", "written"),
        ("s3://posters/new/z.jpg", "failed"),
    ]
    assert rows[2]["error"] == "there is no such object"
    assert len(listings(server)) == 1  # of the results


def test_a_store_that_is_busy_is_asked_again(recolor, s3, server):
    fill(s3, "posters/in", ["a.jpg"])
    answered: dict[str, int] = {}

    def fails(method, path):
        answered[method] = answered.get(method, 0) + 1
        return answered[method] == 1

    server.fails = fails
    recolor("s3://posters/in/a.jpg", "-o", "s3://posters/new/")
    assert s3.find("posters/new") == ["posters/new/a.jpg"]


@pytest.mark.slow
def test_a_store_that_stays_busy_costs_the_picture_alone(recolor, s3, server, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of each of the tries of s3fs
    fill(s3, "posters/in", ["a.jpg", "b.jpg", "c.jpg"])
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it had read the variable before
    server.fails = lambda method, path: (
        (method, path)
        in (
            ("PUT", "/posters/new/a.jpg"),
            ("GET", "/posters/in/b.jpg"),
        )
    )
    _, told = recolor("s3://posters/in/", "-o", "s3://posters/new/", exit_code=1)
    assert "s3://posters/in/a.jpg: cannot write s3://posters/new/a.jpg: s3://posters failed" in told
    assert "s3://posters/in/b.jpg: s3://posters failed" in told
    assert "reduce your request rate" in told
    assert s3.find("posters/new") == ["posters/new/c.jpg"]
    server.fails = lambda method, path: False
    assert "2 written, 1 skipped" in recolor("s3://posters/in/", "-o", "s3://posters/new/")[1]


def test_missing_credentials_are_one_error(recolor, s3, monkeypatch, poster, tmp_path):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    for arguments in (("s3://posters/in/",), (poster, "-o", "s3://posters/new/")):
        _, told = recolor(*arguments, exit_code=1)
        assert "no credentials for s3://posters were found" in told
        assert "aws configure" in told
        assert len(told.splitlines()) == 2


def test_refused_credentials_are_one_error(memory, monkeypatch, recolor, poster):
    def refuse(*args, **kwargs):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    _, told = recolor(poster, "-o", "memory://new/", exit_code=1)
    assert "memory://new refuses access" in told


def test_a_refusal_is_told_once_and_spares_the_work(memory, monkeypatch):
    targets = batch_targets.Targets("memory://new")
    job = Job("a.jpg", "memory://new/a.jpg")
    assert targets.refusal(job) is None
    error = FolderError("refused", "", "memory://new refuses access")
    targets.note(Outcome(job, Status.FAILED, error))
    other = Job("b.jpg", "memory://new/b.jpg")
    refusal = targets.refusal(other)
    assert refusal.message == "cannot write memory://new/b.jpg: memory://new refuses access"
    assert refusal.cause == error.cause
    assert targets.refusal(Job("b.jpg", "memory://new/1931/b.jpg")) is None
    monkeypatch.setattr(batch_targets, "_PATIENCE", 0.0)
    assert targets.refusal(other) is None  # one picture asks again
    monkeypatch.setattr(batch_targets, "_PATIENCE", 60.0)
    assert targets.refusal(job)
    targets.note(Outcome(other, Status.WRITTEN))
    assert targets.refusal(job) is None


def test_a_watch_asks_for_each_result_instead_of_an_old_listing(memory):
    known = stores.Listings()
    assert not known.is_written("memory://new/a.jpg")
    memory.pipe_file("/new/a.jpg", b"x")
    memory.pipe_file("/new/empty.jpg", b"")
    assert not known.is_written("memory://new/a.jpg")  # it was listed before
    known.ask_for_each()
    assert not known._folders  # which may hold millions of names
    names = ("a.jpg", "empty.jpg", "none.jpg")
    assert [known.is_written(f"memory://new/{name}") for name in names] == [True, False, False]


def test_a_store_that_does_not_tell_of_a_sidecar_costs_the_picture_alone(memory, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(type(memory), "info", fail)
    stores.LISTINGS.ask_for_each()
    options = OutputOptions(out="memory://new", compare=True)
    job = Job("a.jpg", "memory://new/a.jpg", redo=True)
    outcome = Preflight(options, RecolorOptions()).outcome(job, missing_outputs(job, options))
    assert outcome.status is Status.FAILED
    assert "no route to host" in outcome.error.message


def test_a_watch_skips_a_result_that_it_has_written_to_a_store_itself(
    memory, tmp_path, manifest, monkeypatch
):
    monkeypatch.setattr(watch, "_TICK", 0.01)
    inbox, stop = tmp_path / "inbox", threading.Event()
    inbox.mkdir()
    options = OutputOptions(out="memory://new")
    jobs = watch.Arrivals([str(inbox)], False, options, stop, 0.01, 0.05)
    workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), options, 1)
    outcomes = run_with_workers(jobs, options, workers, stop, note=jobs.note)
    (inbox / "a.jpg").write_bytes(encoded(draw()))
    assert next(outcomes).status is Status.WRITTEN
    (inbox / "a.jpg").write_bytes(encoded(draw(seed=1)))
    assert next(outcomes).status is Status.WRITTEN  # it is the same picture
    (inbox / "a.jpg").unlink()
    time.sleep(0.5)
    before = memory.cat_file("/new/a.jpg")
    (inbox / "a.jpg").write_bytes(encoded(draw(seed=2)))
    assert next(outcomes).status is Status.SKIPPED
    assert memory.cat_file("/new/a.jpg") == before

    def refuse(*args, **kwargs):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(memory), "info", refuse)
    (inbox / "b.jpg").write_bytes(encoded(draw()))
    assert "refuses access" in next(outcomes).error.message
    stop.set()
    assert list(outcomes) == []


def test_errors_name_bucket_and_object(recolor, s3, poster):
    assert "there is no s3://nothing" in recolor("s3://nothing/in/", exit_code=1)[1]
    assert "there is no s3://nothing" in recolor(poster, "-o", "s3://nothing/in/", exit_code=1)[1]
    told = recolor("s3://posters/a.jpg", exit_code=1)[1]
    assert "s3://posters/a.jpg: there is no such object" in told
    assert "no pictures in s3://posters/in/" in recolor("s3://posters/in/", exit_code=3)[1]


def test_all_pages_of_a_listing_are_read(s3, server, monkeypatch):
    for i in range(5):
        s3.pipe_file(f"posters/in/{i}.jpg", b"x")
    s3.pipe_file("posters/in/deep/5.jpg", b"x")
    call = s3.call_s3
    monkeypatch.setattr(
        type(s3), "call_s3", lambda self, method, **request: call(method, MaxKeys=2, **request)
    )
    found = stores.Listings().of_folder("s3://posters/in", True)
    assert sorted(found) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "deep/5.jpg"]
    assert len(list(stores.Listings().of_folder("s3://posters/in", False))) == 5


@pytest.mark.parametrize("parts", [1, 2, 16])
def test_a_listing_in_parts_is_whole(s3, monkeypatch, parts):
    monkeypatch.setattr(s3_listing, "_PARTS", parts)
    files = ["b", "c/1", "c/2", "d", "d-2", "e/1", "e/deep/1", "e/deep/2", "f/1", "z"]
    for name in files:
        s3.pipe_file(f"posters/in/{name}", b"x")
    s3.pipe_file("posters/in-2/1.jpg", b"x")
    call = s3.call_s3
    for size in (1, 2, 3, 5, 100):
        monkeypatch.setattr(
            type(s3), "call_s3", lambda _, method, n=size, **given: call(method, MaxKeys=n, **given)
        )
        found = list(s3_listing.objects(s3, "posters", "in/", True))
        assert sorted(found) == [(f"in/{name}", False) for name in files]


def test_a_listing_keeps_all_names_and_tells_the_empty_ones():
    listing = Listing([("a.jpg", False), ("1931/ä\n.jpg", False), ("b.jpg", True), ("", False)])
    assert list(listing) == ["a.jpg", "1931/ä\n.jpg", "b.jpg", ""]
    names = ["a.jpg", "1931/ä\n.jpg", "b.jpg", "", "c.jpg"]
    assert [name in listing.written for name in names] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("inputs", "on_store"),
    [(("a.jpg", "-o", "out/"), False), (("a.jpg", "-o", "memory://out/"), True),
     (("memory://in/a.jpg", "-o", "out/"), True)],
)  # fmt: skip
def test_workers_know_that_they_will_wait_for_a_store(
    recolor, memory, tmp_path, monkeypatch, inputs, on_store
):
    fill(memory, "/in", ["a.jpg"])
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    monkeypatch.chdir(tmp_path)
    seen, opener = [], run.WorkerOpener
    monkeypatch.setattr(run, "WorkerOpener", lambda *given: seen.append(given[0]) or opener(*given))
    recolor(*inputs)
    assert [config.on_store for config in seen] == [on_store]


def test_pages_of_a_tiff_are_uploaded_together(recolor, memory, tmp_path):
    path = tmp_path / "plate.tif"
    with tifffile.TiffWriter(path) as writer:
        for seed in (1, 2):
            writer.write(draw(seed=seed).astype(np.uint16) * 257, photometric="rgb", metadata=None)
    recolor(path, "-o", "memory://new/")
    (tmp_path / "new.tif").write_bytes(memory.cat_file("/new/plate.tif"))
    assert len(tifffile.TiffFile(tmp_path / "new.tif").pages) == 2


def test_a_full_folder_of_temporary_files_is_told(memory):
    def fill_the_disk():
        with stores.writing("memory://new/a.tif") as file:
            file.write(b"a page")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="written: No space left on device") as caught:
        fill_the_disk()
    assert "TMPDIR" in caught.value.hint
    assert memory.find("/new") == []


def test_a_film_that_finds_no_room_for_its_copy_is_told(recolor, memory, monkeypatch):
    def fill_the_disk(fs, path, file, **options):
        raise OSError(28, "No space left on device")

    memory.pipe_file("/in/a.mp4", b"x")
    monkeypatch.setattr(type(memory), "get_file", fill_the_disk)
    _, err = recolor("memory://in/a.mp4", "-o", "memory://out/", exit_code=1)
    assert "the temporary file of memory://in/a.mp4 cannot be written: No space left" in err
    assert "TMPDIR" in err


def test_a_film_that_finds_no_room_for_its_result_is_told(recolor, memory, tmp_path, monkeypatch):
    def fill_the_disk(film, place, *rest):
        with files.writing(Path(place)):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(film_run, "recolor_film", fill_the_disk)
    film = make(tmp_path / "a.mp4", 2)
    _, err = recolor(film, "-o", "memory://out/", "--device", "cpu", exit_code=1)
    told = "the temporary file of memory://out/a.mp4 cannot be written: No space left on device"
    assert told in " ".join(err.split())
    assert "TMPDIR" in err


def test_other_errors_of_a_film_are_not_those_of_its_temporary_file(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(film_run, "recolor_film", fail)
    film = str(make(tmp_path / "a.mp4", 2))
    outcome = film_run.recolor_job(
        Job(film, "memory://out/a.mp4"), film_run.FilmSource(film), None, FilmOptions(),
        Console(quiet=True), threading.Event(),
    )  # fmt: skip
    assert "Input/output error" in outcome.error.message
    assert "temporary" not in outcome.error.message
    assert "TMPDIR" not in outcome.error.hint


def test_a_long_name_on_a_store_needs_no_long_name_on_the_disk(memory):
    address = f"memory://new/{'あ' * 90}.jpg"
    with stores.writing(address) as file:
        file.write(b"x")
    assert stores.read(address) == b"x"


def test_pictures_on_a_store_are_compared(recolor, memory, tmp_path):
    fill(memory, "/in")
    models = ("-m", "fruitnet", "-m", "film")
    recolor("compare", "memory://in/", *models, "-o", tmp_path / "page.html", "--device", "cpu")
    assert "a.jpg" in (tmp_path / "page.html").read_text()


def test_variants_on_a_store_are_one_set(recolor, memory, poster):
    recolor(poster, "-o", "memory://new/", "--variants", "2")
    made = ["poster-2.jpg", "poster-variants.jpg", "poster.jpg"]
    assert [path.rpartition("/")[2] for path in memory.find("/new")] == made
    memory.rm_file("/new/poster-2.jpg")
    out, _ = recolor(poster, "-o", "memory://new/", "--variants", "2")
    assert out.decode().split() == ["memory://new/poster-2.jpg", "memory://new/poster-variants.jpg"]
    _, told = recolor(poster, "-o", "memory://new/", "--overwrite")
    assert "memory://new/poster-variants.jpg is of an earlier run" in told


def test_an_empty_result_is_made_anew(recolor, memory, poster):
    memory.pipe_file("/new/poster.jpg", b"")
    assert recolor(poster, "-o", "memory://new/")[0] == b"memory://new/poster.jpg\n"
    assert recolor(poster, "-o", "memory://new/")[0] == b""


def test_where_a_write_can_be_seen_it_is_renamed(memory, monkeypatch):
    monkeypatch.setattr(stores, "_WRITES_ARE_NOT_ATOMIC", ("memory",))
    monkeypatch.setattr(stores, "_HAS_FOLDERS", ("memory",))
    stores.write("memory://new/1931/a.jpg", b"whole")
    assert memory.cat_file("/new/1931/a.jpg") == b"whole"
    assert memory.find("/new") == ["/new/1931/a.jpg"]

    pipe_file = type(memory).pipe_file

    def break_off(self, path, data, **options):
        pipe_file(self, path, data[:2])
        raise TimeoutError("timed out")

    monkeypatch.setattr(type(memory), "pipe_file", break_off)
    with pytest.raises(OutputError, match=r"cannot write memory://new/b\.jpg: memory://new failed"):
        stores.write("memory://new/b.jpg", b"whole")
    assert memory.find("/new") == ["/new/1931/a.jpg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--in-place", ".orig"), "--in-place works on disks"),
        (("--preserve-times",), "--preserve-times works on disks"),
        (("--gallery",), "--gallery links files of a disk"),
        (("--watch", "-o", "out/"), "--watch works on disks"),
    ],
)
def test_options_that_need_a_disk(recolor, memory, options, words):
    assert words in recolor("memory://in/", *options, exit_code=2)[1]


@pytest.mark.parametrize("place", ["input", "out", "list"])
def test_an_address_with_a_password_is_refused_and_not_printed(recolor, poster, tmp_path, place):
    address = "sftp://ann:secret@archive.example/posters"
    (tmp_path / "list").write_text(address)
    arguments = {
        "input": (address,),
        "out": (poster, "-o", f"{address}/"),
        "list": ("--files-from", tmp_path / "list"),
    }[place]
    out, err = recolor(*arguments, exit_code=1 if place == "list" else 2)
    assert "an address has a password in it" in err
    assert "secret" not in out.decode() + err


def test_a_result_on_a_store_needs_no_disk_options_either(recolor, memory, poster):
    arguments = (poster, "-o", "memory://new/", "--preserve-times")
    assert "--preserve-times works on disks" in recolor(*arguments, exit_code=2)[1]


def test_a_missing_package_is_named(recolor, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "gs", raising=False)
    _, told = recolor("gs://posters/in/", exit_code=2)
    assert "gs://posters cannot be opened without the package gcsfs" in told
    assert "pip install 'recolor-cli[cloud]'" in told


def plan_of(memory, inputs, recursive=True, **options):
    return [
        (job.source, job.destination, job.error and job.error.message)
        for job in plan(inputs, recursive, OutputOptions(**options))
    ]


def test_a_tree_on_a_store_is_planned_in_the_order_of_a_disk(memory, tmp_path):
    files = ["b.jpg", "a/z.jpg", "a/b/c.png", "a.jpg", "ab/x.jpg", ".x/h.jpg", "@eaDir/t.jpg",
             "out/a.jpg", "b-recolored.jpg", "a/skip-me.jpg"]  # fmt: skip
    fill(memory, "/in", files)
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    options = {"exclude": ("skip*",), "suffix": "-recolored"}
    on_disk = plan_of(memory, [str(tmp_path / "in")], out=str(tmp_path / "in/out"), **options)
    on_store = plan_of(memory, ["memory://in"], out="memory://in/out", **options)
    text = json.dumps(on_disk).replace(f"{tmp_path}/", "memory://")
    assert json.dumps(on_store) == text
    assert len(on_store) == 5


def test_folders_of_a_store_keep_their_trees(memory):
    fill(memory, "/in", ["1931/a.jpg", "1932/a.jpg"])
    inputs = ["memory://in/1931/", "memory://in/1932/"]
    assert [row[1] for row in plan_of(memory, inputs, out="out")] == [
        "out/1931/a.jpg",
        "out/1932/a.jpg",
    ]
    with pytest.raises(UsageError, match="several drives or stores"):
        plan_of(memory, ["memory://in/1931/", os.curdir], out="out")


def test_an_input_on_a_store_is_never_overwritten(memory):
    fill(memory, "/in", ["a.jpg"])
    (row,) = plan_of(memory, ["memory://in/"], out="memory://in/")
    assert row[2] == "memory://in/a.jpg would overwrite an input"


def test_names_that_would_leave_the_folder_of_results(memory, monkeypatch):
    monkeypatch.setattr(
        stores, "_list", lambda prefix, recursive: iter([("../../x.jpg", 1), ("a//b.jpg", 1)])
    )
    rows = plan_of(memory, ["memory://in/"], out="out")
    assert {row[2] for row in rows} == {"its name has an empty part, or one of dots"}


@pytest.mark.parametrize("name", ["/b.jpg", "../../etc/b.jpg", "./b.jpg"])
def test_names_on_the_command_line_that_would_leave_the_folder_of_results(memory, name):
    address = f"memory://in/1931/{name}"
    (row,) = plan_of(memory, [address], out="out", base="memory://in")
    assert row == (address, "", "its name has an empty part, or one of dots")


def test_shards_of_a_store_are_those_of_a_disk(memory, tmp_path):
    files = [f"{year}/{i}.jpg" for year in (1931, 1932) for i in range(8)]
    fill(memory, "/in", files)
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    parts = []
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        part = [
            relative_to(r[0], "memory://in") for r in plan_of(memory, ["memory://in"], shard=shard)
        ]
        on_disk = [
            relative_to(r[0], str(tmp_path)) for r in plan_of(memory, [str(tmp_path)], shard=shard)
        ]
        listed = plan_lines(
            [f"memory://in/{name}" for name in files], False,
            OutputOptions(out="out", base="memory://in", shard=shard),
        )  # fmt: skip
        assert part == on_disk == [relative_to(job.source, "memory://in") for job in listed]
        parts += part
    assert sorted(map(str, parts)) == sorted(files)


def test_results_in_a_list_of_a_store_are_told_by_one_listing(memory):
    fill(memory, "/in", ["a.jpg", "a-recolored.jpg", "b-recolored.jpg"])
    lines = [f"memory://in/{name}" for name in ("a-recolored.jpg", "a.jpg", "b-recolored.jpg")]
    jobs = list(plan_lines(lines, False, OutputOptions()))
    assert [job.source for job in jobs] == lines[1:]


def test_a_dry_run_measures_pictures_of_a_store(recolor, memory):
    fill(memory, "/in")
    out, told = recolor("memory://in/", "-o", "memory://new/", "-r", "-n")
    assert out.decode().splitlines()[0] == "memory://in/a.jpg -> memory://new/a.jpg"
    assert "it would take about" in told
    assert memory.find("/new") == []


def test_a_mask_and_a_palette_on_a_store(recolor, memory, poster):
    memory.pipe_file("/in/mask.png", encoded(np.full((90, 60, 3), 255, np.uint8), "PNG"))
    fill(memory, "/in", ["palette.jpg"])
    recolor(poster, "--mask", "memory://in/mask.png", "--palette", "memory://in/palette.jpg")
    told = recolor(poster, "--mask", "memory://in/none.png", "--overwrite", exit_code=2)[1]
    assert "--mask memory://in/none.png: there is no such object" in told


def test_urls_of_files_are_paths(recolor, poster, tmp_path):
    poster.rename(tmp_path / "a b.jpg")
    out, _ = recolor(f"file://{tmp_path}/a%20b.jpg", "-o", f"file://{tmp_path}/new/")
    assert out.decode() == f"{tmp_path}/new/a b.jpg\n"
    assert local_name("file://localhost/a") == "/a"
    assert "it is the URL of another machine's file" in recolor("file://x/a.jpg", exit_code=1)[1]


@pytest.mark.parametrize("name", ["s3:/a", "./s3://a/b.jpg", "http://a/b.jpg", "a.jpg", "s3"])
def test_other_names_are_no_addresses(name):
    assert not is_address(name)


def test_a_film_on_a_store(recolor, memory, tmp_path):
    pytest.importorskip("av")
    from video_clips import make

    path = tmp_path / "clip.mkv"
    make(path)
    memory.put_file(str(path), "/in/clip.mkv")
    out, _ = recolor("memory://in/", "-o", "memory://new/")
    assert out == b"memory://new/clip.mkv\n"
    assert memory.size("/new/clip.mkv") > 1000
    assert "exists, skipped" in recolor("memory://in/clip.mkv", "-o", "memory://new/")[1]


def test_a_server_reads_no_addresses(memory):
    from recolor_cli.system.named_files import SentFiles

    fill(memory, "/in", ["a.jpg"])
    assert not SentFiles({}).exists("memory://in/a.jpg")


def test_reading_names_the_reason(memory):
    with pytest.raises(InputError, match="there is no such object"):
        stores.read("memory://in/none.jpg")

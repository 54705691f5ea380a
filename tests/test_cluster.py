"""A real Ray cluster of several nodes on this machine, which are killed while they work."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from conftest import draw, encoded, names
from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import WorkerConfig
from recolor_cli.batch.outcome import Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.run import run_with_workers
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.cluster import connection, nodes, shared_places, workers
from recolor_cli.cluster.address import check_cluster_address
from recolor_cli.cluster.job_queue import JobQueue, QueuedJob
from recolor_cli.cluster.nodes import Software
from recolor_cli.cluster.picture_actor import picture_work
from recolor_cli.cluster.shared_places import SharedPlaces
from recolor_cli.cluster.shares import Share, share_of
from recolor_cli.cluster.workers import ClusterWorkers
from recolor_cli.commands.cluster_argument import with_cluster_address
from recolor_cli.errors import RecolorError, UsageError
from recolor_cli.guidance.recolor_options import RecolorOptions
from video_clips import decoded, make

pytestmark = pytest.mark.filterwarnings("default")  # Ray leaves sockets and processes open

# Run first by each process that recolors. A picture that holds the word CRASH kills it; with HELD
# it waits for the file "go".
DECODER = """
import os, signal, time
from recolor_cli.batch import picture
folder = {folder!r}
original = picture.decode_pages
def decode_pages(data, *args, **kwargs):
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"HELD" in data:
        open(f"{{folder}}/begun-{{os.getpid()}}", "w").close()
        while not os.path.exists(f"{{folder}}/go"):
            time.sleep(0.01)
    return original(data, *args, **kwargs)
picture.decode_pages = decode_pages
"""
# Else Ray takes half a minute to notice a dead node.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 2,
}


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster whose head does no work, with a node of one CPU."""
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    os.environ.update(settings)
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    head["object_store_memory"] = 80 * 2**20
    # Without the processes that ask for machines and pass logs on: each loads all of Ray.
    head |= {"no_monitor": True, "include_log_monitor": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    add_node(started)
    yield started
    started.shutdown()
    for name in settings:
        del os.environ[name]


def add_node(cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)


@pytest.fixture
def second_node(cluster):
    """Return a second node, for one test."""
    node = add_node(cluster)
    cluster.wait_for_nodes()
    yield node
    cluster.remove_node(node)


@pytest.fixture
def pictures(tmp_path):
    """Return a function that writes pictures, whose words are in their names."""

    def write(*files):
        folder = tmp_path / "in"
        folder.mkdir()
        for seed, name in enumerate(files):
            word = next((word for word in ("CRASH", "HELD") if word.lower() in name), "")
            (folder / name).write_bytes(encoded(draw(seed=seed)) + word.encode())
        return folder

    return write


@pytest.fixture(autouse=True)
def no_run_is_left():
    """End what a failed test has begun, because a process has one cluster at a time."""
    yield
    for run in list(Run.unfinished):
        run.finish()


class Run:
    """Pictures on the cluster, in a thread of their own."""

    unfinished: ClassVar = []

    def __init__(self, cluster, folder, **work):
        self.folder = folder.parent
        self.options = OutputOptions(out=str(self.folder / "out"), keep_damaged=True)
        self.jobs = plan([str(folder)], False, self.options)
        config = WorkerConfig("fruitnet", "cpu", None, None, RecolorOptions(), self.options)
        self.warnings = []
        self.workers = ClusterWorkers(
            cluster.address,
            replace(picture_work(config, DECODER.format(folder=str(self.folder))), **work),
            100,
            self.warnings.append,
        )
        self.outcomes = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.unfinished.append(self)

    def _run(self):
        self.outcomes.extend(run_with_workers(self.jobs, self.options, self.workers))

    def begun(self, count):
        """Wait until so many held pictures were begun; return their processes."""
        return [int(name.removeprefix("begun-")) for name in wait_for_files(self.folder, count)]

    def wait_for_outcomes(self, count):
        wait_until(lambda: len(self.outcomes) >= count)

    def finish(self):
        self.unfinished.remove(self)
        (self.folder / "go").touch()
        self._thread.join(120)
        assert not self._thread.is_alive()
        return {Path(o.job.source).stem: o for o in self.outcomes}


def wait_until(is_so):
    for _ in range(900):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it takes too long")


def wait_for_files(folder, count, prefix="begun-"):
    def found():
        return [name for name in names(folder) if name.startswith(prefix)]

    wait_until(lambda: len(found()) >= count)
    return found()


def as_on_one_machine(recolor, folder):
    recolor(folder, "-o", f"{folder.parent}/plain/", "-m", "fruitnet", "--no-provenance")
    made, plain = folder.parent / "out", folder.parent / "plain"
    assert names(made) == names(plain)
    assert all((made / name).read_bytes() == (plain / name).read_bytes() for name in names(plain))


def test_a_cluster_on_this_machine_begins_and_ends_with_the_run(pictures, tmp_path):
    pictures("a.jpg", "b.jpg")
    done = subprocess.run(
        [sys.executable, "-m", "recolor_cli", "--cluster", "in", "-o", "out/", "-m", "fruitnet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out/a.jpg", "out/b.jpg"]
    assert [line.partition(" in ")[0] for line in done.stderr.splitlines()] == ["2 written"]


def actor_of(process):
    """Return the process of Ray's that started one of ours."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("PPid:")[2].split()[0])


def test_pictures_are_done_whatever_becomes_of_the_machines(
    recolor, cluster, pictures, monkeypatch
):
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.2)
    folder = pictures("a-held.jpg", "b-held.jpg", "c-crash.jpg", "d.jpg", "e.jpg")
    run = Run(cluster, folder)
    (process,) = run.begun(1)
    joined = add_node(cluster)
    run.begun(2)
    os.kill(actor_of(process), signal.SIGKILL)
    run.begun(3)
    cluster.remove_node(joined, allow_graceful=False)
    found = run.finish()
    assert "the process that worked on it crashed" in found.pop("c-crash").error.message
    assert [outcome.status for outcome in found.values()] == [Status.WRITTEN] * 4
    (folder / "c-crash.jpg").unlink()
    as_on_one_machine(recolor, folder)


def test_what_cannot_be_done_fails_by_name(cluster, pictures, monkeypatch):
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(workers, "_PATIENCE_SECONDS", 1)
    monkeypatch.setattr(workers, "_MAX_LOSSES", 1)
    monkeypatch.setattr(ClusterWorkers, "_room", lambda self, node: int(node.id == victim.node_id))
    victim = add_node(cluster)
    cluster.wait_for_nodes()
    run = Run(cluster, pictures("a-held.jpg", "b.jpg"))
    run.begun(1)
    cluster.remove_node(victim, allow_graceful=False)
    run.wait_for_outcomes(2)  # an actor may outlive its node for a while
    found = run.finish()
    assert "the worker that had it was lost 1 times" in found["a-held"].error.message
    assert found["b"].status is Status.FAILED
    assert "no machine of the cluster can do the work" in found["b"].error.message


def test_a_head_without_work_waits_for_machines(monkeypatch):
    """It is refused itself, and so is a machine with another version: there waiting is in vain."""
    found = object.__new__(ClusterWorkers)  # without a cluster
    monkeypatch.setattr(ClusterWorkers, "_room", lambda self, node: node.cpus)
    head = nodes.Node("h", "head", "10.0.0.1", 0, 0, 8 << 30)
    worker = nodes.Node("w", "worker", "10.0.0.2", 4, 0, 8 << 30)
    found._refused = {"h": "head: it has no CPU or card for this"}
    assert not found._are_unfit([head])
    assert not found._are_unfit([head, worker])
    assert not found._are_unfit([])
    found._refused["w"] = "worker: recolor is not installed there"
    assert found._are_unfit([head, worker])


def test_an_actor_with_several_processes_gets_work_for_all(recolor, cluster, pictures):
    folder = pictures(*(f"{number}-held.jpg" for number in range(5)))
    run = Run(cluster, folder, share_of=lambda node: Share(1, 0, 2, "cpu", min(1, node.cpus)))
    assert run.workers.count == 2
    run.begun(2)
    run.workers.stop()
    assert len(run.finish()) == 2  # what was begun is finished
    statuses = [outcome.status for outcome in Run(cluster, folder).finish().values()]
    assert sorted(statuses) == [Status.SKIPPED] * 2 + [Status.WRITTEN] * 3
    as_on_one_machine(recolor, folder)


def queued(*numbers, losses=0):
    return [QueuedJob(n, Job(str(n)), MissingOutputs(True), Future(), losses) for n in numbers]


def taken(queue, most, takers):
    return [job.number for job in asyncio.run(asyncio.wait_for(queue.take(most, takers), 5))]


def test_several_jobs_are_taken_at_a_time_but_few_of_the_last_ones():
    queue = JobQueue()
    for job in queued(*range(20)):
        queue.put(job)
    assert taken(queue, 4, takers=2) == [0, 1, 2, 3]
    assert taken(queue, 20, takers=2) == [4, 5, 6, 7]  # a fourth of the 15 that are behind
    assert taken(queue, 1, takers=1) == [8]
    assert [job.number for job in queue.take_all()] == list(range(9, 20))


def test_a_job_that_was_lost_is_taken_first_and_alone():
    queue = JobQueue()
    for job in queued(4, 5, 6, 7) + queued(1, 2, losses=1):
        queue.put(job)
    assert taken(queue, 4, takers=1) == [1]
    assert taken(queue, 4, takers=1) == [2]
    assert taken(queue, 4, takers=1) == [4, 5]


def test_after_the_end_nobody_waits_for_jobs():
    queue = JobQueue()
    for job in queued(0, 1):
        queue.put(job)
    queue.end()
    assert [taken(queue, 4, takers=1) for _ in range(4)] == [[0], [1], [], []]
    assert list(queue.take_all()) == []


def test_a_driver_that_was_ended_is_finished_by_the_same_command(
    recolor, cluster, pictures, tmp_path
):
    folder, made = pictures(*(f"{number:02}.jpg" for number in range(60))), tmp_path / "out"
    made.mkdir()
    argv = [str(folder), "-o", f"{made}/", "-m", "fruitnet", "--no-provenance"]
    argv += ["--cluster", cluster.address]
    command = [sys.executable, "-m", "recolor_cli", *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        wait_for_files(made, 2, prefix="0")
        driver.send_signal(signal.SIGINT)
        told = driver.stderr.read()
    assert driver.returncode == 130
    assert "the same command goes on from here" in told
    first = [name for name in names(made) if name.endswith(".jpg")]
    assert 2 <= len(first) < 60
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as driver:
        wait_for_files(made, len(first) + 4, prefix="")
        driver.kill()
    assert len(names(made)) < 60
    _, told = recolor(*argv)
    assert "skipped" in told
    as_on_one_machine(recolor, folder)


def test_a_machine_without_this_version_is_not_used(cluster, pictures, monkeypatch):
    async def survey(asked):
        own = nodes.own_software()
        other = Software(own.python, {**own.packages, "recolor-cli": "0.0.9"})
        return dict.fromkeys(asked, other)

    monkeypatch.setattr(workers, "survey", survey)
    with pytest.raises(RecolorError, match=r"it has recolor 0\.0\.9"):
        Run(cluster, pictures("a.jpg"))


def test_a_machine_is_asked_for_its_folders_until_it_was_seen_to_have_them(cluster, tmp_path):
    ray.init(cluster.address, log_to_driver=False)
    try:
        (node,) = [node for node in nodes.alive_nodes() if node.cpus]
        with ExitStack() as at_end:
            finder = shared_places.SharedPlacesFinder(at_end)
            finder._own_node = "another"
            job = Job(str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"))
            assert finder.to_check(node, job) == finder.to_check(node, job) is not None
            finder.note_seen(node)
            assert finder.to_check(node, job) is None
    finally:
        ray.shutdown()


def test_places_are_seen_by_file_and_size(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12")
    places = SharedPlaces(str(tmp_path / "a.jpg"), 2, "")
    assert places.missing_here() == ""
    assert replace(places, size=3).missing_here() == str(tmp_path)
    assert replace(places, marker=str(tmp_path / "x" / "m")).missing_here() == str(tmp_path / "x")


def test_a_cluster_is_described_with_what_differs(recolor, cluster, monkeypatch):
    out, _ = recolor("doctor", "--cluster", cluster.address)
    head, *rows = out.decode().splitlines()
    assert head.split() == [
        "host",
        "address",
        "CPUs",
        "GPUs",
        "GiB",
        "python",
        "recolor",
        "onnxruntime",
        "ray",
    ]
    assert len(rows) >= 2
    own = nodes.own_software()
    other = Software("3.9.1", {**own.packages, "ray": "", "numpy": "1.0"})
    monkeypatch.setattr(nodes, "own_software", lambda: other)
    _, told = recolor("doctor", "--cluster", cluster.address, exit_code=1)
    assert f"has Python {own.python}, this machine has 3.9.1" in told
    assert f"has numpy {own.packages['numpy']}, this machine has 1.0" in told


@pytest.mark.parametrize(
    ("address", "words", "told"),
    [
        ("local", "some of the raylet failed to startup", "Ray did not start on this machine"),
        ("10.0.0.1:6379", "No node info found matching attributes: '' when", "is no node of"),
        ("10.0.0.1:6379", "some of the raylet failed to startup", "cannot be used: some of the"),
    ],
)
def test_errors_of_ray_are_told_apart(address, words, told):
    assert told in connection._explain(address, RuntimeError(words)).message


def test_wrong_addresses_are_refused_in_seconds(recolor, pictures):
    folder = pictures("a.jpg")
    started = time.monotonic()
    _, told = recolor(folder, "--cluster", "127.0.0.1:1", exit_code=1)
    assert "no cluster answers at 127.0.0.1:1" in told
    assert time.monotonic() - started < 60
    _, told = recolor(folder, "--cluster", "ray://127.0.0.1:10001", exit_code=2)
    assert "Ray's client" in told
    _, told = recolor(folder, "--cluster=posters", exit_code=2)
    assert "is no address of a cluster" in told


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("-",), "standard input"),
        (("in.jpg", "-o", "-"), "standard output"),
        ((".", "--watch"), "--watch"),
        (("in.jpg", "--device", "cuda:1"), "names a card"),
    ],
)
def test_what_other_machines_cannot_do_is_refused(recolor, argv, message):
    _, told = recolor("run", *argv, "--cluster", exit_code=2)
    assert message in told


def test_the_address_is_told_from_the_first_input():
    assert with_cluster_address(["--cluster"]) == ["--cluster=local"]
    assert with_cluster_address(["--cluster", "./auto"]) == ["--cluster=local", "./auto"]
    assert with_cluster_address(["--cluster", "[::1]:6379", "a"]) == ["--cluster=[::1]:6379", "a"]
    assert with_cluster_address(["--", "--cluster"]) == ["--", "--cluster"]
    with pytest.raises(UsageError):
        check_cluster_address("s3://posters/")


def test_a_card_takes_its_part_of_the_cpus():
    node = nodes.Node("1", "host", "10.0.0.1", cpus=16, gpus=4, memory=64 << 30)
    share = share_of(node, "auto")
    assert (share.cpus, share.gpus, share.processes, share.siblings) == (4, 1, 8, 4)
    share = share_of(node, "cpu")
    assert (share.cpus, share.gpus, share.processes, share.siblings) == (1, 0, 1, 16)
    share = share_of(node, "cpu", on_store=True)
    assert (share.cpus, share.processes, share.siblings) == (1, 3, 16)
    assert share_of(node, "auto", on_store=True).processes == 12
    assert share_of(replace(node, gpus=0), "cuda").siblings == 0
    assert share_of(replace(node, memory=1 << 30), "cpu").siblings == 2
    assert share_of(replace(node, memory=3 << 30), "cpu", on_store=True).siblings == 2


def test_a_folder_is_recolored_as_on_one_machine_and_in_its_order(
    recolor, cluster, second_node, pictures, tmp_path
):
    folder = pictures(*(f"{number:02}.jpg" for number in range(8)), "broken.png")
    (folder / "broken.png").write_bytes(b"no picture")
    argv = (folder, "--json", "-m", "fruitnet")
    plain, _ = recolor(*argv, "-o", tmp_path / "plain/", exit_code=1)
    out, told = recolor(*argv, "-o", tmp_path / "out/", "--cluster", cluster.address, exit_code=1)
    seen = [
        [(line["source"], line["status"], line["error"]) for line in map(json.loads, text)]
        for text in (plain.splitlines(), out.splitlines())
    ]
    assert seen[0] == seen[1]
    assert "8 written, 1 failed" in told
    for name in names(tmp_path / "plain"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    (folder / "broken.png").unlink()
    out, told = recolor(*argv, "-o", tmp_path / "out/", f"--cluster={cluster.address}")
    assert "8 skipped" in told


def test_films_go_one_to_a_machine_and_are_as_on_one_machine(
    recolor, cluster, second_node, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(2):
        make(tmp_path / "in" / f"{number}.mkv", 3 + number)
    (tmp_path / "in" / "broken.mkv").write_bytes(b"no film")
    (tmp_path / "in" / "still.jpg").write_bytes(encoded(draw()))
    argv = ("in", "-m", "film", "--device", "cpu", "--json")
    plain, _ = recolor(*argv, "-o", "plain/", exit_code=1)
    out, _ = recolor(*argv, "-o", "out/", "--cluster", cluster.address, exit_code=1)
    seen = [
        [(line["source"], line["status"], line.get("frames")) for line in map(json.loads, text)]
        for text in (plain.splitlines(), out.splitlines())
    ]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 4
    for name in ("0.mkv", "1.mkv"):
        frames, expected = decoded(f"out/{name}"), decoded(f"plain/{name}")
        assert [time for time, _ in frames] == [time for time, _ in expected]
        assert all(
            np.array_equal(plane, other)
            for (_, planes), (_, others) in zip(frames, expected, strict=True)
            for plane, other in zip(planes, others, strict=True)
        )


def test_a_machine_that_lacks_the_folders_is_not_used(cluster, second_node, pictures, monkeypatch):
    asked = shared_places.SharedPlacesFinder.to_check

    def to_check(finder, node, job):
        found = asked(finder, node, job)
        lacks = node.id == second_node.node_id
        return found and (replace(found, marker="/nowhere/marker") if lacks else found)

    monkeypatch.setattr(workers.SharedPlacesFinder, "to_check", to_check)
    run = Run(cluster, pictures("0-held.jpg", *(f"{i}.jpg" for i in range(1, 6))))
    wait_until(lambda: run.warnings)
    assert all(outcome.status is Status.WRITTEN for outcome in run.finish().values())
    (warning,) = run.warnings
    assert "it does not see /nowhere" in warning
    assert not [name for name in names(run.folder / "out") if name.startswith(".")]

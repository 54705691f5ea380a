"""A Ray cluster of several machines, played by network namespaces, and what happens to a run on it.

    sudo python tests/benchmarks/cluster.py faults
    sudo python tests/benchmarks/cluster.py speed

Each node has an address of its own on a bridge, so that it can be cut off from the others. Pictures
are drawn, and lie on a server of S3 (moto) behind a proxy that fails on demand. `faults` lets four
nodes work while a worker is killed, one node is cut off and comes back, one loses its power, the
store fails and the driver is killed; then a second run finishes the job, and all results are
compared with those of a run on one machine. `speed` compares 1, 2 and 4 workers with `recolor`
alone.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import fsspec
from drawn_posters import as_array, night, window
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from s3_server import CREDENTIALS, SILENCE, Proxy, moto_server

BRIDGE, SUBNET = "recolor0", "10.77.0."
HEAD = f"{SUBNET}10"
NODES = (1, 2, 3, 4)
_WARM = 32  # pictures, until all workers have begun
# A driver whose workers die of a picture of these bytes.
POISON = b"this picture kills its decoder"
DRIVER = f"""
import sys
from functools import partial
from recolor_cli.cluster import picture_actor
picture_actor.picture_work = partial(picture_actor.picture_work, preamble='''
import os, signal
from recolor_cli.batch import picture
original = picture.decode_pages
def decode_pages(data, *args, **kwargs):
    if {POISON!r} in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    return original(data, *args, **kwargs)
picture.decode_pages = decode_pages
''')
from recolor_cli.cli import main
sys.exit(main())
"""


def sh(command: str, check: bool = True) -> None:
    quiet = None if check else subprocess.DEVNULL
    subprocess.run(command, shell=True, check=check, stdout=subprocess.DEVNULL, stderr=quiet)


def inside(node: int | str, *command: str) -> list[str]:
    """Return a command that runs in the namespace of a node, whose number is 0 for the head."""
    return ["ip", "netns", "exec", f"recolor{node}", *command]


@contextmanager
def network() -> Iterator[None]:
    """Make the namespaces of the head and of four nodes."""
    sh(f"ip link add {BRIDGE} type bridge; ip addr add {SUBNET}1/24 dev {BRIDGE}")
    sh(f"ip link set {BRIDGE} up")
    try:
        for node in (0, *NODES):
            sh(f"ip netns add recolor{node}")
            sh(f"ip link add veth{node} type veth peer name eth0 netns recolor{node}")
            sh(f"ip link set veth{node} master {BRIDGE} up")
            for command in (
                f"ip addr add {SUBNET}{10 + node}/24 dev eth0",
                "ip link set eth0 up",
                "ip link set lo up",
            ):
                subprocess.run(inside(node, *command.split()), check=True)
        yield
    finally:
        for node in (0, *NODES):
            power_off(node)
            sh(f"ip link del veth{node}; ip netns del recolor{node}", check=False)
        sh(f"ip link del {BRIDGE}", check=False)


def power_off(node: int) -> None:
    """Kill all processes of a node at once."""
    found = subprocess.run(["ip", "netns", "pids", f"recolor{node}"], capture_output=True)
    for process in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def start_ray(node: int, cpus: int) -> None:
    """Start the head, or a node that joins it."""
    place = ["--head", "--port=6379", "--include-dashboard=false"]
    if node:
        place = [f"--address={HEAD}:6379"]
    options = [f"--node-ip-address={SUBNET}{10 + node}", f"--num-cpus={cpus}"]
    command = ["ray", "start", *place, *options, "--object-store-memory=100000000"]
    subprocess.run(inside(node, *command), check=True, stdout=subprocess.DEVNULL, env=settings())


def settings() -> dict[str, str]:
    return {
        **os.environ,
        **CREDENTIALS,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",  # that of `recolor` alone; Ray's own is 15
    }


def posters(count: int, scale: float) -> list[bytes]:
    """Draw so many posters, each a little larger than the one before."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "poster.jpg"
        for number in range(count):
            poster = (night, window)[number % 2]()
            size = round(poster.width * scale) + number % 16, round(poster.height * scale)
            Image.fromarray(as_array(poster)).resize(size).save(path, quality=92)
            found.append(path.read_bytes())
    return found


class Bucket:
    """The pictures and results on the server."""

    def __init__(self, port: int) -> None:
        self._endpoint = f"http://{SUBNET}1:{port}"
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=self._endpoint)
        os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
        self.files = fsspec.filesystem("s3", use_listings_cache=False)
        self.files.mkdir("posters")

    def fill(self, pictures: list[bytes]) -> None:
        for number, data in enumerate(pictures):
            self.files.pipe_file(f"posters/in/{number:04}.jpg", data)

    def made(self, folder: str) -> dict[str, bytes]:
        found = self.files.find(f"posters/{folder}")
        return {name.rpartition("/")[2]: self.files.cat_file(name) for name in found}

    def count(self, folder: str) -> int:
        return len(self.files.find(f"posters/{folder}"))


def driver(out: str, *options: str) -> subprocess.Popen[str]:
    """Start a run on the cluster, or on this machine, from the head."""
    argv = [sys.executable, "-c", DRIVER, "s3://posters/in/", "-o", f"s3://posters/{out}/", "-r"]
    argv += ["--json"]
    return subprocess.Popen(
        inside(0, *argv, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=settings() | {"OMP_NUM_THREADS": "1"},
    )


def finish(run: subprocess.Popen[str]) -> tuple[int, list[dict], str]:
    """Wait for a run; return its exit code, the lines of JSON and what it told."""
    out, told = run.communicate()
    return run.returncode, [json.loads(line) for line in out.splitlines()], told


def wait_for(bucket: Bucket, folder: str, count: int) -> None:
    while bucket.count(folder) < count:
        time.sleep(0.5)


def faults(bucket: Bucket, proxy: Proxy, count: int = 240) -> None:
    """Let everything happen to a run, and compare its results."""
    pictures = posters(count, 2.5)
    pictures[count // 3] += POISON
    bucket.fill(pictures)
    for node in (0, *NODES):
        start_ray(node, 1 if node else 0)
    cluster = ("--cluster", f"{HEAD}:6379", "--damaged", "keep")
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {bucket.count('out'):4} done  {text}")

    run = driver("out", *cluster)
    wait_for(bucket, "out", count // 10)
    workers = subprocess.run(["pgrep", "-f", "ray::PictureActor"], capture_output=True, text=True)
    os.kill(int(workers.stdout.split()[0]), signal.SIGKILL)
    tell("a worker is killed")
    wait_for(bucket, "out", count // 5)
    sh("ip link set veth4 down")
    tell("node 4 is cut off")
    wait_for(bucket, "out", 2 * count // 5)
    power_off(3)
    tell("node 3 loses its power")
    wait_for(bucket, "out", count // 2)
    requests = itertools.count()
    proxy.ways = (503, 500, SILENCE)
    proxy.fails = lambda method, path: "list-type" not in path and next(requests) % 3 == 0
    tell("the store answers every third request with 503, 500 or not at all")
    sh("ip link set veth4 up")
    tell("node 4 has its link again")
    wait_for(bucket, "out", 3 * count // 5)
    proxy.fails = lambda method, path: False
    run.kill()
    finish(run)
    tell("the driver is killed; the same command is given again")
    code, lines, told = finish(driver("out", *cluster))
    tell(f"exit code {code}: {told.splitlines()[-1]}")
    for line in lines:
        if line["error"]:
            print(f"          {line['source']}: {line['error']}")
    finish(driver("plain", "--damaged", "keep"))
    made, plain = bucket.made("out"), bucket.made("plain")
    plain.pop(f"{count // 3:04}.jpg")
    same = sum(plain[name] == made.get(name) for name in plain)
    print(f"{same} of {len(plain)} results equal those of one machine; {len(made)} were made")


def timed(run: subprocess.Popen[str]) -> float:
    """Return pictures a second of a run after its first ones, by the lines that it prints."""
    times = []
    for _ in run.stdout:
        times.append(time.monotonic())
    run.wait()
    return (len(times) - _WARM) / (times[-1] - times[_WARM - 1])


def speed(bucket: Bucket, count: int = 160) -> None:
    """Compare 1, 2 and 4 workers on the cluster with as many processes of one machine."""
    bucket.fill(posters(count, 3.4))
    for node in (0, *NODES):
        start_ray(node, 1 if node else 0)
    for round_ in range(2):
        for jobs in (1, 2, 4):
            alone = timed(driver(f"plain{round_}{jobs}", "-j", str(jobs)))
            spread = timed(
                driver(f"out{round_}{jobs}", "-j", str(jobs), "--cluster", f"{HEAD}:6379")
            )
            print(
                f"{jobs} workers: {alone:.2f} pictures a second alone, {spread:.2f} on the "
                f"cluster: {spread / alone:.2f}"
            )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is put away
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["RAY_TMPDIR"] = str(folder)  # apart from other clusters of this machine
        stack.enter_context(network())
        proxy = Proxy(stack.enter_context(moto_server(folder)), f"{SUBNET}1")
        stack.callback(proxy.close)
        bucket = Bucket(proxy.port)
        if sys.argv[1:] == ["speed"]:
            speed(bucket)
        else:
            faults(bucket, proxy)


if __name__ == "__main__":
    main()

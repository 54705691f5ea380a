"""Measure `recolor serve` under load, against the program itself in the same run.

    python tests/benchmarks/serve_load.py                    # throughput, and the time of a request
    python tests/benchmarks/serve_load.py --requests 5000    # memory over many small pictures
    python tests/benchmarks/serve_load.py --hostile 2000     # broken bodies of tests/fuzz.py

Throughput: 16 clients, each of which sends its next picture when it has the result of the last,
over loopback. In turns with them, the program recolors the same files from a list. The median over
the rounds of the time of the program over that of the server is the share of its throughput. The
clients take part of the same CPUs. The same is told in CPU time, which a busy machine changes less.

Memory: that of the server and of its worker processes together, over the requests.

Hostile: each body is refused (422) or recolored (200) as the program does it with the same bytes;
the log of the server stays empty, and none of its processes ends.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from speed import PROGRAM, make_pictures
from speed import Program as BatchProgram

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.messages import TaskMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.batch.task_desk import TaskDesk
from recolor_cli.commands.request_options import RunOptions
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.serve.settings import Limits, ServeSettings
from recolor_cli.system.memory import MemoryBudget, memory_for_pictures

sys.path.insert(0, str(Path(__file__).parents[1]))
import fuzz

CLIENTS = 16
MEGAPIXELS = 1.5
PICTURES = 20
TURNS = 3  # of the pictures, in each round
_PATH = "/v1/recolor"


class ServerProgram:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdout
        self.process = process
        self.address = urlsplit(process.stdout.readline().strip()).netloc
        self.log = log

    def send(self, bodies: Sequence[bytes], clients: int = CLIENTS) -> list[tuple[int, float]]:
        """Send pictures by so many clients; return the status and the seconds of each request."""
        answers: list[tuple[int, float]] = [(0, 0.0)] * len(bodies)
        numbers = itertools.count()

        def work() -> None:
            connection = http.client.HTTPConnection(self.address)
            for number in numbers:
                if number >= len(bodies):
                    break
                start = time.perf_counter()
                connection.request("POST", _PATH, bodies[number])
                response = connection.getresponse()
                response.read()
                answers[number] = response.status, time.perf_counter() - start
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def processes(self) -> list[int]:
        """Return the server and its worker processes."""
        return with_children(self.process.pid)

    def memory(self) -> list[float]:
        """Return the MB of each process that are its own."""
        return [_private_memory(pid) for pid in self.processes()]

    def metric(self, name: str) -> float:
        """Return one of its counters."""
        connection = http.client.HTTPConnection(self.address)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return float(next(x.split()[1] for x in text.splitlines() if x.startswith(f"{name} ")))


def with_children(own: int) -> list[int]:
    """Return a process and those that it has started."""
    listed = (each / "children" for each in Path(f"/proc/{own}/task").iterdir())
    return [own, *sorted({int(pid) for each in listed for pid in each.read_text().split()})]


def cpu_seconds(own: int) -> float:
    """Return the CPU time of a process and of those that it has started."""
    ticks = 0
    for pid in with_children(own):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _private_memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kilobytes / 1e3


@contextmanager
def serving(*options: str) -> Iterator[ServerProgram]:
    """Start a server, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*PROGRAM, "serve", "--port", "0", "--device", "cpu", *options],
                stdout=subprocess.PIPE, stderr=file, text=True,
            )  # fmt: skip
        try:
            yield ServerProgram(process, log)
        finally:
            process.terminate()
            process.wait()


def measure_throughput(rounds: int) -> None:
    """Print the share of the program's throughput that the server has."""
    ratios, latencies, speeds = [], [], []
    used = Counter[str]()  # CPU seconds
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder, out = Path(name), Path(name) / "out"
        out.mkdir()
        paths = make_pictures(MEGAPIXELS, PICTURES, folder)
        bodies = [path.read_bytes() for path in paths] * TURNS
        batch = BatchProgram("poster", "cpu", out)
        for number in range(1 + rounds):
            # A list names no result twice, so that each round has copies of its own.
            copies = [
                Path(shutil.copy(path, folder / f"{number}-{turn}-{path.name}"))
                for turn in range(TURNS)
                for path in paths
            ]
            seconds = {}
            steps: dict[str, Callable[[], object]] = {
                "batch": lambda copies=copies: batch.recolor(copies),
                "server": lambda: server.send(bodies),
            }
            # In turns, because the load of a shared machine changes.
            for step in sorted(steps, reverse=bool(number % 2)):
                pid = {"batch": batch._process.pid, "server": server.process.pid}[step]
                start, cpu, own = time.perf_counter(), cpu_seconds(pid), time.process_time()
                answers = steps[step]()
                seconds[step] = time.perf_counter() - start
                if number:
                    used[step] += cpu_seconds(pid) - cpu
                if step == "server" and number:
                    used["clients"] += time.process_time() - own
                    assert {status for status, _ in answers} == {200}
                    latencies += [spent for _, spent in answers]
            for path in (*copies, *out.iterdir()):
                path.unlink()
            if number:  # the first one warms up
                ratios.append(seconds["batch"] / seconds["server"])
                speeds.append((len(bodies) / seconds["batch"], len(bodies) / seconds["server"]))
                print(f"round {number}: {ratios[-1]:.2f}", flush=True)
        batch.close()
    batch_speed, server_speed = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(
        f"{CLIENTS} clients, {MEGAPIXELS} megapixels, {os.cpu_count()} CPUs: "
        f"{statistics.median(ratios):.2f} of the program's throughput "
        f"({min(ratios):.2f} to {max(ratios):.2f}; {server_speed:.1f} and {batch_speed:.1f} "
        f"pictures a second)"
    )
    each = {name: 1000 * spent / (rounds * len(bodies)) for name, spent in used.items()}
    print(
        f"CPU time of a picture: {each['batch']:.0f} ms of the program, {each['server']:.0f} ms of "
        f"the server, {each['clients']:.1f} ms of the clients; "
        f"{each['batch'] / (each['server'] + each['clients']):.2f}"
    )
    print(
        f"a request took {np.median(latencies):.2f} s in the median, "
        f"{np.quantile(latencies, 0.99):.2f} s at most in 99 of 100"
    )


def measure_memory(requests: int) -> None:
    """Print the memory of the server over many requests with small pictures."""
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(50):
        size = rng.integers(100, 400, 2)
        gray = np.kron(rng.integers(0, 256, (4, 4), dtype=np.uint8), np.ones((100, 100), np.uint8))
        file = io.BytesIO()
        Image.fromarray(gray[: size[0], : size[1]]).save(file, "JPEG")
        bodies.append(file.getvalue())
    print("| requests | server, MB | worker processes, MB |\n|---:|---:|---|")
    with serving() as server:
        step = requests // 10
        for done in range(step, requests + 1, step):
            sent = [bodies[number % len(bodies)] for number in range(step)]
            assert {status for status, _ in server.send(sent)} == {200}
            own, *workers = server.memory()
            print(f"| {done} | {own:.0f} | {', '.join(f'{each:.0f}' for each in workers)} |")


def recolored(desk: TaskDesk, data: bytes) -> Outcome:
    """Recolor a picture by the program's own functions, in this process."""
    options = RunOptions(ServeSettings(limits=Limits(pixels=fuzz.MOST_PIXELS)))
    request = options.parse([], picture=data)
    return desk.do(TaskMessage(Job(STREAM, STREAM), MissingOutputs(True), request))


def measure_hostile(inputs: int, seed: int) -> bool:
    """Print how broken bodies end; return whether each ended as it should."""
    counts: Counter[str] = Counter()
    config = WorkerConfig("poster", "cpu", 1, None, RecolorOptions(), OutputOptions())
    recolorizer = Recolorizer("poster", device="cpu")
    desk = TaskDesk(config, recolorizer, 1, MemoryBudget(memory_for_pictures()))
    with serving("--max-pixels", str(fuzz.MOST_PIXELS)) as server:
        before = server.processes()
        for start in range(0, inputs, 200):
            bodies = [fuzz.changed(seed, n)[1] for n in range(start, min(start + 200, inputs))]
            for number, (status, _) in enumerate(server.send(bodies), start):
                counts[str(status)] += 1
                outcome = recolored(desk, bodies[number - start])
                expected = 422 if outcome.error else 200
                if status != expected:
                    counts["unexpected"] += 1
                    print(f"{number}: {status} instead of {expected}: {outcome.error}")
        log, alive = server.log.read_text(), server.processes() == before
        alive &= server.send([bodies[-1]])[0][0] in (200, 422)
        held = server.metric("recolor_body_bytes")
    print(
        f"{inputs} bodies, seed {seed}: {dict(sorted(counts.items()))}; "
        f"log {log!r}; "
        f"processes {'the same' if alive else 'not the same'}; {held:.0f} bytes held"
    )
    return not log and alive and not counts["unexpected"]


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, help="measure memory over so many")
    parser.add_argument("--hostile", type=int, help="send so many broken bodies")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.requests:
        measure_memory(arguments.requests)
    elif arguments.hostile:
        return 0 if measure_hostile(arguments.hostile, arguments.seed) else 1
    else:
        measure_throughput(arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

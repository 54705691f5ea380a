"""How many pictures a second one driver feeds to a cluster, and the memory that it takes.

    python tests/benchmarks/cluster_driver.py 1000 200000

Pictures are on a server that only lists them. The actors, on a cluster of this machine, do nothing
and say that each picture is written.
"""

import sys
from itertools import starmap

from store_listing import listing_server, run

from recolor_cli.batch.messages import ReadyMessage
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.types import ImageSize

COMMAND = ["s3://b/in/", "-o", "s3://b/new/", "-r", "--json", "--cluster"]
STAGES = ("read", "decode", "recolor", "encode", "write")


def written(job, missing) -> Outcome:
    size, seconds = ImageSize(1000, 1500), dict.fromkeys(STAGES, 0.02)
    return Outcome(job, Status.WRITTEN, size=size, seconds=seconds, written=(job.destination,))


class IdleActor:
    def start(self, config) -> ReadyMessage:
        return ReadyMessage("poster", "cpu", "", 1)

    def lacks(self, places) -> str:
        return ""

    def do(self, tasks) -> list[Outcome]:
        return list(starmap(written, tasks))

    def stop(self) -> None:
        pass


def drive() -> int:
    """Be `recolor`, with actors that do nothing."""
    from dataclasses import replace

    from recolor_cli.cli import main
    from recolor_cli.cluster import picture_actor

    picture_work = picture_actor.picture_work
    picture_actor.picture_work = lambda config: replace(picture_work(config), actor=IdleActor)
    return main(COMMAND)


def measure(count: int) -> None:
    command = [sys.executable, __file__, "driver"]
    with listing_server(("in",), count) as (environment, _):
        told, seconds, cpu, memory = run(command, environment)
    print(f"{count} pictures in {seconds:.1f} s, CPU {cpu:.1f} s, {memory:.0f} MB; {told}")


if __name__ == "__main__":
    if sys.argv[1:] == ["driver"]:
        sys.exit(drive())
    for argument in sys.argv[1:]:
        measure(int(argument))

"""The machines of a cluster: what they have, and what differs between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

PACKAGES = ("recolor-cli", "onnxruntime-gpu", "onnxruntime", "numpy", "opencv-python", "ray")
_SECONDS_TO_ANSWER = 60.0  # a new process imports Ray first


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Parameters
    ----------
    id : str
        Ray's, which a machine that joins again does not keep.
    host : str
        Its name.
    address : str
        Its IP address.
    cpus, gpus : int
        Those that it gives to Ray.
    memory : int
        Bytes that it gives to Ray.
    """

    id: str
    host: str
    address: str
    cpus: int
    gpus: int
    memory: int

    @property
    def name(self) -> str:
        """Name for people: nodes on one machine have the same host."""
        return f"{self.host} ({self.address})"

    @property
    def strategy(self) -> NodeAffinitySchedulingStrategy:
        """The strategy by which Ray runs a task there, and nowhere else."""
        return NodeAffinitySchedulingStrategy(self.id, soft=False)


@dataclass(frozen=True, slots=True)
class Software:
    """The version of Python on a node, and those of `PACKAGES`, empty where one is missing."""

    python: str
    packages: Mapping[str, str]


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster that this process is connected to, in a stable order."""
    nodes = [
        Node(
            id=entry["NodeID"],
            host=entry["NodeManagerHostname"],
            address=entry["NodeManagerAddress"],
            cpus=int(entry["Resources"].get("CPU", 0)),
            gpus=int(entry["Resources"].get("GPU", 0)),
            memory=int(entry["Resources"].get("memory", 0)),
        )
        for entry in ray.nodes()  # type: ignore[no-untyped-call]
        if entry["Alive"]
    ]
    return sorted(nodes, key=lambda node: (node.address, node.id))


def _software_reader() -> Callable[[Sequence[str]], tuple[str, dict[str, str]]]:
    """Return the function that reads what is installed where it runs.

    It is defined in here, so that Ray sends its code: a node may lack this package.
    """

    def read(packages: Sequence[str]) -> tuple[str, dict[str, str]]:
        import platform
        from importlib import metadata

        found = {}
        for package in packages:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = ""
        return platform.python_version(), found

    return read


async def read_software(node: Node) -> Software | None:
    """Ask what is installed on a node; None if it does not answer in a minute."""
    task = ray.remote(num_cpus=0, max_retries=0)(_software_reader())
    try:
        answer = task.options(scheduling_strategy=node.strategy).remote(PACKAGES)
        return Software(*await asyncio.wait_for(answer, _SECONDS_TO_ANSWER))
    except (ray.exceptions.RayError, TimeoutError):
        return None


async def survey(nodes: Sequence[Node]) -> dict[Node, Software | None]:
    """Ask all nodes at once what is installed."""
    answers = await asyncio.gather(*map(read_software, nodes))
    return dict(zip(nodes, answers, strict=True))


def differences(found: Mapping[Node, Software | None], own: Software) -> list[str]:
    """Tell, in sentences, in what the nodes differ from this process."""
    told = []
    for node, installed in found.items():
        if installed is None:
            told.append(f"{node.name} does not answer")
            continue
        told += [f"{node.name} has {what}" for what in misfits(installed, own)]
    return told


def misfits(installed: Software, own: Software) -> list[str]:
    """Tell which versions of a node differ from those of this process."""
    found = []
    if installed.python != own.python:
        found.append(f"Python {installed.python}, this machine has {own.python}")
    for package, wanted in own.packages.items():
        version = installed.packages.get(package, "")
        if version != wanted:
            found.append(f"{_version(package, version)}, this machine has {wanted or 'none'}")
    return found


def _version(package: str, version: str) -> str:
    return f"{package} {version}" if version else f"no {package}"


def own_software() -> Software:
    """Return what is installed here."""
    return Software(*_software_reader()(PACKAGES))

"""The program of a worker process: tasks in, outcomes out, one at a time."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2

from recolor_cli.batch.messages import Distribute, InitMessage, Predict, ReadyMessage, Reserve
from recolor_cli.batch.task_desk import TaskDesk
from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.errors import RecolorError
from recolor_cli.model.manifest import Manifest
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.memory import used_memory
from recolor_cli.types import FloatArray


def main(handle: int) -> None:
    """Do the tasks that come through a connection until it is closed.

    Parameters
    ----------
    handle : int
        File descriptor of the connection, or its handle on Windows.
    """
    warnings.simplefilter("ignore")  # decoders warn when they repair a file
    with _connect(handle) as parent:
        if (init := _receive(parent)) is None:
            return
        try:
            desk, ready = _prepare(init, parent)
        except RecolorError as error:
            _send(parent, error)
            return
        _send(parent, ready)
        while task := _receive(parent):
            _send(parent, desk.do(task))


def _connect(handle: int) -> Connection:
    """Open the connection, and separate the standard streams from the parent's."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        connection = PipeConnection(handle)
    else:
        from fcntl import F_DUPFD_CLOEXEC, fcntl

        # Away from the numbers of the standard streams, one of which it has if that was closed.
        connection = Connection(fcntl(handle, F_DUPFD_CLOEXEC, 3))
        os.close(handle)
    # A picture called /dev/stdin must not read the parent's, and what libraries print is no data.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.fstat(2)
    except OSError:  # the program was started without standard error
        os.dup2(null, 2)
    os.dup2(2, 1)
    return connection


def _prepare(init: InitMessage, parent: Connection) -> tuple[TaskDesk, ReadyMessage]:
    """Load the network; raises as `OnnxColorNetwork.load` and `require_distribution`."""
    config, hosted = init.config, init.hosted
    count = config.count or 1
    threads = init.threads
    cv2.setNumThreads(threads)
    if hosted:
        recolorizer = Recolorizer(
            _HostedNetwork(hosted.manifest, hosted.device, parent), config.recolor
        )
        ready = ReadyMessage(hosted.manifest.name, hosted.device, "", count)
    else:
        from recolor_cli.model.onnx_network import OnnxColorNetwork  # loads onnxruntime

        network = OnnxColorNetwork.load(config.model, config.device, threads)
        if config.needs_distribution:
            network.require_distribution()
        recolorizer = Recolorizer(network, config.recolor)
        ready = ReadyMessage(
            network.manifest.name, network.device, network.cpu_reason, count, used_memory().most
        )
    budget = _SharedBudget(parent, init.allowance)
    return TaskDesk(config, recolorizer, threads, budget), ready


def _ask(parent: Connection, question: object) -> Any:
    """Return the parent's answer, or raise it if it is an error."""
    _send(parent, question)
    answer = _receive(parent)
    if answer is None:
        sys.exit(1)  # nobody needs the picture any more
    if isinstance(answer, RecolorError):
        raise answer
    return answer


def _send(parent: Connection, message: object) -> None:
    with suppress(OSError):  # the parent has ended, as `_receive` tells
        parent.send(message)


def _receive(parent: Connection) -> Any:
    """Return the next message of the parent, or None when it has ended."""
    try:
        return parent.recv()
    except (EOFError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class _SharedBudget:
    """The memory that all processes share; most pictures need not ask for it."""

    parent: Connection
    allowance: int  # bytes that the parent holds for each task

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them, at the longest until the outcome."""
        if needed > self.allowance:
            _ask(self.parent, Reserve(needed))
        yield


@dataclass(frozen=True, slots=True)
class _HostedNetwork:
    """The network that the parent holds."""

    manifest: Manifest
    device: str
    parent: Connection

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict`."""
        answer: FloatArray = _ask(self.parent, Predict(lightness, temperature))
        return answer

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return the distribution, as `DistributionNetwork.distribution`."""
        answer: Distribution = _ask(self.parent, Distribute(lightness))
        return answer

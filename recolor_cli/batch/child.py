"""A process that `recolor_cli.batch.processes` starts: jobs in, outcomes out, one at a time."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from recolor_cli.batch.picture import PictureWork, share_cpus
from recolor_cli.batch.processes import (
    Channel,
    Distribute,
    InitMessage,
    Predict,
    ReadyMessage,
    Release,
    Reserve,
)
from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.errors import RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.manifest import Manifest
from recolor_cli.recolorizer import Recolorizer, StageTimings
from recolor_cli.types import AnyRgbImage, FloatArray


def main() -> None:
    """Read a `InitMessage` and then jobs from standard input until it ends."""
    warnings.simplefilter("ignore")  # decoders', of what they repair in a file
    # What libraries print is not to come between the outcomes, and no picture that is called
    # /dev/stdin is to take the jobs.
    parent = _Parent(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with closing(parent):
        _serve(parent)


def _serve(parent: _Parent) -> None:
    """Do what the parent has to be done, until it has no more."""
    start: InitMessage | None = parent.recv()
    if start is None:
        return
    try:
        work, ready = _prepare(start, parent)
    except RecolorError as error:
        parent.send(error)
        return
    parent.send(ready)
    while job := parent.recv():
        parent.send(work(job))


def _prepare(start: InitMessage, parent: _Parent) -> tuple[PictureWork, ReadyMessage]:
    """Get the network ready; raises as `OnnxColorNetwork.load` and `require_distribution`."""
    setup, hosted = start.setup, start.hosted
    count = setup.count or 1
    threads = share_cpus(count)
    if setup.model is None:
        recolorizer: Recolorizer = _NoColor()
        ready = ReadyMessage("", setup.device, "", count)
    elif hosted:
        recolorizer = Recolorizer(
            _HostedNetwork(hosted.manifest, hosted.device, parent), setup.recolor
        )
        ready = ReadyMessage(hosted.manifest.name, hosted.device, "", count)
    else:
        from recolor_cli.model.onnx_network import OnnxColorNetwork  # onnxruntime: only who runs it

        network = OnnxColorNetwork.load(setup.model, setup.device, threads)
        if setup.needs_distribution:
            network.require_distribution()
        recolorizer = Recolorizer(network, setup.recolor)
        ready = ReadyMessage(network.manifest.name, network.device, network.cpu_reason, count)
    return PictureWork(recolorizer, setup.output, _ParentsBudget(parent)), ready


class _Parent(Channel):
    """The process that started this one."""

    def ask(self, question: object) -> Any:
        """Return the parent's answer, or raise it where it is an error."""
        self.send(question)
        answer = self.recv()
        if answer is None:
            sys.exit(1)  # nobody wants the picture any more
        if isinstance(answer, RecolorError):
            raise answer
        return answer


class _ParentsBudget:
    """The memory that all processes share."""

    def __init__(self, parent: _Parent) -> None:
        self._parent = parent

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them; as `MemoryBudget.reserve`."""
        self._parent.ask(Reserve(needed))
        try:
            yield
        finally:
            self._parent.send(Release())


@dataclass(frozen=True, slots=True)
class _HostedNetwork:
    """The network that the parent holds."""

    manifest: Manifest
    device: str
    parent: _Parent

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict` promises, and raise what the network raises."""
        answer: FloatArray = self.parent.ask(Predict(lightness, temperature))
        return answer

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return what `predict` decodes, as `DistributionNetwork` promises."""
        answer: Distribution = self.parent.ask(Distribute(lightness))
        return answer


class _NoColor(Recolorizer):
    """Leaves pictures as they are: what `recolor bench` compares with."""

    def __init__(self) -> None:
        """Take no network."""
        self.options = RecolorOptions()

    def recolor(
        self, rgb: AnyRgbImage, timings: StageTimings | None = None, in_place: bool = False
    ) -> AnyRgbImage:
        """Return the picture as it is."""
        return rgb

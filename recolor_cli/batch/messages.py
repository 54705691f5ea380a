"""Messages between the program and its worker processes.

To a process go one `InitMessage` and then `TaskMessage`s, which may have a picture and options of
their own (`Request`). From it come one `ReadyMessage`, or a RecolorError, and then an `Outcome` for
each task. Meanwhile it may ask for memory (`Reserve`) and for the network on a GPU (`Predict`,
`Distribute`). A question is answered, with an error if it cannot be granted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from recolor_cli.batch.job import Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.types import FloatArray

if TYPE_CHECKING:
    from recolor_cli.model.manifest import Manifest


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of all workers of a run.

    Parameters
    ----------
    model, device : str
    count : int or None
        Number of pictures at a time; None lets the program choose.
    total : int or None
        Number of pictures, if it is known.
    recolor : RecolorOptions
    output : OutputOptions
    on_store : bool
        Whether pictures come from a store or results go to one.
    """

    model: str
    device: str
    count: int | None
    total: int | None
    recolor: RecolorOptions
    output: OutputOptions
    on_store: bool = False

    @property
    def needs_distribution(self) -> bool:
        """Whether the model must give a distribution over colors, not one color."""
        return self.recolor.steering is not None or self.output.needs_distribution


@dataclass(frozen=True, slots=True)
class HostedModel:
    """Facts about a network that the program holds for its processes."""

    manifest: Manifest
    device: str


@dataclass(frozen=True, slots=True)
class InitMessage:
    """The first message to a process.

    Parameters
    ----------
    config : WorkerConfig
        Its count is the number of all processes.
    threads : int
        For the network and the pixels of each process.
    hosted : HostedModel or None
        None lets the process load the network itself.
    allowance : int
        Bytes that a picture may take without asking.
    """

    config: WorkerConfig
    threads: int
    hosted: HostedModel | None
    allowance: int


@dataclass(frozen=True, slots=True)
class ReadyMessage:
    """The first message from a process.

    Parameters
    ----------
    name : str
        Of the model.
    device : str
    cpu_reason : str
        Why CUDA is not used; empty if it is, or was not to be tried.
    count : int
        Number of pictures at a time, of all processes.
    memory : int
        Bytes that the process has taken at most, 0 if that is unknown.
    """

    name: str
    device: str
    cpu_reason: str
    count: int
    memory: int = 0


class Request(Protocol):
    """A task with options of its own. Processes unpickle it, and read its options themselves."""

    @property
    def model(self) -> str:
        """Name or path of the model."""
        ...

    @property
    def picture(self) -> bytes | None:
        """Bytes of the picture, in place of a file; the result is then in the outcome."""
        ...

    @property
    def seconds(self) -> float:
        """Time that the work may take; then the process is ended."""
        ...

    def options(self) -> tuple[RecolorOptions, OutputOptions]:
        """Read the options, which may decode pictures; raises RecolorError."""
        ...


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A job, the outputs of it that are to be made, and its own options, if it has any."""

    job: Job
    missing: MissingOutputs
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Request for memory, bytes, instead of what the process holds; answered when it is free."""

    needed: int


@dataclass(frozen=True, slots=True)
class Predict:
    """Request for `ColorNetwork.predict` of the hosted network."""

    lightness: FloatArray
    temperature: float


@dataclass(frozen=True, slots=True)
class Distribute:
    """Request for `DistributionNetwork.distribution` of the hosted network."""

    lightness: FloatArray

"""What the actors of a cluster do: pictures, or films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.cluster.nodes import Node
from recolor_cli.cluster.shared_places import SharedPlaces
from recolor_cli.cluster.shares import Share


class Actor(Protocol):
    """What Ray holds on a machine. It is made without arguments; one method runs at a time."""

    def start(self, config: Any) -> ReadyMessage:
        """Load the network; raises RecolorError."""
        ...

    def lacks(self, places: SharedPlaces) -> str:
        """Return the folder that the machine does not see; empty if it sees all."""
        ...

    def do(self, job: Job, missing: MissingOutputs) -> Outcome:
        """Do a job. Errors are in the outcome."""
        ...

    def stop(self) -> None:
        """Be told that the run is to stop. It may be called while a job is done."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterWork:
    """What the actors of a run are, and how they begin.

    Parameters
    ----------
    actor : type of Actor
    share_of : callable
        Returns what each actor of a machine gets.
    config_of : callable
        Returns what `Actor.start` is given, for such a share.
    """

    actor: type[Actor]
    share_of: Callable[[Node], Share]
    config_of: Callable[[Share], object]

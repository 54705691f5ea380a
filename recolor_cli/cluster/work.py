"""The work of the actors of a cluster: pictures, or films."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.cluster.nodes import Node
from recolor_cli.cluster.shared_places import SharedPlaces
from recolor_cli.cluster.shares import Share

# A job, and those of its outputs that are to be made.
Task = tuple[Job, MissingOutputs]


class Actor(Protocol):
    """An object that Ray holds on a machine. It is made without arguments."""

    def start(self, config: Any) -> ReadyMessage:
        """Load the network; raises RecolorError."""
        ...

    def lacks(self, places: SharedPlaces) -> str:
        """Return the folder that the machine does not see; empty if it sees all."""
        ...

    def do(self, tasks: Sequence[Task]) -> list[Outcome | None]:
        """Do jobs. Errors are in the outcomes; None is a job that was not begun before a stop.

        Two calls may run at a time, in threads, if the share has several processes.
        """
        ...

    def stop(self) -> None:
        """Begin no further job. It may be called while jobs are done."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterWork:
    """The class of the actors of a run, their shares of machines, and their configuration.

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

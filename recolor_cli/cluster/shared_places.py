"""Find what all machines must have: the model, and local places, because pictures go by names."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import ray

from recolor_cli.batch.job import Job
from recolor_cli.cluster.nodes import Node
from recolor_cli.errors import ModelError
from recolor_cli.model.model_files import digest_model
from recolor_cli.system.files import existing_folder
from recolor_cli.system.places import is_address
from recolor_cli.system.temporary_files import temporary_file


@dataclass(frozen=True, slots=True)
class SharedPlaces:
    """Local places that a machine must see as the driver sees them.

    Parameters
    ----------
    source : str
        A picture; empty if it comes from a store.
    size : int
        Its bytes.
    marker : str
        A file that the driver has made where the result goes; empty if that is a store.
    """

    source: str
    size: int
    marker: str

    def missing_here(self) -> str:
        """Return the folder that this machine does not see; empty if it sees all."""
        source = Path(self.source)
        if self.source and not (source.is_file() and source.stat().st_size == self.size):
            return str(source.absolute().parent)
        if self.marker and not Path(self.marker).is_file():
            return str(Path(self.marker).parent)
        return ""


@dataclass(frozen=True, slots=True)
class SharedModel:
    """The model of a run, and the folder from which its name and those of pictures are looked up.

    Parameters
    ----------
    name : str
        Name or path.
    digest : str
        Hash of its file.
    folder : str
        The driver's working folder.
    """

    name: str
    digest: str
    folder: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Describe a model of this machine; raises ModelError if there is none."""
        return cls(name, digest_model(name), str(Path.cwd()))

    def check(self) -> None:
        """Go to the driver's folder, if this machine has it, and compare the model.

        Raises
        ------
        ModelError
            If there is no such model, or another one.
        """
        with suppress(OSError):
            os.chdir(self.folder)
        if digest_model(self.name) != self.digest:
            raise ModelError(
                f"its model {self.name} is another one",
                "install the same version of recolor and of the model there",
            )


class SharedPlacesFinder:
    """Tells, once for each machine, what it must see. The first local picture stands for all.

    Parameters
    ----------
    at_end : ExitStack
        Removes the files that are made.
    """

    def __init__(self, at_end: ExitStack) -> None:
        self._at_end = at_end
        self._own_node = ray.get_runtime_context().get_node_id()
        self._checked: set[str] = set()  # ids of nodes
        self._markers: dict[Path, str] = {}  # by folder

    def to_check(self, node: Node, job: Job) -> SharedPlaces | None:
        """Return what a machine must see for a job; None if it was seen, or is not needed."""
        from_store, to_store = is_address(job.source), is_address(job.destination)
        if node.id in self._checked or node.id == self._own_node or (from_store and to_store):
            return None
        source, size, marker = "", 0, ""
        if not from_store:
            with suppress(OSError):  # a missing picture is its own error
                source, size = job.source, Path(job.source).stat().st_size
        if not to_store:
            marker = self._marker_in(existing_folder(Path(job.destination)))
        return SharedPlaces(source, size, marker)

    def note_seen(self, node: Node) -> None:
        """Remember that a machine sees what it must."""
        self._checked.add(node.id)

    def _marker_in(self, folder: Path) -> str:
        """Return a file of ours in a folder."""
        if folder not in self._markers:
            try:
                path, _ = self._at_end.enter_context(temporary_file(folder))
            except OSError:  # the results say why nothing can be written there
                return ""
            self._markers[folder] = str(path.absolute())
        return self._markers[folder]

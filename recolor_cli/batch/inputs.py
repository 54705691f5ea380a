"""Find the inputs that a name stands for: a file, the files of a folder, standard input."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from recolor_cli.batch.destination import (
    DEFAULT_SUFFIX,
    job_of,
    path_below,
    stream_destination,
)
from recolor_cli.batch.exclusion import is_excluded, is_machine_made
from recolor_cli.batch.file_identity import path_key
from recolor_cli.batch.job import Job, as_stream, is_stream
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import is_thumbnail, without_label
from recolor_cli.errors import InputError, UsageError
from recolor_cli.image.formats import SUFFIXES


def jobs_of(
    name: str, recursive: bool, options: OutputOptions, suffix: str, destination: str | None
) -> Iterator[Job]:
    """Yield the jobs of one input.

    Parameters
    ----------
    name : str
        A file, a folder, or `STREAM`.
    recursive : bool
        Search folders in depth.
    options : OutputOptions
    suffix : str
        From `result_suffix`.
    destination : str or None
        From `single_destination`; None names each result after its input.

    Raises
    ------
    UsageError
        If the name is empty.
    """
    if not name:
        raise UsageError("an input's name is empty", "check the quotes and variables")
    shard = options.shard
    for job in _jobs_of(name, recursive, options, suffix, destination):
        is_ours = shard is None or shard.holds(_name_in_shards(job.source, name, options))
        yield job if is_ours else replace(job, is_of_other_shard=True)


def _name_in_shards(source: str, searched: str, options: OutputOptions) -> str:
    """Return the name by which the shard of a source is found: its path below the base.

    Without a base it is the path below the folder that was searched, and of a file its name alone,
    so that machines may have the pictures in different places.
    """
    folder = options.base or (searched if os.path.isdir(searched) else None)
    below = path_below(source, folder) if folder else None
    return (below or Path(Path(source).name)).as_posix()


def _jobs_of(
    name: str, recursive: bool, options: OutputOptions, suffix: str, destination: str | None
) -> Iterator[Job]:
    if is_stream(name):
        stream = as_stream(name)
        yield Job(stream, destination or stream_destination(options, stream))
        return
    if is_url(name) and not os.path.exists(name):
        yield Job(name, error=_url_error(name))
        return
    path = Path(name)
    found: Iterable[tuple[Path, Path] | Job] = [(path, Path(path.name))]
    if os.path.isdir(name):
        found = _search(path, recursive, suffix or DEFAULT_SUFFIX, options)
    for entry in found:
        if isinstance(entry, Job):
            yield entry
            continue
        source, relative = entry
        if is_thumbnail(source):
            continue
        if options.backup is not None:
            place = os.path.realpath(source)  # a link stays a link
            if not _is_sidecar_in_place(place, options.backup):
                yield Job(str(source), place, backup=place + options.backup)
        elif destination:
            yield Job(str(source), destination)
        elif options.base is None:
            yield job_of(source, relative, options, suffix)
        elif below := path_below(str(source), options.base):
            yield job_of(source, below, options, suffix)
        else:
            outside = InputError(
                f"it does not lie in the folder {options.base}",
                "name a folder that holds all inputs with --base",
            )
            yield Job(str(source), error=outside)


def is_url(name: str) -> bool:
    """Tell whether an input is written like a URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def _url_error(url: str) -> InputError:
    if url.lower().startswith("file:"):
        path = unquote(url.partition("://")[2].removeprefix("localhost"))
        return InputError("it is a URL, not the name of a file", f"name the file: {path}")
    return InputError(
        "recolor reads files and downloads nothing",
        "download it first: curl -L -o FILE URL; a picture also by curl -sL URL | recolor - > FILE",
    )


def original_stem(stem: str, suffix: str) -> str:
    """Return the path, without its ending, of the picture that a result would be made from.

    Parameters
    ----------
    stem : str
        A path without its ending. It is returned unchanged if it is not named like a result.
    suffix : str
        From `result_suffix`.
    """
    _, name = os.path.split(stem)
    return stem.removesuffix(name) + _original(name, suffix or DEFAULT_SUFFIX)


def is_earlier_result(source: str, suffix: str, options: OutputOptions) -> bool:
    """Tell by its name whether a file is a result, or a sidecar file, of a picture that exists.

    The picture may have the name of another format. It lies beside the file or, if the file lies in
    the output folder, below the base.
    """
    path = Path(source)
    original = _original(path.stem, suffix or DEFAULT_SUFFIX)
    if original != path.stem and _is_there(path.with_stem(original)):
        return True
    if options.out is None or options.base is None:
        return False
    below = path_below(source, options.out)
    if below is None or path_key(options.out) == path_key(options.base):
        return False
    place = Path(options.base) / below
    return any(
        _is_there(place.with_stem(stem)) for stem in {place.stem, _original(place.stem, suffix)}
    )


def _is_there(path: Path) -> bool:
    """Tell whether there is a picture of a name, with the ending of any format."""
    endings = (path.suffix, *SUFFIXES, *map(str.upper, SUFFIXES))
    return any(os.path.exists(path.with_suffix(ending)) for ending in endings)


def _is_sidecar_in_place(path: str, backup: str) -> bool:
    """Tell whether a file is a sidecar file of a picture that an earlier run recolored in place."""
    result = Path(path).with_stem(without_label(Path(path).stem))
    return result != Path(path) and os.path.exists(f"{result}{backup}")


def _search(
    folder: Path, recursive: bool, suffix: str, options: OutputOptions
) -> list[tuple[Path, Path] | Job]:
    """Return the files of a folder, each with its path relative to it, in the order of their names.

    Left out are hidden files and folders, links to folders, folders of thumbnails, the output
    folder, what `OutputOptions.exclude` names, and results that lie beside the picture that they
    were made from. Unsupported files, and folders that cannot be read, come as jobs with an error.
    """
    found: list[tuple[Path, Path] | Job] = []

    def add_unreadable(error: OSError) -> None:
        failure = InputError(f"cannot be read: {error.strerror}", "check its permissions")
        found.append(Job(str(error.filename), error=failure))

    out_folder = Path(options.out).resolve() if options.out is not None else None
    for root, folders, files in os.walk(folder, onerror=add_unreadable):
        here = Path(root)
        below = here.relative_to(folder)

        def is_wanted(name: str, below: Path = below) -> bool:
            excluded = is_excluded((below / name).as_posix(), options.exclude)
            return not name.startswith(".") and not excluded

        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and is_wanted(name)
            and not is_machine_made(name)
            and not (out_folder and (here / name).resolve() == out_folder)
        )
        paths = [here / name for name in sorted(files) if is_wanted(name)]
        found += [
            Job(str(path), error=error, is_unsupported=True)
            for path in paths
            if (error := options.kind.unsupported(path.suffix))
        ]
        readable = [path for path in paths if options.kind.reads(path.name)]
        stems = {path.stem for path in readable}
        for path in readable:
            original = _original(path.stem, suffix)
            is_result = original != path.stem and original in stems
            if not is_result and not _is_special(path):
                found.append((path, path.relative_to(folder)))
    return found


def _original(stem: str, suffix: str) -> str:
    """Return the stem of the picture that a result, or its sidecar file, would be made from."""
    unlabelled = without_label(stem, suffix)
    return (unlabelled if unlabelled.endswith(suffix) else stem).removesuffix(suffix)


def _is_special(path: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device: reading it might never end."""
    return os.path.exists(path) and not os.path.isfile(path)

"""Search folders of disks and stores for pictures or films."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path, PurePath

from recolor_cli.batch.exclusion import is_excluded, is_machine_made
from recolor_cli.batch.job import Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import without_label
from recolor_cli.errors import InputError
from recolor_cli.image.film_names import has_film_suffix
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.unsupported import unsupported_suffix
from recolor_cli.system.compact import HashedSet, sorted_compactly
from recolor_cli.system.places import address_error, below, is_address
from recolor_cli.system.stores import LISTINGS

# Paths within the searched folder are text with slashes: path objects would double the time of
# planning a million pictures.
_Enters = Callable[[str], bool]
# A folder within the searched one, "" for that itself, and names of its files in order. On a store
# they may be some of its files.
_Group = tuple[str, list[str]]
_AT_ONCE = 1000  # names in a group of a store


def is_folder(name: str) -> bool:
    """Tell whether an input is a folder.

    A store is asked only about addresses that are not named like a folder, a picture or a film.

    Raises
    ------
    InputError
        If the store does not tell.
    """
    if not is_address(name):
        return os.path.isdir(name)
    if name.endswith("/"):
        return True
    ending = PurePath(name).suffix
    is_file = ImageFormat.of_suffix(ending) or unsupported_suffix(ending) or has_film_suffix(name)
    return not is_file and LISTINGS.has_folder(name)


def search(
    folder: str, recursive: bool, suffix: str, options: OutputOptions
) -> Iterator[tuple[str, str] | Job]:
    """Yield the files of a folder, each with its path within it, in the order of their names.

    The paths within the folder have slashes, on Windows, too.

    Left out are hidden files and folders, links to folders, folders of thumbnails, the output
    folder, what `OutputOptions.exclude` names, and results that lie beside the picture that they
    were made from. Unsupported files, and folders that cannot be read, come as jobs with an error.

    Raises
    ------
    InputError
        If the folder of a store cannot be listed.
    """
    is_on_store = is_address(folder)

    def is_wanted(path: str) -> bool:
        if _name_of(path).startswith("."):
            return False
        return not options.exclude or not is_excluded(path, options.exclude)

    def enters(path: str) -> bool:
        return is_wanted(path) and not is_machine_made(_name_of(path))

    @cache
    def stems_on_store() -> HashedSet:
        names = LISTINGS.of_folder(folder, recursive)
        readable = (n for n in names if options.kind.reads(n) and is_wanted(n))
        return HashedSet(os.path.splitext(name)[0] for name in readable)

    def has_original(path: str, original: str, stems_of_group: set[str]) -> bool:
        if is_on_store:  # its groups are parts of folders
            return path.removesuffix(_name_of(path)) + original in stems_on_store()
        return original in stems_of_group

    groups: Iterable[_Group | Job]
    if is_on_store:
        groups = _walk_store(folder, recursive, enters, options.out)
    else:  # as a whole, before results of this run appear in it
        groups = list(_walk_disk(folder, recursive, enters, options.out))
    for group in groups:
        if isinstance(group, Job):
            yield group
            continue
        within, names = group
        readable = {}
        for name in names:
            path = _joined(within, name)
            if not is_wanted(path):
                continue
            stem, ending = os.path.splitext(name)
            if error := options.kind.unsupported(ending):
                yield Job(below(folder, path), error=error, is_unsupported=True)
            if options.kind.reads(name):
                readable[path] = stem
        stems = set(readable.values())
        for path, stem in readable.items():
            original = original_name(stem, suffix)
            if original == stem or not has_original(path, original, stems):
                place = below(folder, path)
                if is_on_store or not _is_special(place):
                    yield place, path


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]


def original_name(stem: str, suffix: str) -> str:
    """Return the stem of the picture that a result, or its sidecar file, would be made from."""
    unlabelled = without_label(stem, suffix)
    return (unlabelled if unlabelled.endswith(suffix) else stem).removesuffix(suffix)


def _is_special(path: str) -> bool:
    """Tell whether a path is a pipe, a socket or a device: reading it might never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def _walk_disk(
    folder: str, recursive: bool, enters: _Enters, out: str | None
) -> Iterator[_Group | Job]:
    unreadable: list[Job] = []

    def note_unreadable(error: OSError) -> None:
        failure = InputError(f"cannot be read: {error.strerror}", "check its permissions")
        unreadable.append(Job(str(error.filename), error=failure))

    out_folder = Path(out).resolve() if out is not None and not is_address(out) else None
    for root, folders, files in os.walk(folder, onerror=note_unreadable):
        yield from unreadable
        unreadable.clear()
        here = Path(root)
        inner = here.relative_to(folder)
        within = inner.as_posix() if inner.name else ""
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and enters(_joined(within, name))
            and not (out_folder and (here / name).resolve() == out_folder)
        )
        yield within, sorted(files)
    yield from unreadable


def _walk_store(
    folder: str, recursive: bool, enters: _Enters, out: str | None
) -> Iterator[_Group | Job]:
    @cache
    def is_entered(parts: tuple[str, ...]) -> bool:
        if not parts:
            return True
        path = "/".join(parts)
        is_out = out is not None and below(folder, path) == out.rstrip("/")
        return is_entered(parts[:-1]) and enters(path) and not is_out

    paths = map(_parted, LISTINGS.of_folder(folder, recursive))
    # In the order in which folders of disks are walked.
    for parts, group in groupby(sorted_compactly(paths), itemgetter(0)):
        names = (name for _, name in group)
        place = "/".join((folder.rstrip("/"), *parts, ""))
        if error := address_error(place):
            for name in names:
                yield Job(place + name, error=error)
        elif is_entered(parts):
            while some := list(islice(names, _AT_ONCE)):
                yield "/".join(parts), some


def _parted(path: str) -> tuple[tuple[str, ...], str]:
    """Return the names of the folders of a path, and that of the file."""
    *parents, name = path.split("/")
    return tuple(parents), name

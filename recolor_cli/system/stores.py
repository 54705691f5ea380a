"""List, read and write the objects of stores: S3, Google Cloud Storage, Azure, SFTP servers.

fsspec and its packages do the work. They are loaded when an address is used, not before. They find
credentials by their own means, and try again what a store refuses for a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from recolor_cli.errors import InputError, OutputError
from recolor_cli.system.compact import HashedSet
from recolor_cli.system.listing import Listing
from recolor_cli.system.places import (
    folder_of,
    names_folder,
    password_error,
    scheme_of,
    sibling,
    store_of,
)
from recolor_cli.system.store_errors import store_errors

# Others may read a file of such a server before it is whole.
_WRITES_ARE_NOT_ATOMIC = ("sftp",)
_HAS_FOLDERS = ("sftp",)
_READ_ARGUMENTS = {"s3": {"max_concurrency": 1}}  # with more, s3fs asks for the size first
_ON_GOOGLE = ("gs", "gcs")
_ON_AZURE = ("az", "abfs", "abfss")
_IN_BUCKETS = ("s3", *_ON_GOOGLE, *_ON_AZURE)


class Listings:
    """Listings of stores. Each folder or prefix is listed once in a run."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, bool], Listing] = {}
        self._prefixes: dict[str, HashedSet | None] = {}  # the rests of addresses
        self._is_folder: dict[str, bool] = {}  # by address
        self.asks_for_each = False

    def of_folder(self, folder: str, recursive: bool) -> Listing:
        """Return the objects in a folder.

        Raises
        ------
        InputError
            If it cannot be listed.
        """
        folder = folder.rstrip("/")
        key = folder, recursive
        if key not in self._folders:
            self._folders[key] = Listing(_list(f"{folder}/", recursive))
        return self._folders[key]

    def has_folder(self, address: str) -> bool:
        """Tell whether an address is that of a folder.

        Raises
        ------
        InputError
            If the store does not tell.
        """
        if names_folder(address):
            return True
        if address not in self._is_folder:
            with store_errors(address):
                fs, path = _open(address)
                self._is_folder[address] = bool(fs.isdir(path))
        return self._is_folder[address]

    def expect(self, prefix: str) -> None:
        """List all addresses with a prefix at once, as soon as one of them is asked for."""
        self._prefixes.setdefault(prefix, None)

    def ask_for_each(self) -> None:
        """Trust no listing from now on, but ask the store for each address: a watch lasts weeks."""
        self.asks_for_each = True
        # Another thread may iterate over the old ones.
        self._folders, self._prefixes = {}, {}

    def is_written(self, address: str) -> bool:
        """Tell whether there is an object of an address, unless it is empty.

        Raises
        ------
        InputError
            If its folder cannot be listed.
        """
        if self.asks_for_each:
            return _is_written(address)
        for (folder, recursive), listing in self._folders.items():
            rest = address[len(folder) + 1 :]
            if address.startswith(f"{folder}/") and (recursive or "/" not in rest):
                return rest in listing.written
        for prefix, found in self._prefixes.items():
            if address.startswith(prefix):
                if found is None:
                    listed = _list(prefix, recursive=True)
                    rests = (rest for rest, is_empty in listed if not is_empty)
                    found = self._prefixes[prefix] = HashedSet(rests)
                return address[len(prefix) :] in found
        folder = folder_of(address)
        return address[len(folder) + 1 :] in self.of_folder(folder, False).written

    def forget(self) -> None:
        """Forget all, because another run begins."""
        self._folders.clear()
        self._prefixes.clear()
        self._is_folder.clear()
        self.asks_for_each = False


LISTINGS = Listings()
"""Those of the run that this process does."""


def _is_written(address: str) -> bool:
    """Ask a store whether there is an object of an address, unless it is empty."""
    with store_errors(address):
        fs, path = _open(address)
        try:
            return bool(fs.info(path)["size"])
        except FileNotFoundError:
            return False


def addresses_with(prefix: str) -> set[str]:
    """Return the addresses of a folder with a prefix; raises as `Listings.is_written`."""
    return {prefix + rest for rest, _ in _list(prefix, recursive=False)}


def read(address: str, end: int | None = None) -> bytes:
    """Return the bytes of an object, or those before `end`.

    Raises
    ------
    InputError
        If it is missing or cannot be read.
    """
    with store_errors(address):
        fs, path = _open(address)
        part = {} if end is None else {"start": 0, "end": end}
        data: bytes = fs.cat_file(path, **part, **_READ_ARGUMENTS.get(scheme_of(address), {}))
        return data


def write(address: str, data: bytes) -> None:
    """Write an object, so that it exists whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with _placed(address) as (fs, path):
        fs.pipe_file(path, data, **_type_of(address))


@contextmanager
def writing(address: str) -> Iterator[BinaryIO]:
    """Write an object by way of a temporary file, which is uploaded when the block ends.

    Yields
    ------
    BinaryIO
        The temporary file, open for writing and reading.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with temporary_path(address) as path:
        with _temporary_file_errors(address), path.open("x+b") as file:
            yield file
        upload(path, address)


@contextmanager
def temporary_path(address: str) -> Iterator[Path]:
    """Yield a path for a temporary file of an object, with its ending; the file goes at the end.

    Raises
    ------
    OutputError
        If its folder cannot be made. Errors of the block are not of the file alone, and stay.
    """
    from tempfile import TemporaryDirectory

    with _temporary_file_errors(address):
        folder = TemporaryDirectory(prefix="recolor-", ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name) / f"object{PurePosixPath(address).suffix}"


def temporary_file_error(address: str, reason: str) -> OutputError:
    """Return the error of an object whose temporary file cannot be written."""
    return OutputError(
        f"the temporary file of {address} cannot be written: {reason}",
        "set TMPDIR to a folder with room",
    )


@contextmanager
def _temporary_file_errors(address: str) -> Iterator[None]:
    """Write the temporary file of an object; an OSError becomes an OutputError."""
    try:
        yield
    except OSError as error:
        raise temporary_file_error(address, error.strerror or str(error)) from error


def upload(file: Path, address: str) -> None:
    """Copy a file to an object, so that it exists whole or not at all; raises as `write`."""
    with _temporary_file_errors(address), _placed(address) as (fs, path):
        fs.put_file(str(file), path, **_type_of(address))


def download(address: str, file: Path) -> None:
    """Copy an object to a file; raises as `read`, and OutputError if the file cannot be written."""
    with _temporary_file_errors(address), store_errors(address):
        fs, path = _open(address)
        fs.get_file(path, str(file))


def remove(address: str) -> None:
    """Remove an object, if there is one and that is allowed."""
    with suppress(Exception):  # it cannot be written either, which is reported then
        fs, path = _open(address)
        fs.rm_file(path)


@contextmanager
def _placed(address: str) -> Iterator[tuple[Any, str]]:
    """Yield a file system and a path to write to, and give that the name of an address."""
    with store_errors(address, writes=True):
        fs, path = _open(address)
        if scheme_of(address) in _HAS_FOLDERS:
            _make_folders(fs, folder_of(path))
        if scheme_of(address) not in _WRITES_ARE_NOT_ATOMIC:
            yield fs, path
            return
        import secrets  # needed by no run on disks

        temporary = sibling(path, f".recolor-{secrets.token_hex(8)}.tmp")
        try:
            yield fs, temporary
            fs.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise


def _make_folders(fs: Any, folder: str) -> None:
    """Make a folder and those above it, some of which another process may make meanwhile."""
    for tries_left in reversed(range(folder.count("/") + 1)):  # one race for each at most
        try:
            fs.makedirs(folder, exist_ok=True)
            return
        except OSError:
            # A server of SFTP has one answer for all reasons. One that refuses does so again.
            if not tries_left:
                raise


def _type_of(address: str) -> dict[str, Any]:
    """Return the argument that tells a store the type of an object, such as ``image/jpeg``."""
    import mimetypes  # needed by no run on disks

    found, _ = mimetypes.guess_type(address, strict=False)
    scheme = scheme_of(address)
    if found is None or scheme not in _IN_BUCKETS:
        return {}
    if scheme in _ON_AZURE:
        from azure.storage.blob import ContentSettings

        return {"content_settings": ContentSettings(content_type=found)}
    return {"content_type" if scheme in _ON_GOOGLE else "ContentType": found}


def _open(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path of the address in it.

    Raises
    ------
    UsageError
        If there is a password in the address.
    InputError
        If the library would take another object for it.
    """
    if error := password_error(address):
        raise error
    scheme, store = scheme_of(address), store_of(address)
    if scheme in _ON_GOOGLE:
        # Else gcsfs asks for the kind of each bucket by gRPC, again and again for a minute where a
        # network lets none pass. Only buckets of Rapid Storage need it.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from fsspec.core import url_to_fs

    _silence()
    # A key is no URL, of which fsspec would cut off what follows `::`, for example.
    fs, root = url_to_fs(store, **_settings(scheme))
    path = f"{root}{address[len(store) :]}"
    if scheme in _IN_BUCKETS:
        path = path.strip("/")
        bucket, key, *_ = fs.split_path(path)  # as it does itself in each request
        if f"{bucket}/{key}".rstrip("/") != path:
            raise InputError(f"the client of {store} would take another object for it", "rename it")
    return fs, path


def _settings(scheme: str) -> dict[str, Any]:
    """Return arguments of the file system of a scheme."""
    if scheme in _IN_BUCKETS:
        return {"use_listings_cache": False}  # it would keep a kilobyte for each object
    if scheme != "sftp":
        return {}
    from recolor_cli.system.host_keys import KnownHosts

    return {"host_key_policy": KnownHosts}


@cache
def _silence() -> None:
    """Keep what libraries log of their tries off the terminal, unless the user asked for logs."""
    import logging

    for package in ("fsspec", "gcsfs", "paramiko", "azure"):
        logging.getLogger(package).addHandler(logging.NullHandler())


def _list(prefix: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """Yield what follows a prefix in addresses of objects, and whether each object is empty."""
    folder = f"{folder_of(prefix)}/"
    with store_errors(folder):
        fs, path = _open(folder)
        path = path.rstrip("/")
        start = prefix[len(folder) :]
        if scheme_of(prefix) in _IN_BUCKETS:
            found = _in_bucket(fs, path, start, recursive, scheme_of(prefix))
        else:
            found = _in_folder(fs, path, recursive)
        for name, is_empty in found:
            if name.startswith(start) and not name.endswith("/"):  # some have objects for folders
                yield name[len(start) :], is_empty


def _in_bucket(
    fs: Any, path: str, start: str, recursive: bool, scheme: str
) -> Iterator[tuple[str, bool]]:
    """Yield the names with a start in a folder of a bucket, and whether each object is empty."""
    listing: Any  # each is needed by no run on disks
    if scheme == "s3":
        from recolor_cli.system import s3_listing as listing
    elif scheme in _ON_GOOGLE:
        from recolor_cli.system import google_listing as listing
    else:
        from recolor_cli.system import azure_listing as listing
    bucket, _, key = path.partition("/")
    folder = f"{key}/" if key else ""
    for name, is_empty in listing.objects(fs, bucket, folder + start, recursive):
        yield name[len(folder) :], is_empty


def _in_folder(fs: Any, path: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder of any file system, and whether each file is empty."""
    try:
        if recursive:
            items = list(fs.find(path, detail=True).values())
        else:
            items = [item for item in fs.ls(path, detail=True) if item["type"] == "file"]
    except FileNotFoundError:
        return
    for item in items:
        yield item["name"].removeprefix(path).removeprefix("/"), not item.get("size")

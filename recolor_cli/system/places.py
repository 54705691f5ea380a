"""Names of places: paths of disks, and addresses of objects on stores, such as s3://bucket/a.jpg."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from recolor_cli.errors import InputError, UsageError

# Each with the package, besides fsspec, that opens it.
SCHEMES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
}

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"/[A-Za-z]:")  # in the URL of a file on Windows


def is_url(name: str) -> bool:
    """Tell whether a name is written like a URL."""
    return _URL.match(name) is not None


def is_address(name: str) -> bool:
    """Tell whether a name is the address of an object or a folder on a store."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme in SCHEMES


def scheme_of(address: str) -> str:
    """Return the scheme of an address, such as ``s3``."""
    return address.partition("://")[0]


def store_of(address: str) -> str:
    """Return the address of the bucket, container or server that an address belongs to.

    Examples
    --------
    >>> store_of("s3://posters/1931/a.jpg")
    's3://posters'
    """
    scheme, separator, rest = address.partition("://")
    return scheme + separator + rest.partition("/")[0]


def without_password(address: str) -> str:
    """Return an address without the password that is written into it.

    Examples
    --------
    >>> without_password("sftp://ann:secret@host/a.jpg"), without_password("s3://posters/a.jpg")
    ('sftp://ann@host/a.jpg', 's3://posters/a.jpg')
    """
    store = store_of(address)
    scheme, separator, server = store.partition("://")
    user, at, host = server.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{scheme}{separator}{name}{at}{host}{address[len(store) :]}" if colon else address


def password_error(address: str) -> UsageError | None:
    """Return the error of an address with a password in it, or None. It does not show it."""
    if address == without_password(address):
        return None
    return UsageError(
        "an address has a password in it, which messages would show",
        "leave it out: sftp://USER@HOST/PATH; ssh-add loads a key",
    )


def address_error(address: str) -> InputError | None:
    """Return the error of an address with parts that no folder can have as names, or None.

    `-o` could be left by them. A slash at the end is no empty part.

    Examples
    --------
    >>> address_error("s3://posters/1931/"), address_error("s3://posters/1931//a.jpg").message
    (None, 'its name has an empty part, or one of dots')
    """
    _, *parts = address[len(store_of(address)) :].split("/")
    if parts and not parts[-1]:
        parts.pop()
    if {"", ".", ".."}.isdisjoint(parts):
        return None
    return InputError("its name has an empty part, or one of dots", "rename it")


def local_name(name: str) -> str:
    """Return the path that a ``file://`` URL of this machine means, and other names as they are.

    Examples
    --------
    >>> local_name("file:///scans/a%20b.jpg"), local_name("s3://posters/a%20b.jpg")
    ('/scans/a b.jpg', 's3://posters/a%20b.jpg')
    """
    for start in ("file:///", "file://localhost/"):
        if name.startswith(start):
            from urllib.parse import unquote

            path = unquote(name[len(start) - 1 :])
            return path[1:] if os.name == "nt" and _DRIVE.match(path) else path
    return name


def names_folder(address: str) -> bool:
    """Tell whether an address must mean a folder: it ends in a slash, or has no path."""
    return address.endswith("/") or address == store_of(address)


def absolute(place: str) -> str:
    """Return a path from the root, and an address as it is."""
    return place if is_address(place) else os.path.abspath(place)


def folder_of(place: str) -> str:
    """Return the folder that a file or an object lies in."""
    return place.rpartition("/")[0] if is_address(place) else str(Path(place).parent)


def sibling(place: str, name: str) -> str:
    """Return the place of another name in the folder of a file or an object.

    Examples
    --------
    >>> sibling("s3://posters/1931/a.jpg", "b.jpg")
    's3://posters/1931/b.jpg'
    """
    if is_address(place):
        return f"{folder_of(place)}/{name}"
    return str(Path(place).with_name(name))


def below(folder: str, relative: PurePath | str) -> str:
    """Return the place of a relative path in a folder.

    Examples
    --------
    >>> below("s3://posters/", PurePath("1931/a.jpg")), below("s3://posters", PurePath())
    ('s3://posters/1931/a.jpg', 's3://posters')
    """
    if not is_address(folder):
        return str(Path(folder) / relative)
    text = relative if isinstance(relative, str) else relative.as_posix()
    return folder.rstrip("/") if text == "." else f"{folder.rstrip('/')}/{text}"


def relative_to(place: str, folder: str) -> Path | None:
    """Return a place relative to a folder; None if it lies elsewhere."""
    if is_address(place) or is_address(folder):
        start = f"{folder.rstrip('/')}/"
        is_inside = is_address(folder) and f"{place}/".startswith(start)
        return Path(place[len(start) :]) if is_inside else None
    try:
        return Path(os.path.abspath(place)).relative_to(os.path.abspath(folder))
    except ValueError:
        return None


def common_folder(folders: Sequence[str]) -> str:
    """Return the deepest folder that holds all folders.

    Raises
    ------
    ValueError
        If there is none, because they lie on several drives or stores.
    """
    if not any(map(is_address, folders)):
        return os.path.commonpath(folders)
    if len(set(map(store_of, folders))) > 1 or not all(map(is_address, folders)):
        raise ValueError("several stores")
    scheme = scheme_of(folders[0])
    return f"{scheme}:/{posixpath.commonpath([folder[len(scheme) + 2 :] for folder in folders])}"

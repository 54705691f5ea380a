"""Download a file by HTTP: resumed where it was cut, with a clear error for each way to fail.

requests carries it, and heeds the settings for proxies and certificates. It is imported by this
module alone, which `recolor models add` alone imports: nothing else in the program has a network.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Protocol

import requests
import urllib3
from urllib3.exceptions import LocationParseError

from recolor_cli.errors import DiskFullError, ModelError, OutputError
from recolor_cli.model.download_errors import explain_request_error, explain_status, short_address
from recolor_cli.model.http_session import open_session
from recolor_cli.system.files import write_error
from recolor_cli.system.texts import megabytes

MAX_BYTES = 4_000_000_000
CONNECT_TIMEOUT = 20.0  # s
STALL_TIMEOUT = 20.0  # s without a byte, or with fewer than `_SLOWEST` bytes a second
PAUSES = (1.0, 2.0, 4.0, 8.0)  # s before each new try after a cut
_SLOWEST = 1000  # bytes a second
_PROGRESS = 1 << 20  # bytes after which the tries are counted anew
_CHUNK = 1 << 16  # bytes
_FOLDER_ADVICE = "see that there is room and that you may write there, or set RECOLOR_MODELS"
_SPARE = 1 << 24  # bytes that stay free on the disk


class Watcher(Protocol):
    """Takes news of a download while it runs."""

    def on_size(self, total: int | None) -> None:
        """Take the size of the file in bytes, if the server tells it, before the first byte."""

    def on_progress(self, done: int) -> None:
        """Take the number of bytes that are there; it falls if the file begins anew."""

    def on_cut(self, reason: str) -> None:
        """Take why the connection was cut, before a new try."""


@dataclass(frozen=True, slots=True)
class _Version:
    """The address, size, tag and time by which versions of a file differ."""

    address: str
    total: int | None = None
    tag: str = ""
    modified: str = ""


class _CutError(Exception):
    """The connection ended, or went silent, before the file did; another try may help."""


class _StaleError(Exception):
    """The bytes that are there are of another version of the file."""


def download(address: str, part: Path, watcher: Watcher, advice: str) -> None:
    """Download a file, or the rest of it.

    Parameters
    ----------
    address : str
        http or https.
    part : Path
        File for the bytes. If it exists, an earlier download of the address was cut there. It
        stays if this one is cut, too. A JSON file beside it holds what tells versions apart.
    watcher : Watcher
    advice : str
        Ends the hint of each error: how to do without the download.

    Raises
    ------
    ModelError
        If the file cannot be had, is a web page, or is too large.
    OutputError
        If it cannot be written, or the disk has no room for it.
    """
    with _writing(part) as file, open_session() as session:
        attempt = _Attempt(session, address, file, part, watcher, advice)
        pauses, farthest = iter(PAUSES), file.seek(0, os.SEEK_END)
        while True:
            try:
                attempt.run()
                return
            except _StaleError:
                file.truncate(0)
            except _CutError as error:
                done = file.seek(0, os.SEEK_END)
                if done - farthest >= _PROGRESS:
                    pauses, farthest = iter(PAUSES), done
                pause = next(pauses, None)
                if pause is None:
                    raise ModelError(
                        f"{short_address(address)}: {error}",
                        "run the same command again, it goes on from there; if it ends there "
                        f"again, get the file otherwise: {advice}",
                    ) from error
                watcher.on_cut(str(error))
                time.sleep(pause)


def remove_part(part: Path) -> None:
    """Remove what a download left, if there is something; raise OutputError if that fails."""
    for path in (part, _version_path(part)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise write_problem(path, error) from error


@dataclass(slots=True)
class _Attempt:
    """Requests of one file, until one of them gets its end. The parameters are `download`'s.

    Parameters
    ----------
    has_connected : bool
        Whether the server has answered, so that it can be expected to do so again.
    """

    session: requests.Session
    address: str
    file: BinaryIO
    part: Path
    watcher: Watcher
    advice: str
    has_connected: bool = False

    def run(self) -> None:
        """Append what is missing to the file, in one request."""
        known, done = _read_version(self.part), self.file.seek(0, os.SEEK_END)
        if done and (known is None or known.address != short_address(self.address)):
            raise _StaleError
        if known and done and done == known.total:
            return  # only the checks were left
        with self._ask(done) as response:
            if response.status_code == 416 and done:  # the file is not as long as that
                raise _StaleError
            if response.status_code not in (200, 206):
                raise explain_status(response.status_code, self.address, self.advice)
            found = _version_of(response, self.address)
            _check_response(response, found, self.advice)
            if response.status_code == 200 and done:  # it cannot resume, or the file is new
                self.file.truncate(0)
                done = self.file.seek(0)
            elif done and (found != known or _start_of(response) != done):
                raise _StaleError
            check_room(self.part, (found.total or 0) - done)
            _version_path(self.part).write_text(json.dumps(asdict(found)), encoding="utf-8")
            self.watcher.on_size(found.total)
            self._receive(response, found, done)

    def _ask(self, done: int) -> requests.Response:
        """Ask for the file from the byte number `done` on."""
        # Compressed, bytes could not be counted.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"recolor/{version('recolor-cli')}"}
        if done:
            headers["Range"] = f"bytes={done}-"
        try:
            response = self.session.get(
                self.address,
                headers=headers,
                stream=True,
                timeout=(CONNECT_TIMEOUT, STALL_TIMEOUT),
            )
        except requests.RequestException as error:
            if isinstance(error, requests.ReadTimeout):
                problem = f"the server gave no answer within {STALL_TIMEOUT:.0f} s"
                raise _CutError(problem) from error
            if _was_cut(error):
                raise _CutError("the server closed the connection without an answer") from error
            if self.has_connected and isinstance(error, requests.ConnectionError):
                raise _CutError("the server cannot be reached any more") from error
            raise explain_request_error(error, self.address, self.advice) from error
        except LocationParseError as error:  # requests lets it through
            raise ModelError(
                f"{short_address(self.address)} is no address, or leads to none", self.advice
            ) from error
        except OSError as error:  # requests says so of certificates that are not there
            raise ModelError(
                "the certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names are not there",
                f"correct the variable; or {self.advice}",
            ) from error
        self.has_connected = True
        return response

    def _receive(self, response: requests.Response, found: _Version, done: int) -> None:
        """Write the body of a response to the file, from the byte number `done` on."""
        self.watcher.on_progress(done)
        for chunk in _chunks(response, found, done):
            if done == 0 and is_page(chunk):
                raise web_page(found.address, self.advice)
            _write(self.file, self.part, chunk)
            done += len(chunk)
            self.watcher.on_progress(done)
            if done > MAX_BYTES:
                self.file.truncate(0)
                raise too_large(found.address)
        if found.total is not None and done != found.total:
            raise _CutError(f"the connection ended {_place_of(done, found.total)}")
        if not done:
            raise ModelError(f"{found.address} is empty", f"check the address; or {self.advice}")


def _was_cut(error: requests.RequestException) -> bool:
    """Tell whether a server took the connection and closed it without an answer."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, urllib3.exceptions.ProtocolError)


def _version_of(response: requests.Response, address: str) -> _Version:
    """Return what tells the version of the file that a response holds."""
    headers = response.headers
    text = headers.get("Content-Length", "")
    if response.status_code == 206:
        text = headers.get("Content-Range", "").rpartition("/")[2]
    total = int(text) if text.isdecimal() else None
    where = short_address(address)
    return _Version(where, total, headers.get("ETag", ""), headers.get("Last-Modified", ""))


def _start_of(response: requests.Response) -> int | None:
    """Return the number of the first byte of a partial response."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _check_response(response: requests.Response, found: _Version, advice: str) -> None:
    """Raise ModelError if it shows without the body that this is not the file."""
    if response.headers.get("Content-Type", "").startswith(("text/html", "application/xhtml")):
        raise web_page(found.address, advice)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ModelError(
            f"{found.address} is sent compressed", f"get it with a browser; then {advice}"
        )
    if found.total is not None and found.total > MAX_BYTES:
        raise too_large(found.address)


def check_room(part: Path, missing: int) -> None:
    """Raise DiskFullError if so many bytes more, 0 if it is not known, do not fit on the disk."""
    free = shutil.disk_usage(part.parent).free
    if missing + _SPARE > free:
        size = f" for {megabytes(missing)}" if missing else ""
        raise DiskFullError(
            f"{part.parent} has no room{size}: {megabytes(free)} are free",
            _FOLDER_ADVICE,
        )


def _chunks(response: requests.Response, found: _Version, done: int) -> Iterator[bytes]:
    """Yield the body as it comes; raise _CutError where it goes silent or ends too early."""
    began, count = time.monotonic(), 0
    while True:
        try:
            # The plain `read` would wait until a chunk is full, however slowly it comes.
            chunk = response.raw.read1(_CHUNK, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            problem = f"the server went silent for {STALL_TIMEOUT:.0f} s "
            raise _CutError(problem + _place_of(done, found.total)) from error
        except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            raise _CutError(f"the connection ended {_place_of(done, found.total)}") from error
        if not chunk:
            return
        yield chunk
        done, count = done + len(chunk), count + len(chunk)
        seconds = time.monotonic() - began
        if seconds >= STALL_TIMEOUT:
            if count < _SLOWEST * seconds:
                raise _CutError(f"the server sends {count / seconds:.0f} bytes a second")
            began, count = time.monotonic(), 0


def _place_of(done: int, total: int | None) -> str:
    """Return the end of a sentence that tells where a download ended too early."""
    if total is None:
        return f"after {done:,} bytes"
    return f"after {done:,} of the {total:,} promised bytes"


def is_page(start: bytes) -> bool:
    """Tell whether the first bytes of a file are those of a web page."""
    return start[:200].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml"))


def web_page(address: str, advice: str) -> ModelError:
    """Return the error of a web page in place of a file."""
    return ModelError(
        f"{address} is a web page, not a file",
        f"open it in a browser to see what it asks for; then {advice}",
    )


def too_large(source: str) -> ModelError:
    """Return the error of a file of more than `MAX_BYTES`."""
    return ModelError(
        f"{source} has more than {MAX_BYTES / 1e9:.0f} GB",
        "no network here needs so much: check that it is the right file",
    )


def _write(file: BinaryIO, part: Path, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise write_problem(part, error) from error


def write_problem(path: Path, error: OSError) -> OutputError:
    """Return the error of a file that cannot be written to the folder of models."""
    problem = write_error(path, error)
    problem.hint = _FOLDER_ADVICE
    return problem


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[BinaryIO]:
    """Open the file of a download."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise write_problem(part, error) from error
    finally:
        with contextlib.suppress(OSError, OutputError):
            if not part.stat().st_size:
                remove_part(part)


def _version_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")  # no model can have a name that makes it another's


def _read_version(part: Path) -> _Version | None:
    """Return the version that the bytes are of; None if it is not known, so that they are void."""
    try:
        return _Version(**json.loads(_version_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None

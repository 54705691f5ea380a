"""Read the bodies of requests: into memory, within limits, and not for ever.

Nothing is written to the disk, so that nothing is left there, whatever happens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from recolor_cli.errors import UsageError
from recolor_cli.serve.problems import RefusedError
from recolor_cli.serve.settings import SentFile
from recolor_cli.system.texts import counted

IDLE_SECONDS = 10  # without a byte
_SLOWEST = 16 << 10  # bytes a second, after the first `IDLE_SECONDS`
_PICTURE = "picture"  # the field of a form
_MAX_FILES = 32
_RETRY_SECONDS = 5


class Sent(NamedTuple):
    """The contents of a request: a picture, its name if it has one, and further files."""

    picture: bytes
    name: str | None
    files: list[SentFile]


class Memory:
    """Counts the bytes of all requests and results in memory.

    Parameters
    ----------
    most : int
        More are refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def hold(self, size: int) -> None:
        """Count so many bytes more; raises RefusedError if there is no room."""
        if self.used + size > self._most:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the requests in hand leave no memory for this one",
                "try again later",
                {"Retry-After": str(_RETRY_SECONDS)},
            )
        self.used += size


class Holding:
    """The bytes of one request in memory, until they are released."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.size = 0

    def add(self, size: int) -> None:
        """Count so many bytes more; raises RefusedError if there is no room."""
        self._memory.hold(size)
        self.size += size

    def count(self, size: int) -> None:
        """Count so many bytes that are there already, also if there is no room."""
        self._memory.used += size
        self.size += size

    def release(self) -> None:
        """Give all of them back."""
        self._memory.used -= self.size
        self.size = 0


async def read_sent(
    request: Request, file_options: tuple[str, ...], limit: int, holding: Holding
) -> Sent:
    """Read the picture of a request, which is its body or a file of a form.

    Parameters
    ----------
    request : Request
    file_options : tuple of str
        Fields of a form that hold further files.
    limit : int
        Bytes of the body.
    holding : Holding
        Counts the bytes.

    Raises
    ------
    RefusedError
        If the body is too large or too slow, or there is no memory for it.
    UsageError
        If a form is broken, or has other fields.
    ClientDisconnect
        If the client has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return Sent(await read_body(request, limit, holding), None, [])
    return await _read_form(request, file_options, _chunks(request, limit, holding))


async def read_body(request: Request, limit: int, holding: Holding) -> bytes:
    """Read the body of a request; parameters and errors are those of `read_sent`."""
    data = bytearray()
    async for chunk in _chunks(request, limit, holding):
        data += chunk
    return bytes(data)


async def _chunks(request: Request, limit: int, holding: Holding) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes, as long as it keeps the limits."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    started, size = time.monotonic(), 0
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow() from None
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        seconds = time.monotonic() - started - IDLE_SECONDS
        if seconds > 0 and size < seconds * _SLOWEST:
            raise _too_slow()
        holding.add(len(chunk))
        yield chunk


class _MemoryParser(MultiPartParser):
    """Keeps files in memory: a body is no larger than the limit."""

    spool_max_size = 1 << 40


async def _read_form(
    request: Request, file_options: tuple[str, ...], chunks: AsyncGenerator[bytes, None]
) -> Sent:
    parser = _MemoryParser(request.headers, chunks, max_files=_MAX_FILES, max_fields=_MAX_FILES)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError) as error:
        raise UsageError(
            "the form is broken", "send multipart/form-data, with its boundary, as RFC 7578 says"
        ) from error
    try:
        return await _sort_fields(form, file_options)
    finally:
        await form.close()


async def _sort_fields(form: FormData, file_options: tuple[str, ...]) -> Sent:
    pictures: list[tuple[str, bytes]] = []
    files: list[SentFile] = []
    for field, value in form.multi_items():
        if not isinstance(value, UploadFile):
            raise UsageError(
                f"the field {field} is no file", "options belong into the query, as ?strength=1"
            )
        content = await value.read()
        name = _plain_name(value.filename or "")
        if field == _PICTURE:
            pictures.append((name, content))
        elif field in file_options:
            files.append(SentFile(field, name or field, content))
        else:
            known = ", ".join((_PICTURE, *file_options))
            raise UsageError(f"a form has no field {field}", f"its fields are {known}")
    if len(pictures) != 1:
        raise UsageError(
            f"the form has {len(pictures)} pictures", f"send one, as the field {_PICTURE}"
        )
    name, picture = pictures[0]
    return Sent(picture, name or None, files)


def _plain_name(name: str) -> str:
    """Return the name of a file without its folders, as all systems write them."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return "" if name in (".", "..", "-") else name


def _too_large(limit: int) -> RefusedError:
    most = f"{limit >> 20:,} MiB" if limit >= 1 << 20 else counted(limit, "byte")
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request is larger than {most}",
        "send less; --max-body is the limit of files",
    )


def _too_slow() -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_TIMEOUT,
        f"the body comes too slowly: nothing for {IDLE_SECONDS} s, or less than "
        f"{_SLOWEST >> 10} KiB a second",
        "send it again over a faster line",
    )

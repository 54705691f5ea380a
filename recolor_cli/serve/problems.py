"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from recolor_cli.errors import (
    DeviceError,
    DiskFullError,
    ExitCode,
    FolderError,
    InferenceError,
    InputError,
    ModelError,
    OutputError,
    RecolorError,
    UsageError,
)

# By the class of the error; the first entry that fits counts.
_STATUS: dict[type[RecolorError], HTTPStatus] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    ModelError: HTTPStatus.BAD_REQUEST,
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InferenceError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DeviceError: HTTPStatus.SERVICE_UNAVAILABLE,
    DiskFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    FolderError: HTTPStatus.INSUFFICIENT_STORAGE,
    OutputError: HTTPStatus.UNPROCESSABLE_ENTITY,
}

_RESTART_SECONDS = 5


class RefusedError(RecolorError):
    """A request is refused before any work is done for it.

    Parameters
    ----------
    status : HTTPStatus
    message, hint : str
    headers : mapping of str to str
        Further headers of the answer.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = dict(headers or {})


def problem(error: RecolorError) -> Response:
    """Return the answer to a request that failed: message, hint and code of the command line."""
    if isinstance(error, RefusedError):
        status, headers = error.status, error.headers
    else:
        found = (status for kind, status in _STATUS.items() if isinstance(error, kind))
        status, headers = next(found, HTTPStatus.INTERNAL_SERVER_ERROR), {}
    hint = error.hint
    if isinstance(error, (DiskFullError, FolderError)):  # the page has no option -o
        hint = "see that the server may write there, and that there is room"
    return _problem(status, error.message, hint, error.exit_code, headers)


def server_stops() -> RefusedError:
    """Return the error of a request that a server which stops does not answer any more."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server stops",
        "send the request again when the server runs again",
        {"Retry-After": str(_RESTART_SECONDS)},
    )


async def recolor_problem(request: Request, error: Exception) -> Response:
    """Answer a request that raised a RecolorError."""
    assert isinstance(error, RecolorError)
    return problem(error)


async def http_problem(request: Request, error: Exception) -> Response:
    """Answer a request that Starlette refuses: there is no such page or method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    return _problem(status, message, "see /docs", ExitCode.USAGE, error.headers)


async def gone(request: Request, error: Exception) -> Response:
    """Answer a client that has gone, which nobody reads."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def bug_problem() -> Response:
    """Return the answer to a request that met a bug. The traceback goes to the server's log."""
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "a bug in recolor",
        "please report it with the lines of the server's log",
        ExitCode.BUG,
    )


def _problem(
    status: HTTPStatus,
    message: str,
    hint: str,
    code: ExitCode,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        # JSON of a request may have halves of characters, which no answer can have.
        "detail": message.encode("utf-8", "replace").decode(),
        "hint": hint.encode("utf-8", "replace").decode(),
        "code": int(code),
    }
    return JSONResponse(content, int(status), headers, "application/problem+json")

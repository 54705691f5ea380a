"""Say why a file cannot be downloaded, and what to do."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
import urllib3

from recolor_cli.errors import ModelError
from recolor_cli.model.http_session import PLAIN_REDIRECT

_STATUS = {
    401: ("wants a login", "log in with a browser and save the file; then {}"),
    403: ("may not be read", "open it in a browser to see what it asks for; then {}"),
    404: ("is not there (404)", "look for the file with a browser, as it may have moved; then {}"),
    407: ("is behind a proxy that wants a login", "put it into HTTPS_PROXY; or {}"),
    410: ("is gone (410)", "look for the file with a browser; then {}"),
    429: ("was asked for too often", "try again later; or {}"),
}


def short_address(address: str) -> str:
    """Return an address without a password in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def explain_status(status: int, address: str, advice: str) -> ModelError:
    """Return the error of an answer that is not the file."""
    where = short_address(address)
    if status in _STATUS:
        problem, hint = _STATUS[status]
        return ModelError(f"{where} {problem}", hint.format(advice))
    if status >= 500:
        return ModelError(f"{where}: the server fails ({status})", f"try again later; or {advice}")
    return ModelError(
        f"{where}: the server answers with status {status}",
        f"open it in a browser to see what it says; then {advice}",
    )


def explain_request_error(
    error: requests.RequestException, address: str, advice: str
) -> ModelError:
    """Return the error of a request without an answer."""
    where = short_address(address)
    host = urlsplit(getattr(error.request, "url", None) or address).hostname
    if isinstance(error, requests.TooManyRedirects):
        return ModelError(
            f"{where} redirects in a circle", f"open it in a browser to see why; then {advice}"
        )
    if PLAIN_REDIRECT in str(error):
        return ModelError(
            f"{where} {PLAIN_REDIRECT}", f"open it in a browser to see why; then {advice}"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return ModelError(
            f"the certificate of {host} is not trusted",
            f"if your network reads along, name its certificate in SSL_CERT_FILE; or {advice}",
        )
    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.InvalidProxyURL):
        return ModelError(
            f"the proxy in front of {host} cannot be used",
            f"correct HTTPS_PROXY, HTTP_PROXY or NO_PROXY; or {advice}",
        )
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        return ModelError(
            f"{host} would be reached by a SOCKS proxy, which needs the package pysocks",
            f"pip install pysocks, or set HTTPS_PROXY to an HTTP proxy; or {advice}",
        )
    if isinstance(error, requests.ConnectTimeout):
        return ModelError(
            f"{host} does not answer", f"check the network, and try again later; or {advice}"
        )
    if isinstance(error, requests.ConnectionError):
        return ModelError(
            f"{host} {_why_not_reached(error)}",
            f"check the network and the address; HTTPS_PROXY names a proxy; or {advice}",
        )
    return ModelError(
        f"{where} is, or leads to, no address of the web", f"check the address; or {advice}"
    )


def _why_not_reached(error: requests.ConnectionError) -> str:
    """Return the end of a sentence that begins with the name of the server."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "cannot be found: there is no network, or no server of that name"
    return "cannot be reached: there is no network, or the server is off"

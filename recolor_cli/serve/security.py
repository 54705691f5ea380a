"""Refuse requests of strangers, and restrict what the pages may do.

A page of another origin must not use a server on this machine: neither by its address (`Origin`,
`Sec-Fetch-Site`), nor by a name of its own that it lets point here (DNS rebinding, `Host`).
"""

from __future__ import annotations

import ipaddress
import secrets
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recolor_cli.serve.middleware import HttpMiddleware
from recolor_cli.serve.problems import RefusedError, problem
from recolor_cli.serve.settings import ServeSettings, is_loopback

TOKEN_COOKIE = "recolor-token"
OPEN_PATHS = ("/healthz", "/login", "/docs/style.css")  # without a token

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, browsers send a form with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard(HttpMiddleware):
    """Middleware that refuses requests of strangers, and restricts what the pages may do."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        super().__init__(app)
        self._settings = settings

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the reason why not."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except RefusedError as error:
            await self._refusal(error, scope)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        """Raise RefusedError unless the request may be answered."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_own(host_name(host)):
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this server has another name than the request's Host",
                "call it by its address, or add the name with --allow-host",
            )
        if not is_same_origin(method, headers, host):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                "a page of another origin may not use this server",
                "open the server's own page; a proxy in front must pass the Host header on",
            )
        if path not in OPEN_PATHS and not self.knows_token(headers):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "this server asks for a token",
                "send it as Authorization: Bearer TOKEN; a browser gets it at /login",
                {"WWW-Authenticate": "Bearer"},
            )

    def _refusal(self, error: RefusedError, scope: Scope) -> Response:
        """Return the answer to a request that is refused; people are led to the login."""
        wants_page = "text/html" in Headers(scope=scope).get("accept", "")
        if error.status is HTTPStatus.UNAUTHORIZED and wants_page and scope["method"] == "GET":
            return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        return problem(error)

    def _is_own(self, name: str) -> bool:
        """Tell whether a name is one of this server's. A page cannot make an address its name."""
        if is_loopback(name):
            return True
        allowed = (self._settings.host, *self._settings.allowed_hosts)
        if name.lower() in (other.lower() for other in allowed):
            return True
        return not self._settings.is_local and _is_address(name)

    def knows_token(self, headers: Headers) -> bool:
        """Tell whether a request has the token, or none is asked for."""
        token = self._settings.token
        if token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = cookie_parser(headers.get("cookie", "")).get(TOKEN_COOKIE, "")
        return is_token(given.strip(), token)


def is_token(given: str, token: str) -> bool:
    """Compare a text with the token, in a time that does not tell where they differ."""
    return secrets.compare_digest(given.encode(errors="replace"), token.encode())


def host_name(host: str) -> str:
    """Return a Host header without its port; empty if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_same_origin(method: str, headers: Headers, host: str) -> bool:
    """Tell whether a request comes from the server's own pages, or from no page at all."""
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "none")
    # A browser may be set to hide where a form comes from, but no page can choose what it sends.
    if origin is not None and (origin, site) != ("null", "same-origin"):
        return origin in (f"http://{host}", f"https://{host}")
    if site in ("none", "same-origin"):
        return True
    # A link or a bookmark of another page that leads here.
    return method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

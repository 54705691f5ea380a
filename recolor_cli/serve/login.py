"""The page on which a browser gets the token of a server."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from recolor_cli.serve.bodies import Holding, read_body
from recolor_cli.serve.security import TOKEN_COOKIE, is_token
from recolor_cli.serve.service import Service

_MOST = 4096  # bytes of the form
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>recolor</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<main>
<h1>recolor</h1>
<form method="post" action="/login">
<p><label>Token of this server <input name="token" type="password" required autofocus
autocomplete="current-password"></label> <button>Open</button></p>
{note}
</form>
</main>
</body>
</html>
"""


def login_routes() -> list[Route]:
    """Return the routes of the page."""
    return [Route("/login", _login, methods=["GET", "POST"])]


async def _login(request: Request) -> Response:
    if request.method == "POST":
        return await _log_in(request)
    return HTMLResponse(_PAGE.format(note=""))


async def _log_in(request: Request) -> Response:
    """Keep the token in a cookie that no script and no other site sees."""
    service: Service = request.app.state.service
    holding = Holding(service.memory)
    try:
        body = await read_body(request, _MOST, holding)
    finally:
        holding.release()
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
    token = service.settings.token
    if token is None or not is_token(given, token):
        note = '<p role="alert">This is not its token.</p>'
        return HTMLResponse(_PAGE.format(note=note), HTTPStatus.UNAUTHORIZED)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    response.set_cookie(TOKEN_COOKIE, token, httponly=True, samesite="strict", secure=secure)
    return response

"""The addresses of the page."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from recolor_cli.serve.settings import ServeSettings

_STATIC = Path(__file__).parent / "static"


def studio_routes(settings: ServeSettings) -> list[BaseRoute]:
    """Return the routes of the page and of its files."""
    return [
        Route("/", _page),
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]


async def _page(request: Request) -> Response:
    return FileResponse(_STATIC / "index.html")

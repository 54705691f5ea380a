"""The ASGI application: the page, the service, and the rules for both."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recolor_cli.errors import RecolorError
from recolor_cli.serve.problems import bug_problem, http_problem, recolor_problem
from recolor_cli.serve.security import Guard
from recolor_cli.serve.settings import ServeSettings
from recolor_cli.serve.studio.routes import studio_routes


def create_app(settings: ServeSettings) -> Starlette:
    """Return the application of a server.

    Handlers find the settings at ``request.app.state.settings``, and raise `RecolorError` to
    answer with a problem.
    """
    app = Starlette(
        routes=[Route("/healthz", _healthz), *studio_routes(settings)],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={
            RecolorError: recolor_problem,
            HTTPException: http_problem,
            Exception: bug_problem,
        },
    )
    app.state.settings = settings
    return app


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})

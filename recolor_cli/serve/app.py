"""The ASGI application: the page, the service, and the rules for both."""

from __future__ import annotations

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.errors import RecolorError
from recolor_cli.serve.bodies import Memory
from recolor_cli.serve.docs import docs_routes
from recolor_cli.serve.failures import AnswerFailures
from recolor_cli.serve.login import login_routes
from recolor_cli.serve.metrics import CountRequests, Metrics
from recolor_cli.serve.problems import (
    RefusedError,
    gone,
    http_problem,
    recolor_problem,
)
from recolor_cli.serve.security import Guard
from recolor_cli.serve.service import Service, service_routes
from recolor_cli.serve.settings import RequestOptions, ServeSettings
from recolor_cli.serve.studio.routes import studio_routes
from recolor_cli.serve.studio.studio import Studio
from recolor_cli.serve.unread_bodies import UnreadBodies
from recolor_cli.serve.work import Work
from recolor_cli.system.memory import available_memory

_SHARE = 1 / 4  # of the free memory, for bodies and results


def create_app(
    settings: ServeSettings, options: RequestOptions, workers: ProcessWorkers
) -> Starlette:
    """Return the application of a server.

    Handlers find a `Service` at ``request.app.state.service``, and raise `RecolorError` to answer
    with a problem.

    Parameters
    ----------
    settings : ServeSettings
    options : RequestOptions
    workers : ProcessWorkers
        They are the caller's to close.
    """
    metrics = Metrics()
    work = Work(workers, settings.limits.waiting, metrics.observe)
    memory = Memory(max(settings.limits.body, int(_SHARE * available_memory())))
    metrics.gauge("pictures_in_hand", "Pictures at work or waiting", lambda: work.in_hand)
    metrics.gauge("processes", "Worker processes that are left", lambda: workers.processes)
    metrics.gauge("body_bytes", "Bytes of requests and results in memory", lambda: memory.used)
    studio = Studio(settings)
    app = Starlette(
        routes=[
            Route("/healthz", _healthz),
            *service_routes(),
            *docs_routes(),
            *login_routes(),
            *studio_routes(studio, settings.limits.body, memory),
        ],
        middleware=[
            Middleware(UnreadBodies),
            Middleware(CountRequests, metrics=metrics),
            Middleware(Guard, settings=settings),
            Middleware(AnswerFailures),
        ],
        exception_handlers={
            RecolorError: recolor_problem,
            HTTPException: http_problem,
            ClientDisconnect: gone,
        },
    )
    app.state.service = Service(settings, options, work, memory, metrics, studio)
    return app


async def _healthz(request: Request) -> Response:
    service: Service = request.app.state.service
    if failure := service.work.failure:
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, failure.message, failure.hint)
    return JSONResponse({"status": "ok"})

"""Count requests, pictures and seconds for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recolor_cli.batch.outcome import Outcome
from recolor_cli.serve.middleware import HttpMiddleware

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
_OTHER = "other"  # addresses that do not exist


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "recolor_requests", "Requests", ["path", "status"], registry=self._registry
        )
        self._pictures = Counter(
            "recolor_pictures", "Pictures that were worked on", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "recolor_picture_seconds",
            "Seconds of the work on a picture, without its time in the queue",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Counter(
            "recolor_stage_seconds", "Seconds by stage", ["stage"], registry=self._registry
        )

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a value that is asked for when the metrics are."""
        Gauge(f"recolor_{name}", text, registry=self._registry).set_function(value)

    def observe(self, outcome: Outcome, seconds: float) -> None:
        """Count a picture."""
        self._pictures.labels(str(outcome.status)).inc()
        self._seconds.observe(seconds)
        for stage, spent in outcome.seconds.items():
            self._stages.labels(stage).inc(spent)

    def response(self) -> Response:
        """Return all of them as text."""
        return Response(
            generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


class CountRequests(HttpMiddleware):
    """Middleware that counts requests by their route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count its answer."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", _OTHER)
                self._metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted)

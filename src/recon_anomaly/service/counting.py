"""What Prometheus asks for: requests, failures, pictures, how long they took and how many are waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Counted", "Figures"]


class Figures:
    """The figures of one service, in a registry of their own.

    Parameters
    ----------
    length : callable
        Returns how many places of the queue are taken.

    Examples
    --------
    >>> figures = Figures(lambda: 3)
    >>> figures.pictures.labels("good").inc()
    >>> lines = figures.text().decode().splitlines()
    >>> "recon_anomaly_queue_length 3.0" in lines, 'recon_anomaly_pictures_total{label="good"} 1.0' in lines
    (True, True)
    """

    def __init__(self, length: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        kept: dict[str, Any] = {"registry": self._registry, "namespace": "recon_anomaly"}
        self.requests = Counter("requests", "Requests answered.", ["endpoint"], **kept)
        self.failures = Counter(
            "failures", "Requests answered with an error.", ["endpoint", "status"], **kept
        )
        self.pictures = Counter("pictures", "Pictures scored.", ["label"], **kept)
        self.seconds = Histogram(
            "request_seconds", "Seconds from a request to its answer.", ["endpoint"], **kept
        )
        Gauge(
            "queue_length", "Pictures that are being sent, wait or are scored.", **kept
        ).set_function(length)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)


class Counted:
    """Counts the requests that an application answers, and times them.

    Parameters
    ----------
    app : ASGI application
        What answers.
    figures : Figures
        Where it is counted.
    endpoints : iterable of str
        Paths that are told apart. All others are ``other``, since whoever asks may make up any number of them.
    """

    def __init__(self, app: ASGIApp, figures: Figures, endpoints: Iterable[str]) -> None:
        self._app = app
        self._figures = figures
        self._endpoints = frozenset(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        endpoint = scope["path"] if scope["path"] in self._endpoints else "other"
        try:
            await self._app(scope, receive, noted)
        finally:
            self._figures.requests.labels(endpoint).inc()
            self._figures.seconds.labels(endpoint).observe(time.monotonic() - began)
            if status >= 400:
                self._figures.failures.labels(endpoint, status).inc()

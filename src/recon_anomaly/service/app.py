"""The HTTP application: pictures in, scores and heat maps out, and a page to drop pictures on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from recon_anomaly.checks import at_least
from recon_anomaly.decoding import MAX_PIXELS
from recon_anomaly.errors import InputError
from recon_anomaly.reading import decoding_threads
from recon_anomaly.together import Found, score_together

from .answers import Answer, answer_of, heat_map, result_of
from .counting import Counted, Figures
from .uploads import Upload, UploadError, open_picture, read_body
from .waiting import BusyError, ScoringQueue

if TYPE_CHECKING:
    from recon_anomaly.fitted import FittedDetector

__all__ = ["MAX_BYTES", "make_app", "page"]

MAX_BYTES = 20_000_000
"""Of a body, where nobody says otherwise."""

_T = TypeVar("_T")

_ENDPOINTS = ("/", "/score", "/map", "/health", "/metrics", "/openapi.json")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def make_app(
    detector: FittedDetector,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    queue: int = 64,
) -> FastAPI:
    """Return an ASGI application that scores pictures with a detector.

    Bodies are read and decoded side by side, and scored by one thread, as many at once as are waiting. A request
    takes one of ``queue`` places before its body is read; where there is none it is answered with 429 and
    ``Retry-After``. There is no authentication: who may ask is the business of whatever stands in front.

    Parameters
    ----------
    detector : fitted detector
        Nobody else may use it meanwhile.
    max_bytes : int
        Of a body; more are answered with 413, however many were announced.
    max_pixels : int
        Height times width of a picture, which is looked up before it is decoded; at most `decoding.MAX_PIXELS`.
    queue : int
        Places.

    Raises
    ------
    InputError
        When a number is out of range, or the detector cuts pictures (``tile``, ``roi``).

    Examples
    --------
    ::

        app = make_app(recon_anomaly.load("parts.safetensors"))  # uvicorn module:app
    """
    if detector.tiling_ is not None:
        raise InputError(
            "the service brings every picture to one size, and a detector with tile or roi wants the original: score files, "
            "or watch a folder"
        )
    at_least("max_bytes", max_bytes, 1)
    if at_least("max_pixels", max_pixels, 1) > MAX_PIXELS:
        raise InputError(
            f"max_pixels is {max_pixels}; more than {MAX_PIXELS} are never decoded, give at most that"
        )
    at_least("queue", queue, 1)
    service = _Service(detector, max_bytes, max_pixels, queue)
    # Its own pages of documentation would load scripts from elsewhere.
    app = FastAPI(title="recon-anomaly", lifespan=service.running, docs_url=None, redoc_url=None)
    app.add_middleware(Counted, figures=service.figures, endpoints=_ENDPOINTS)

    @app.post("/score", openapi_extra=_BODY)
    async def score(request: Request, map: bool = False) -> Answer:
        """Score a picture, the body itself or the one file of a form; with map=true its heat map comes as a data URL."""
        with service.place():
            upload, found = await service.scored(request)
            return await service.aside(partial(answer_of, detector, upload, found, with_map=map))

    @app.post("/map", openapi_extra=_BODY, response_class=Response)
    async def map_of(request: Request) -> Response:
        """Return the heat map of a picture as a PNG; the header X-Result has what /score answers, without regions."""
        with service.place():
            upload, found = await service.scored(request)
            drawn = await service.aside(partial(heat_map, detector, found))
        result = json.dumps(result_of(detector, upload, found))
        return Response(drawn, media_type="image/png", headers={"X-Result": result})

    @app.get("/health")
    async def health() -> Response:
        """Say what is served, with 503 where nothing is scored any more."""
        return JSONResponse(service.health(), 200 if service.scores else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return the figures in Prometheus' text format."""
        return Response(
            service.figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/", response_class=HTMLResponse)
    async def index() -> Response:
        """Return the page."""
        return HTMLResponse(page(), headers={"Content-Security-Policy": _policy()})

    return app


def page() -> str:
    """Return the page: one file that loads nothing, and asks nobody but this service."""
    text = _file("page.html")
    return text.replace("{{style}}", _file("page.css")).replace("{{script}}", _file("page.js"))


def _policy() -> str:
    """Return the page's content security policy, which names its script and its style by their hashes."""
    return (
        f"default-src 'none'; style-src '{_hash('page.css')}'; script-src '{_hash('page.js')}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class _Service:
    """What the answers have in common; its threads live as long as the application does."""

    def __init__(
        self, detector: FittedDetector, max_bytes: int, max_pixels: int, capacity: int
    ) -> None:
        self.detector = detector
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._capacity = capacity
        self._queue: ScoringQueue | None = None
        self.figures = Figures(lambda: 0 if self._queue is None else self._queue.length)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        score: Callable[[list[Any]], list[Found | str]] = partial(score_together, self.detector)
        self._queue = ScoringQueue(
            score, batch_size=self.detector.recipe_["batch_size"], capacity=self._capacity
        )
        # Not asyncio's own threads: a decoded picture may be large, and these are few.
        self._aside = ThreadPoolExecutor(decoding_threads(), "decoding")
        try:
            yield
        finally:
            self._aside.shutdown(cancel_futures=True)
            self._queue.close()

    @property
    def scores(self) -> bool:
        return self._queue is not None and self._queue.alive

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place of the queue; without one the request is answered with 429."""
        assert self._queue is not None, "the application was started without its lifespan"
        with ExitStack() as held:
            try:
                held.enter_context(self._queue.place())
            except BusyError as error:
                headers = {"Retry-After": str(error.seconds)}
                raise HTTPException(429, str(error), headers=headers) from None
            yield

    async def scored(self, request: Request) -> tuple[Upload, Found]:
        """Read, decode and score the picture of a request; whatever is wrong is an HTTPException."""
        assert self._queue is not None
        try:
            data = await read_body(request, self._max_bytes)
            shape = self.detector.image_shape_
            upload = await self.aside(partial(open_picture, data, shape, self._max_pixels))
        except UploadError as error:
            raise HTTPException(error.status, str(error)) from None
        try:
            found = await asyncio.wrap_future(self._queue.submit(upload.pixels))
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            print(f"error: a picture could not be scored: {reason}", file=sys.stderr)
            raise HTTPException(500, f"the picture could not be scored: {reason}") from None
        if isinstance(found, str):
            raise HTTPException(400, f"the picture cannot be scored: {found}")
        self.figures.pictures.labels(found.label).inc()
        return upload, found

    async def aside(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    def health(self) -> dict[str, Any]:
        return {
            "status": "ok" if self.scores else "not scoring",
            "model": self.detector.names_["model"],
            "scorer": self.detector.names_["scorer"],
            "image_shape": list(self.detector.image_shape_),
            "threshold": -float(self.detector.offset_),
            "queue": 0 if self._queue is None else self._queue.length,
            "places": self._capacity,
        }


def _hash(name: str) -> str:
    digest = hashlib.sha256(_file(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")

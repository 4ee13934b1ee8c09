"""The command ``recon-anomaly serve``; `app` registers it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    file: Annotated[Path, typer.Argument(help="What `fit` wrote.", metavar="FILE")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 is any that is free.", min=0, max=65535)
    ] = 8000,
    max_bytes: Annotated[
        str, typer.Option(help="Of a request's body, such as 20MB.", metavar="BYTES")
    ] = "20MB",
    max_pixels: Annotated[
        int | None,
        typer.Option(
            help="Height times width of a picture; never more than the default.",
            show_default="89478485",
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Pictures that may be sent, wait or be scored at once.")
    ] = 64,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (CUDA, else MPS, else the CPU), or a device's name.")
    ] = "auto",
) -> None:
    """Score pictures over HTTP: POST /score and /map, a page to drop pictures on, /health and /metrics."""
    from recon_anomaly.decoding import MAX_PIXELS
    from recon_anomaly.errors import InputError
    from recon_anomaly.memory import bytes_of

    try:
        import uvicorn

        from recon_anomaly.service.app import make_app
    except ImportError as error:
        raise InputError(
            f"serve needs {error.name}, which is not installed: pip install 'recon-anomaly[serve]'"
        ) from error
    try:
        most = bytes_of(max_bytes)
    except InputError as error:
        raise typer.BadParameter(f"--max-bytes {error}") from None
    # First, since torch would be imported and a detector loaded for nothing.
    with _listening(host, port) as listener:
        from recon_anomaly.saving import load

        from .interrupts import interrupted_well

        with interrupted_well("nothing is served any more"):
            detector = load(file, device=device, weights=weights)
            app = make_app(
                detector,
                max_bytes=most,
                max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
                queue=queue,
            )
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                ws="none",
                lifespan="on",
                timeout_graceful_shutdown=10,
            )
            print(f"serving {file} on {_address(listener)}", file=sys.stderr, flush=True)
            # uvicorn ends by itself on SIGINT and SIGTERM, and then raises the signal again.
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Return a listening socket; a port that is taken is an InputError."""
    from recon_anomaly.errors import InputError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:  # the latter where no host can have such a name
        reason = getattr(error, "strerror", None) or "no name of a host"
        raise InputError(
            f"cannot listen on {host}, port {port} ({reason}); give another --host or --port"
        ) from error
    # Connections inherit it. asyncio sets it only on those whose socket names its protocol, and without it an answer
    # waits 40 ms for the client's acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

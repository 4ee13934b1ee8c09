"""Pictures out of what strangers send: counted while it comes, measured before it is decoded."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from recon_anomaly.decoding import FORMATS, decode
from recon_anomaly.protocols import ImageShape

__all__ = ["Upload", "UploadError", "open_picture", "read_body"]

BODY_SECONDS = 60.0
"""For which a body may be on its way, so that slow senders do not keep their places for ever."""


class UploadError(Exception):
    """Why an upload is refused.

    Parameters
    ----------
    status : int
        Of HTTP.
    reason : str
        One sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Upload(NamedTuple):
    """A picture that was sent.

    Attributes
    ----------
    pixels : ndarray of shape (h, w, 1 or 3), uint8 or uint16
        At the detector's size.
    notes : list of str
        What was dropped or converted.
    size : (int, int)
        Height and width as it was sent, upright.
    """

    pixels: NDArray[Any]
    notes: list[str]
    size: tuple[int, int]


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the bytes of the picture that a request brings, as its body or as the one file of a form.

    Raises
    ------
    UploadError
        413 when the body is longer than ``max_bytes``, as soon as that is known; 408 when it takes too long; 400
        when it is empty, no form though it says so, or a form of something else than one file.
    """
    declared = request.headers.get("content-length", "")
    too_long = UploadError(413, f"the body has more than {max_bytes} bytes")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                if len(body) + len(chunk) > max_bytes:
                    raise too_long
                body += chunk
    except TimeoutError:
        raise UploadError(408, f"the body did not come within {BODY_SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise UploadError(400, "the connection ended before the whole body had come") from None
    data = bytes(body)
    del body
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        # In a thread: a form of many bytes takes a second to parse, and others wait for this loop.
        data = await asyncio.to_thread(lambda: asyncio.run(_file_of(request.headers, data)))
    if not data:
        raise UploadError(400, "no bytes came; send a picture as the body, or as a file of a form")
    return data


def open_picture(data: bytes, shape: ImageShape, max_pixels: int) -> Upload:
    """Decode a picture for a detector.

    Parameters
    ----------
    data : bytes
        A file.
    shape : (int, int, int)
        Height, width and channels that the detector wants.
    max_pixels : int
        Height times width, at the most, as the file's header says it.

    Raises
    ------
    UploadError
        415 for what is no picture of a known format, 413 for one of too many pixels, 400 for one that is
        damaged or of pixels that are not supported.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 2), 7).save(file, "PNG")
    >>> upload = open_picture(file.getvalue(), (1, 2, 1), max_pixels=8)
    >>> upload.pixels.tolist(), upload.size
    ([[[7], [7]]], (2, 4))
    """
    too_large = UploadError(413, f"the picture has more than {max_pixels} pixels")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise too_large
    except UploadError:
        raise
    except UnidentifiedImageError:
        raise UploadError(
            415, f"this is not a picture of a known format ({', '.join(FORMATS)})"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large from None
    # Given bytes that lie, a reader may raise anything.
    except Exception as error:
        raise UploadError(400, f"the picture cannot be used: {_one_line(error)}") from None
    decoded = decode(data, shape[:2], luminance=shape[2] == 1)
    if isinstance(decoded, str):
        raise UploadError(400, f"the picture cannot be used: {_one_line(decoded)}")
    return Upload(*decoded)


class _InMemory(MultiPartParser):
    spool_max_size = (
        2**62
    )  # the whole body is in memory already; a copy on the disk would help nobody


async def _file_of(headers: Headers, body: bytes) -> bytes:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemory(headers, once(), max_files=1, max_fields=0).parse()
    except MultiPartException as error:
        raise UploadError(400, f"the form cannot be used: {_one_line(error.message)}") from None
    # The parser may raise anything on a boundary or header that lies.
    except Exception as error:
        raise UploadError(400, f"the form cannot be used: {_one_line(error)}") from None
    file = next((value for _, value in form.multi_items()), None)
    if not isinstance(file, UploadFile):
        raise UploadError(400, "the form has no file; send one picture in it")
    data = await file.read()
    await file.close()
    return data


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())[:300]

"""Scores over HTTP: what comes back, what is refused, and that nothing is lost or kept too long."""

import asyncio
import base64
import hashlib
import io
import json
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.testclient import TestClient

from recon_anomaly import ReconstructionDetector
from recon_anomaly.errors import InputError
from recon_anomaly.heatmaps import colours
from recon_anomaly.service import uploads
from recon_anomaly.service.app import make_app, page
from recon_anomaly.service.uploads import UploadError, read_body
from recon_anomaly.service.waiting import BusyError, ScoringQueue


@pytest.fixture
def detector(good):
    """A detector of 16 x 16 px that is fitted at once."""
    return ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)


@pytest.fixture
def serve(detector):
    """Start the application with options, and give a client of it."""
    clients = []

    def start(**options):
        client = TestClient(make_app(detector, **options), raise_server_exceptions=False)
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def _file(picture, kind="PNG", **options):
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture[..., 0])
    image.save(file, kind, **options)
    return file.getvalue()


def _header(width, height, text=0):
    """A PNG that says how large it is, and has hardly any pixels; of packed text as many bytes as wanted."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    words = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(text))) if text else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + words + pixels + chunk(b"IEND", b"")


def _metric(client, line):
    found = re.search(
        rf"^recon_anomaly_{re.escape(line)} (\S+)$", client.get("/metrics").text, re.M
    )
    return float(found[1]) if found else 0.0


def test_a_score_is_the_detectors_own(serve, detector, good, bad):
    """Body or form, the answer is what the detector says of the file; /map has the same but for regions in a header."""
    client = serve()
    for picture in (good[0], bad[0]):
        expected = {
            "score": detector.anomaly_score(picture[None])[0],
            "threshold": -detector.offset_,
            "anomalous": bool(detector.predict(picture[None])[0] < 0),
            "p_value": detector.p_value(picture[None])[0],
            "label": "good" if detector.predict(picture[None])[0] > 0 else "anomalous",
            "width": 16,
            "height": 16,
            "notes": [],
        }
        (located,) = detector.regions(picture[None])
        regions = [
            dict(zip(("x", "y", "width", "height"), region.box, strict=True))
            | {"area": region.area, "mean": region.mean, "maximum": region.maximum}
            for region in located.regions
        ]
        assert bool(regions) == expected["anomalous"]
        whole = expected | {"regions": regions}
        data = _file(picture)
        # As curl's --data-binary names what it sends.
        named = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/score", content=data).json() == whole
        assert client.post("/score", content=data, headers=named).json() == whole
        assert client.post("/score", files={"any": ("a.png", data)}).json() == whole
        answer = client.post("/map", content=data)
        assert json.loads(answer.headers["X-Result"]) == expected
        with Image.open(io.BytesIO(answer.content)) as image:
            drawn = colours(detector.anomaly_map(picture[None])[0], detector.map_scale_)
            assert np.array_equal(image, drawn)
        both = client.post("/score?map=true", content=data).json()
        encoded = base64.b64encode(answer.content).decode()
        assert both == whole | {"map": f"data:image/png;base64,{encoded}"}


def test_regions_are_in_pixels_of_what_was_sent(serve, detector, bad):
    """Of a picture that is enlarged and lies on its side, boxes are those of the upright one, enlarged."""
    client = serve()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    upright = Image.fromarray(bad[0][..., 0]).resize((48, 32), Image.Resampling.NEAREST)
    data = _file(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    answer = client.post("/score", content=data).json()
    assert (answer["width"], answer["height"]) == (48, 32)
    box = answer["regions"][0]
    assert (box["x"], box["y"]) == (0, 0)  # the corner that is too bright
    assert box["width"] == pytest.approx(15, abs=3)
    assert box["height"] == pytest.approx(10, abs=2)


def test_what_was_sent_is_said(serve, good):
    """Width and height are those of the upright picture that came, and notes say what was dropped."""
    client = serve()
    image = Image.fromarray(good[0][..., 0]).resize((40, 30)).convert("RGBA")
    answer = client.post("/score", content=_file(image)).json()
    assert (answer["width"], answer["height"]) == (40, 30)
    assert any("alpha" in note for note in answer["notes"])
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = client.post("/score", content=_file(image.convert("L"), "JPEG", exif=exif)).json()
    assert (answer["width"], answer["height"]) == (30, 40)


def test_bad_uploads_are_refused_in_a_sentence(serve, good):
    """Each kind of bad upload has its status and one line, and good ones are served after it."""
    data = _file(good[0])
    client = serve(max_bytes=4000, max_pixels=1000)
    form = {"content-type": "multipart/form-data; boundary=x"}
    two = [("a", ("a.png", data)), ("b", ("b.png", data))]
    asked = {
        "empty": (400, "no bytes", {"content": b""}),
        "text": (415, "known format", {"content": b"hello"}),
        "postscript": (415, "known format", {"content": b"%!PS-Adobe-3.0 EPSF-3.0\n"}),
        "truncated": (400, "truncated", {"content": data[:150]}),
        "long": (413, "4000 bytes", {"content": b"x" * 4001}),
        "streamed": (413, "4000 bytes", {"content": (b"x" * 1000 for _ in range(5))}),
        "large": (413, "1000 pixels", {"content": _header(40, 40)}),
        "huge": (413, "1000 pixels", {"content": _header(2**31 - 1, 2**31 - 1)}),
        "lying": (400, "cannot be used", {"content": _header(30, 30)[:43] + b"\xff" * 40}),
        "a bomb of text": (400, "cannot be used", {"content": _header(4, 4, 2**21)}),
        "floats": (400, "floating-point", {"content": _file(Image.new("F", (4, 4)), "TIFF")}),
        "no form": (400, "form", {"content": data, "headers": form}),
        "no boundary": (
            400,
            "form",
            {"content": data, "headers": {"content-type": form["content-type"][:19]}},
        ),
        "a charset that none is": (
            400,
            "form",
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n--x--\r\n',
                "headers": {"content-type": f"{form['content-type']}; charset=undefined"},
            },
        ),
        "nothing in a form": (400, "no file", {"content": b"--x--\r\n", "headers": form}),
        "two files": (400, "Too many files", {"files": two}),
        "a field": (400, "Too many fields", {"files": two[:1], "data": {"name": "value"}}),
    }
    for name, (status, words, sent) in asked.items():
        answer = client.post("/score", **sent)
        assert answer.status_code == status, (name, answer.text)
        detail = answer.json()["detail"]
        assert words in detail, (name, detail)
        assert "\n" not in detail
        assert "Traceback" not in detail
    assert client.post("/score", content=data).status_code == 200
    assert client.get("/score").status_code == 405
    assert client.get("/nothing").status_code == 404
    assert _metric(client, 'requests_total{endpoint="/score"}') == len(asked) + 2
    assert _metric(client, 'failures_total{endpoint="/score",status="415"}') == 2
    assert _metric(client, 'failures_total{endpoint="other",status="404"}') == 1
    assert _metric(client, "queue_length") == 0


def _request(receive, **headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def test_an_endless_body_is_left_at_the_limit():
    """Of a body that never ends hardly more than the limit is read; of one that says so, nothing."""
    read = 0

    async def receive():
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    for headers, most in [
        ({}, 11),
        ({"content_length": "1001"}, 0),
        ({"content_length": "9" * 99}, 0),
    ]:
        read = 0
        with pytest.raises(UploadError, match="more than 1000 bytes") as refused:
            asyncio.run(read_body(_request(receive, **headers), 1000))
        assert (refused.value.status, read) == (413, most)


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    """A slow sender is answered with 408 after some seconds, and one who hangs up has sent nothing."""
    monkeypatch.setattr(uploads, "BODY_SECONDS", 0.01)

    async def never():
        await asyncio.sleep(60)

    with pytest.raises(UploadError, match="did not come within") as refused:
        asyncio.run(read_body(_request(never), 1000))
    assert refused.value.status == 408

    async def gone():
        return {"type": "http.disconnect"}

    with pytest.raises(UploadError, match="connection ended"):
        asyncio.run(read_body(_request(gone), 1000))


def test_beyond_the_queue_is_429(serve, detector, good, monkeypatch):
    """Where all places are taken a request is told when to come again, and those that wait are answered."""
    began, go = threading.Event(), threading.Event()
    scored = detector.iter_scores

    def blocked(pictures):
        began.set()
        assert go.wait(20)
        yield from scored(pictures)

    monkeypatch.setattr(detector, "iter_scores", blocked)
    client = serve(queue=3)
    data = _file(good[0])
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(client.post, "/score", content=data) for _ in range(3)]
        assert began.wait(20)
        while _metric(client, "queue_length") < 3:
            pass
        answer = client.post("/score", content=data)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert client.get("/health").json()["queue"] == 3
        go.set()
        assert [one.result().status_code for one in waiting] == [200] * 3
    assert client.post("/score", content=data).status_code == 200
    assert _metric(client, 'failures_total{endpoint="/score",status="429"}') == 1


def test_many_at_once_lose_nothing(serve, detector, good):
    """16 threads with 8 pictures each have the score of the very picture that they sent, in batches."""
    sizes = []
    scored = detector.iter_scores

    def noted(pictures):
        sizes.append(len(pictures))
        yield from scored(pictures)

    expected = detector.anomaly_score(good)
    detector.iter_scores = noted
    client = serve()
    files = [_file(picture) for picture in good]

    def send(thread):
        for k in range(8):
            place = (8 * thread + k) % len(good)
            answer = client.post("/score", content=files[place])
            assert answer.json()["score"] == pytest.approx(expected[place], rel=1e-6)
        return 8

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(send, range(16))) == 128
    assert sum(sizes) == 128
    assert max(sizes) <= detector.recipe_["batch_size"]
    labels = ("good", "anomalous")
    assert sum(_metric(client, f'pictures_total{{label="{label}"}}') for label in labels) == 128
    assert _metric(client, 'request_seconds_count{endpoint="/score"}') == 128


def test_a_failing_scorer_ends_nothing(serve, detector, good, monkeypatch, capsys):
    """Whatever the model raises is a 500 of one line, and the next picture is scored."""
    client = serve()
    data = _file(good[0])
    with monkeypatch.context() as patch:
        patch.setattr(detector, "iter_scores", lambda _: 1 / 0)
        answer = client.post("/score", content=data)
    assert (answer.status_code, answer.json()["detail"]) == (
        500,
        "the picture could not be scored: division by zero",
    )
    assert "division by zero" in capsys.readouterr().err
    assert client.post("/score", content=data).status_code == 200
    assert client.get("/health").json()["status"] == "ok"


def test_health_says_what_is_served(serve, detector):
    """Model, scorer, size, threshold and places."""
    assert serve(queue=5).get("/health").json() == {
        "status": "ok",
        "model": "builtin:mean",
        "scorer": "builtin:mse",
        "image_shape": [16, 16, 1],
        "threshold": -detector.offset_,
        "queue": 0,
        "places": 5,
    }


def test_the_page_loads_nothing(serve):
    """One file, with a policy that forbids everything from elsewhere, and no address in it."""
    answer = serve().get("/")
    assert answer.text == page()
    assert "{{" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(
        r"https?://(?!www.w3.org/2000/svg)|\bsrc=|\bhref=(?!\"data:,\")", answer.text
    )


@pytest.mark.parametrize("option", ["max_bytes", "max_pixels", "queue"])
def test_limits_out_of_range_are_refused(detector, option):
    """Nothing, less than nothing, and more pixels than are ever decoded."""
    for value in (0, -1, 1.5):
        with pytest.raises(InputError, match=option):
            make_app(detector, **{option: value})
    with pytest.raises(InputError, match="max_pixels"):
        make_app(detector, max_pixels=10**9)


def test_the_queue_batches_what_waits():
    """What waits while a batch is scored makes the next one, in its order; who has gone is left out."""
    go, sizes = threading.Event(), []

    def score(pictures):
        sizes.append(len(pictures))
        assert go.wait(20)
        return [str(picture) for picture in pictures]

    queue = ScoringQueue(score, batch_size=4, capacity=1)
    first = queue.submit(0)
    while not sizes:
        pass
    rest = [queue.submit(k) for k in range(1, 8)]
    assert rest[2].cancel()
    go.set()
    assert first.result() == "0"
    assert [one.result() for one in rest if not one.cancelled()] == list("124567")
    assert sizes == [1, 4, 2]
    with queue.place(), pytest.raises(BusyError) as busy, queue.place():
        pass
    assert busy.value.seconds >= 1
    queue.close()
    assert not queue.alive
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(0)

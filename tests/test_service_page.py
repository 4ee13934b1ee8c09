"""The service's page in a real browser, served by uvicorn: a headless Chromium, one for all tests of this file."""

import io
import re
import threading
import time

import pytest
import uvicorn
from PIL import Image

from recon_anomaly import ReconstructionDetector
from recon_anomaly.service.app import make_app


@pytest.fixture
def detector(good):
    """A detector of 16 x 16 px that is fitted at once."""
    return ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)


@pytest.fixture
def address(detector):
    """Where the application is served, in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(make_app(detector), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 60
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    (listener,) = server.servers[0].sockets
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def show(browser, address):
    """Open the page; at the end nothing but refused uploads was complained of, and nobody else asked."""
    said, asked, contexts = [], [], []

    def show(width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield show
    for context in contexts:
        context.close()
    # The browser itself tells of each answer that is an error.
    assert [text for text in said if "the server responded with a status of 4" not in text] == []
    assert [place for place in asked if not place.startswith((address, "blob:", "data:"))] == []


def _file(name, picture):
    file = io.BytesIO()
    Image.fromarray(picture[..., 0]).save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def _done(page, count):
    """Wait until so many pictures have their answer; the last one chosen stands first."""
    page.wait_for_function(
        f"() => [...document.querySelectorAll('.verdict')].filter(one => one.textContent !== '…').length === {count}"
    )


def _shown(page, name):
    """The words of the picture of that name."""
    return page.locator("#found li", has_text=name).inner_text()


def test_pictures_that_are_chosen_are_scored(show, detector, good, bad):
    """Each has its score, decision, heat map and boxes around its regions; the line above counts them."""
    page = show()
    page.wait_for_function("() => document.querySelector('#served').textContent.includes('mean')")
    assert "16 × 16 px" in page.inner_text("#served")  # noqa: RUF001  # as the page has it
    page.set_input_files("#files", [_file("good.png", good[1]), _file("bad.png", bad[0])])
    _done(page, 2)
    for name, picture, word in [("good.png", good[1], "good"), ("bad.png", bad[0], "anomalous")]:
        words = _shown(page, name)
        score = detector.anomaly_score(picture[None])[0]
        assert float(re.search(rf"{word} +([\d.e-]+)", words)[1]) == pytest.approx(score, rel=1e-3)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.stack .map')].filter(one => one.naturalWidth === 16).length === 2"
    )
    assert page.inner_text("#said") == "2 scored, 1 anomalous, 0 failed, 0 waiting"
    (located,) = detector.regions(bad[:1])
    drawn = page.evaluate(
        """[...document.querySelectorAll(".boxes rect")].map(
            (box) => ["x", "y", "width", "height"].map((name) => Number(box.getAttribute(name))))"""
    )
    assert drawn == [list(region.box) for region in located.regions]
    stack, box = (
        page.locator(place).bounding_box() for place in (".anomalous .stack", "rect >> nth=0")
    )
    share = stack["width"] / 16  # of a pixel of the picture
    edge = stack["x"] + share * (drawn[0][0] + drawn[0][2])
    assert box["x"] + box["width"] == pytest.approx(edge, abs=2)


def test_pictures_that_are_dropped_are_scored(show, good):
    """All files of a drop are taken up, also where it misses the field."""
    page = show()
    data = list(_file("dropped.png", good[1])["buffer"])
    page.evaluate(
        """(data) => {
            const files = new DataTransfer();
            for (const name of ["one.png", "two.png"]) files.items.add(new File([new Uint8Array(data)], name));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
        }""",
        data,
    )
    _done(page, 2)
    assert "good" in _shown(page, "one.png")
    assert "good" in _shown(page, "two.png")


def test_a_bad_file_is_told_in_a_sentence(show, good):
    """What is no picture, or half of one, is said so, letter by letter, and the good one beside it is scored."""
    page = show()
    evil = "<img src=x onerror=alert(1)>.png"
    half = _file("half.png", good[1])
    half["buffer"] = half["buffer"][:150]
    text = {"name": evil, "mimeType": "image/png", "buffer": b"no picture"}
    page.set_input_files("#files", [half, _file("good.png", good[1]), text])
    _done(page, 3)
    assert "the picture cannot be used: it is damaged" in _shown(page, "half.png")
    assert "this is not a picture of a known format" in _shown(page, evil)
    assert page.locator("img[src=x]").count() == 0
    assert page.locator(".stack img").count() == 2  # of the good one alone
    assert page.inner_text("#said") == "1 scored, 0 anomalous, 2 failed, 0 waiting"


def test_everything_can_be_done_with_keys(show, good):
    """Tab reaches the field, Enter opens the choice of files, and arrows move the heat map's slider."""
    page = show()
    page.on("filechooser", lambda _: None)  # from now on, rather than a little after the key
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    ring = "getComputedStyle(document.querySelector('#drop')).outlineStyle"
    assert page.evaluate(ring) == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([_file("good.png", good[1])])
    _done(page, 1)
    opacity = "Number(getComputedStyle(document.querySelector('.map')).opacity)"
    page.wait_for_selector(".map")
    before = page.evaluate(opacity)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(opacity) == pytest.approx(before + 0.05)


@pytest.mark.parametrize(
    ("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")]
)
def test_the_page_fits_a_telephone_by_day_and_night(show, good, scheme, ground):
    """At 400 px nothing hangs over the edge, also under a long name, and colours are the system's."""
    page = show(width=400, color_scheme=scheme)
    page.set_input_files("#files", [_file(f"{'long' * 30}.png", good[1])])
    _done(page, 1)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_a_service_that_is_full_is_asked_again(show, detector, good, monkeypatch):
    """Of more pictures than the service has places for, all are scored in the end."""
    page = show()
    answers = iter([429, 429])
    asked = []

    def full(route):
        asked.append(route.request.url)
        if (status := next(answers, None)) is None:
            route.continue_()
        else:
            route.fulfill(
                status=status, headers={"Retry-After": "1"}, json={"detail": "all places are taken"}
            )

    page.route(re.compile("/(map|score)"), full)
    page.set_input_files("#files", [_file(f"{k}.png", good[k]) for k in range(3)])
    _done(page, 3)
    assert page.inner_text("#said").startswith("3 scored")
    assert len(asked) == 5

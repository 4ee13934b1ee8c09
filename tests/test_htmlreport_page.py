"""The report in a real browser: a headless Chromium, one for all tests of this file."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from recon_anomaly.history import EpochRecord, History
from recon_anomaly.htmlreport.contents import Contents
from recon_anomaly.htmlreport.page import write_page
from recon_anomaly.htmlreport.tiles import tile

KINDS = ("good", "dent", "scratch")
EVIL = "</script><img src=x onerror=alert(1)>\"'.png"


@pytest.fixture
def show(browser, tmp_path):
    """Open the page of contents from its file; at the end nothing was complained of or asked for."""
    said, asked, contexts = [], [], []

    def show(contents, width=1280, **options):
        path = tmp_path / "report.html"
        write_page(contents, path)
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert asked.pop(0) == path.as_uri()
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []
    assert [address for address in asked if not address.startswith("data:")] == []


def _contents(count=60, labelled=True, kinds=None, names=None, seed=0):
    """Seeded scores, some of them equal, and pictures of noise."""
    rng = np.random.default_rng(seed)
    kinds = kinds or tuple(KINDS[k] for k in rng.integers(0, 3, count))
    scores = np.round(rng.gamma(3, size=count) + 2 * (np.array(kinds) != "good"), 1)
    noise = rng.random((4, 24, 24, 1))
    drawn = [
        tile(0, {"picture": one, "reconstruction": 1 - one}, {"map": (one[..., 0], 1.0)})
        for one in noise
    ]
    order = np.argsort(-scores, kind="stable")
    tiles = tuple(drawn[k % 4]._replace(position=int(k)) for k in order)
    terms = ("reconstruction", "kl")
    weights = [{"reconstruction": 1.0, "kl": k / 9} for k in range(9)]
    losses = [dict.fromkeys(terms, 90 / (k + 1)) for k in range(9)]
    epochs = [EpochRecord(k + 1, losses[k], losses[k], weights[k], 1e-3) for k in range(9)]
    return Contents(
        title="parts",
        names=names or tuple(f"{kind}/{k}.png" for k, kind in enumerate(kinds)),
        scores=scores,
        kinds=kinds if labelled else None,
        threshold=4.05,
        rule="given",
        scorer="mse",
        tiles=tiles,
        history=History(terms, 9, epochs, kept_epoch=7),
        scales={"map": 1.0},
        size=(24, 24),
    )


def _figures(page):
    """The counts and figures above the page."""
    return page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-figure]')].map(e => [e.dataset.figure, e.textContent]))"
    )


def _words(page):
    """The decision of each tile, with its mark, from the highest score on."""
    return page.evaluate("[...document.querySelectorAll('.verdict')].map(e => e.textContent)")


def _expected(contents, threshold):
    """The same by scikit-learn."""
    called = contents.scores > threshold
    passed, alarms, missed, found = confusion_matrix(contents.labels, called, labels=[0, 1]).ravel()
    precision, recall, f1, _ = precision_recall_fscore_support(
        contents.labels, called, average="binary", zero_division=0
    )
    return {
        "true_positives": str(found),
        "false_positives": str(alarms),
        "true_negatives": str(passed),
        "false_negatives": str(missed),
        "precision": f"{precision:.3f}" if found + alarms else "–",  # noqa: RUF001  # as the page has it
        "recall": f"{recall:.3f}",
        "f1": f"{f1:.3f}",
        "false_alarm_rate": f"{alarms / (alarms + passed):.3f}",
    }


def test_the_slider_moves_every_figure(show):
    """At stops all along the slider counts, figures, tiles and the table are those of scikit-learn."""
    contents = _contents()
    page = show(contents)
    assert _figures(page) == _expected(contents, contents.threshold)
    stops = int(page.get_attribute("#threshold", "max"))
    assert stops == len(set(contents.scores.tolist()))
    seen = set()
    for stop in [*range(0, stops, 7), stops]:
        page.locator("#threshold").fill(str(stop))
        threshold = float(page.input_value("#exact"))
        called = contents.scores > threshold
        assert len(set(contents.scores[called].tolist())) == stops - stop
        assert _figures(page) == _expected(contents, threshold)
        for row in contents.by_kind():
            words = page.inner_text(f"tbody tr:has(th:text-is('{row.kind}')) [data-called]")
            assert int(words) == called[np.array(contents.kinds) == row.kind].sum()
        names = {(0, 0): "✓ good", (0, 1): "✗ false alarm", (1, 0): "✗ missed", (1, 1): "✓ found"}
        pairs = zip(contents.labels[contents.order], called[contents.order], strict=True)
        assert _words(page) == [names[int(label), int(call)] for label, call in pairs]
        seen.add(threshold)
    assert len(seen) == len(range(0, stops, 7)) + 1
    assert page.is_visible("#moved")
    page.click("#back")
    assert _figures(page) == _expected(contents, contents.threshold)
    assert not page.is_visible("#moved")


def test_a_threshold_can_be_typed(show):
    """A score that equals the threshold is not above it, also where several are equal."""
    contents = _contents()
    page = show(contents)
    values, counts = np.unique(contents.scores, return_counts=True)
    shared = float(values[counts > 1][0])
    page.fill("#exact", repr(shared))
    assert _figures(page) == _expected(contents, shared)


def test_the_points_lie_on_the_curves(show):
    """The points on both curves are at the recall, precision and false-alarm rate of the threshold."""
    contents = _contents()
    page = show(contents)
    page.fill("#exact", "3.15")
    found = _expected(contents, 3.15)
    said = {
        "precision-recall": f"{found['recall']}, {found['precision']}",
        "roc": f"{found['false_alarm_rate']}, {found['recall']}",
    }
    for name, words in said.items():
        assert page.locator(f"#{name} text").last.text_content() == words
        across = float(page.get_attribute(f"#{name} .spot", "cx"))
        assert across == pytest.approx(46 + 304 * float(words.split(",")[0]), abs=0.2)


def test_filters_leave_what_they_name(show):
    """By kind and by decision, together, also after the threshold has moved."""
    contents = _contents()
    page = show(contents)
    page.select_option("#decision", "wrong")
    page.select_option("#kind", "0")  # good
    for threshold in (contents.threshold, 2.05):
        page.fill("#exact", str(threshold))
        alarms = int(_expected(contents, threshold)["false_positives"])
        assert alarms > 0
        shown = page.locator(".tile:visible")
        assert shown.count() == alarms
        assert set(shown.locator(".kind").all_inner_texts()) == {"good"}
        assert page.inner_text("#count") == f"{alarms} of 60 pictures"
    page.fill("#exact", "99")
    assert page.is_visible("#none")
    page.select_option("#kind", "all")
    page.select_option("#decision", "missed")
    assert page.locator(".tile:visible").count() == int(contents.labels.sum())


def test_everything_can_be_done_with_keys(show):
    """Tab reaches the slider and the tiles; arrows move on, Enter opens, Escape leads back."""
    contents = _contents()
    page = show(contents)
    page.focus("#threshold")
    before = float(page.input_value("#exact"))
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#exact")) > before
    page.focus("#decision")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = "document.activeElement.closest('.tile').dataset.rank"
    assert page.evaluate(focused) == "0"
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('#tiles')).gridTemplateColumns.split(' ').length"
    )
    for key, rank in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("End", 59),
        ("Home", 0),
        ("ArrowLeft", 0),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(focused) == str(rank)
    page.keyboard.press("Enter")
    names = [contents.names[k] for k in contents.order]
    for key, rank in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("ArrowLeft", 0),
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
    ]:
        page.keyboard.press(key)
        assert page.inner_text("#viewer-name") == names[rank]
    assert page.locator("#views figcaption").all_inner_texts() == [
        "picture",
        "reconstruction",
        "squared error",
        "error over the picture",
    ]
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")
    assert page.evaluate(focused) == "1"


def test_a_mouse_sees_the_views_at_once(show):
    """Hovering shows what a click shows larger; leaving hides it; a click beside the viewer closes it."""
    page = show(_contents())
    page.locator(".tile").nth(2).scroll_into_view_if_needed()
    page.locator(".tile").nth(2).hover()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#peek img')].every(one => one.naturalWidth > 0)"
    )
    assert page.locator("#peek img").count() == 5
    page.mouse.move(2, 2)
    assert not page.is_visible("#peek")
    page.locator(".tile").nth(2).click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#views img')].every(one => one.naturalWidth === 24)"
    )
    page.mouse.click(2, 2)
    assert not page.is_visible("#viewer")


def test_colours_follow_the_system_and_the_button(show):
    """The page is dark where the system is, until the button says otherwise."""
    page = show(_contents(12), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    light = page.evaluate(ground)
    assert (dark, light) == ("rgb(21, 24, 28)", "rgb(255, 255, 255)")
    assert page.get_attribute("#theme", "aria-label") == "Change to dark colours"


@pytest.mark.parametrize(
    "options",
    [
        {"labelled": False},
        {"kinds": ("good",) * 12},
        {"kinds": ("dent",) * 12},
        {"kinds": ("good",)},
    ],
    ids=["unlabelled", "good", "anomalous", "one"],
)
def test_pages_without_both_classes_work(show, options):
    """Without labels, with one class, with one picture: the slider moves what there is."""
    contents = _contents(len(options.get("kinds", range(12))), **options)
    page = show(contents, width=400)
    page.locator("#threshold").fill("0")
    called = _figures(page).get("called") or page.locator(".tile.called").count()
    assert int(called) == len(contents.scores)
    assert page.locator("#roc").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_names_of_files_do_nothing(show):
    """A name that is a script and a picture with a handler is shown, letter by letter."""
    page = show(_contents(2, names=(EVIL, r"a\xff\n.png"), kinds=("good", EVIL)))
    assert set(page.locator(".name").all_inner_texts()) == {EVIL, r"a\xff\n.png"}
    page.locator(".tile").first.click()
    assert page.inner_text("#viewer-name") in {EVIL, r"a\xff\n.png"}
    assert page.locator("img[src=x]").count() == 0


def test_two_thousand_pictures_are_usable(show):
    """All tiles are there, the slider moves them, and those out of sight are not drawn."""
    contents = _contents(2000)
    page = show(contents)
    assert page.locator(".tile").count() == 2000
    page.fill("#exact", "3.15")
    assert _figures(page) == _expected(contents, 3.15)
    drawn = "one => one.checkVisibility({contentVisibilityAuto: true})"
    last = page.locator(".tile img").last
    assert not last.evaluate(drawn)
    last.scroll_into_view_if_needed()
    page.wait_for_function(f"() => ({drawn})([...document.querySelectorAll('.tile img')].pop())")

"""How large the page of a report is, and how fast in a browser: to open, to move the threshold, to scroll through.

    python benchmarks/report_page.py [--pictures 2000] [--image-size 256] [--rounds 3]

Seeded pictures of noise on a ramp, half of them labelled anomalous, each with its reconstruction, map and squared error, as of
a detector whose scorer is not the squared error. The page is opened from its file in a headless Chromium, anew in each
round. Wants the extra ``test`` (Playwright) and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from timing import machine

from recon_anomaly.htmlreport.contents import Contents
from recon_anomaly.htmlreport.page import write_page
from recon_anomaly.htmlreport.tiles import tile

MOVES = 50
# From the input event to the frame that shows it; and the longest time between two frames of a scroll to the end.
MOVE = """async steps => {
    const slider = document.querySelector('input[type=range]');
    const [low, high] = [Number(slider.min), Number(slider.max)];
    const began = performance.now();
    for (let step = 1; step <= steps; step++) {
        slider.value = low + (high - low) * step / steps;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        document.body.getBoundingClientRect();
    }
    return (performance.now() - began) / steps;
}"""
SCROLL = """async () => {
    let longest = 0, last = performance.now();
    const height = document.documentElement.scrollHeight;
    for (let top = 0; top < height; top += innerHeight) {
        scrollTo(0, top);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        [longest, last] = [Math.max(longest, now - last), now];
    }
    return longest;
}"""


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        parser.error("no Chromium is installed")
    contents = made(options.pictures, options.image_size)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "report.html")
        write_page(contents, path)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        rounds = [opened(browser, path) for _ in range(options.rounds)]
        about = f"Chromium {browser.version}"
        browser.close()
        size = path.stat().st_size
    print(f"{options.pictures} pictures of {options.image_size} px, {options.rounds} rounds")
    print(f"{machine(1, 'playwright')}, {about}")
    print(f"the page: {size / 2**20:.1f} MiB")
    for name, key in (
        ("to open, s", "open"),
        ("a move of the threshold, ms", "move"),
        ("the longest frame of a scroll to the end, ms", "frame"),
    ):
        values = [one[key] for one in rounds]
        print(f"{name}: {statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]")


def made(count: int, size: int) -> Contents:
    """Return the contents of a report of that many pictures."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    scores = rng.gamma(3, size=count) + 2 * labels
    ramp = np.linspace(0.2, 0.8, size)[:, None, None]
    tiles = []
    for position in np.argsort(-scores):
        picture = np.clip(ramp + rng.normal(0, 0.05, (size, size, 1)), 0, 1)
        error = np.square(picture - ramp)[..., 0]
        views = {"map": (error, 0.02), "error": (error, 0.02)}
        shown = {"picture": picture, "reconstruction": np.broadcast_to(ramp, picture.shape)}
        tiles.append(tile(int(position), shown, views))
    return Contents(
        title="a benchmark",
        names=tuple(f"{position}.png" for position in range(count)),
        scores=scores,
        kinds=tuple("dent" if label else "good" for label in labels),
        threshold=float(np.median(scores)),
        rule="given",
        scorer="l1",
        tiles=tuple(tiles),
        scales={"map": 0.02, "error": 0.02},
        size=(size, size),
    )


def opened(browser: Any, path: Path) -> dict[str, float]:
    """Return what one opening of the page takes."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    started = time.perf_counter()
    page.goto(path.as_uri(), timeout=300_000)
    page.evaluate("() => new Promise(requestAnimationFrame)")
    found = {"open": time.perf_counter() - started}
    found["move"] = page.evaluate(MOVE, MOVES)
    found["frame"] = page.evaluate(SCROLL)
    context.close()
    return found


if __name__ == "__main__":
    main()

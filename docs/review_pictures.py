"""Make docs/images/review/: every page of the review, as a first-time user sees it, from a survey made on the spot.

python docs/review_pictures.py
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "review"
ADAPTEM = [sys.executable, "-m", "console.main"]


def main() -> None:
    """A survey, its review, a picture of each page; then one that still runs and asks before every step."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    config = DOCS.parent / "configs" / "survey_demo.yaml"
    with tempfile.TemporaryDirectory() as place:
        folder, asking = Path(place) / "demo", Path(place) / "asking"
        subprocess.run([*ADAPTEM, "survey", config, "--out", folder], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        with reviewed(folder, lambda page, link: take_all(page, link, folder)):
            pass
        words = [*ADAPTEM, "survey", config, "--set", "autonomy=confirm", "--out", asking, "--json"]
        survey = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
        try:
            while not (asking / "health.json").is_file():
                time.sleep(0.2)
            with reviewed(asking, take_live):
                pass
        finally:
            survey.terminate()
            survey.wait()


@contextmanager
def reviewed(folder: Path, walk: Callable[[Page, str], None]) -> Iterator[None]:
    """Open the review of a survey in a browser and walk through it."""
    command = [*ADAPTEM, "review", folder, "--port", "0", "--reviewer", "Ada"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own words
    try:
        link = next(line for line in server.stdout or () if re.match("http://", line)).strip()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--disable-gpu"])
            page = browser.new_page(viewport={"width": 1360, "height": 800})
            page.set_default_timeout(180_000)  # a computer may be busy
            walk(page, link)
            browser.close()
        yield
    finally:
        server.terminate()
        server.wait()


def take_live(page: Page, link: str) -> None:
    """A survey that asks before every step."""
    page.goto(link)
    take(page, "still-running")
    page.click("text=Night")
    for number in range(1, 12):
        page.wait_for_function(
            "(n) => document.getElementById('proposal-words').textContent.startsWith(`proposal ${n}:`)", arg=number
        )
        page.click("[data-ask=approve]")
    page.wait_for_function("() => Number(document.body.dataset.steps) >= 11")
    page.wait_for_selector("#proposal:not([hidden])")
    page.mouse.click(*_middle(page, "#map"))
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / "live.png", full_page=True)


def _middle(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box() or {"x": 0.0, "y": 0.0, "width": 0.0, "height": 0.0}
    return box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"]


def take_all(page: Page, link: str, folder: Path) -> None:
    """From the link to the figures, and to the atlas once all is judged."""
    page.goto(link)
    take(page, "judge")
    page.keyboard.press("?")
    take(page, "help")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.wait_for_function("() => [...document.querySelectorAll('#tiles li')].every((tile) => tile.loadedMs)")
    page.keyboard.press("b")
    page.keyboard.press("h")
    page.keyboard.press("h")
    take(page, "many")
    for _ in "uuu":
        page.keyboard.press("u")
    page.keyboard.press("g")
    page.keyboard.press("Home")
    judge_all(page, made_up(folder))
    take(page, "done")
    page.keyboard.press("Enter")
    page.wait_for_url("**/result")
    take(page, "result")
    page.locator(".more").first.click()
    page.fill("#called", "crack")
    take(page, "more")
    page.click("#wanting button[value=keep]")
    page.click("text=Figures")
    take(page, "figures")
    page.goto(page.url.removesuffix("/figures") + "/figures/terms")
    take(page, "terms")
    page.click("text=Atlas")
    page.wait_for_selector("body[data-whole]")
    page.check("#layers input[value=dose]")
    page.select_option("#site-list", label=page.locator("#site-list option", has_text="flagged").first.inner_text())
    page.wait_for_timeout(1500)
    take(page, "atlas")
    page.click("text=Night")
    page.wait_for_selector("body[data-steps]")
    page.wait_for_timeout(1000)
    take(page, "night")
    page.goto(link.partition("/login")[0])
    page.wait_for_timeout(500)
    while page.locator("#grid").count():
        judge_all(page, "2")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        page.goto(link.partition("/login")[0])
    take(page, "everything")


def made_up(folder: Path) -> str:
    """A key for each place of the first batch: two flags of three are remarkable, controls are ordinary."""
    with closing(sqlite3.connect(folder / "labels.sqlite")) as database:
        rows = database.execute("SELECT data FROM items ORDER BY position").fetchall()
    flags = [json.loads(data)["flag"] for (data,) in rows]
    return "".join("1" if flag is None else "2" if flag["rank"] % 3 == 0 else "5" for flag in flags)


def judge_all(page: Page, keys: str) -> None:
    """Every place of a batch, each once its picture has come."""
    for number in range(page.locator("#grid li").count()):
        page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press(keys[number % len(keys)])


def take(page: Page, name: str) -> None:
    """A picture of what is on the screen, once its own pictures have come and all is saved."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")
    page.wait_for_function("() => !document.querySelector('img.coming')")
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()

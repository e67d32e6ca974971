"""Make docs/images/review/: every page of the review, as a first-time user sees it, from a survey made on the spot.

python docs/review_pictures.py
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "review"
ADAPTEM = [sys.executable, "-m", "console.main"]


def main() -> None:
    """A survey, its review, a picture of each page."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "demo"
        config = DOCS.parent / "configs" / "survey_demo.yaml"
        made = [*ADAPTEM, "survey", config, "--out", folder]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
        command = [*ADAPTEM, "review", folder, "--port", "0", "--reviewer", "Ada"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own words
        try:
            link = next(line for line in server.stdout or () if re.match("http://", line)).strip()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--disable-gpu"])
                page = browser.new_page(viewport={"width": 1360, "height": 800})
                take_all(page, link)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def take_all(page: Page, link: str) -> None:
    """From the link to the figures."""
    page.goto(link)
    take(page, "judge")
    page.keyboard.press("?")
    take(page, "help")
    page.keyboard.press("Escape")
    for number in range(page.locator("#grid li").count()):
        page.keyboard.press("14215"[number % 5])
    take(page, "done")
    page.keyboard.press("Enter")
    page.wait_for_url("**/result")
    take(page, "result")
    page.click("text=Figures")
    take(page, "figures")
    page.goto(link.partition("/login")[0])
    take(page, "everything")


def take(page: Page, name: str) -> None:
    """A picture of what is on the screen, once its own pictures have come and all is saved."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")
    page.wait_for_function("() => !document.querySelector('img.coming')")
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()

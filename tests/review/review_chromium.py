"""A real browser for tests of the review page: importing this skips a module where there is none."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import pytest

CHROMIUM = os.environ.get("ADAPTEM_CHROMIUM") or shutil.which("chromium")
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip

if os.environ.get("ADAPTEM_BROWSER") == "required":  # as continuous integration says: then nothing here is skipped
    missing = [name for name in ("fastapi", "playwright") if find_spec(name) is None] + ["chromium"] * (not CHROMIUM)
    if missing:
        raise RuntimeError(f"the review page cannot be tested in a browser without {', '.join(missing)}")
pytest.importorskip("fastapi", reason="the extra 'review' is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed (adaptem[dev])")

if CHROMIUM is None:
    pytest.skip("no chromium here (Debian: apt install chromium)", allow_module_level=True)


def saved(page):
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")


def opened(page, server):
    page.goto(server.link(), wait_until="domcontentloaded")
    page.wait_for_selector("body[data-ready]")


def judge_all(page, keys):
    """Every place of a batch, one by one, each once its picture has come: else a verdict counts nowhere."""
    for number in range(page.locator("#grid li").count()):
        page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press(keys[number % len(keys)])
    page.wait_for_selector("#done:not([hidden])")

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def chromium():
    from playwright import sync_api
    from review_chromium import ARGUMENTS, CHROMIUM

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1360, "height": 860})
    opened = context.new_page()
    opened.outside, opened.errors = [], []
    opened.on("request", lambda request: opened.outside.append(request.url))
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    assert opened.errors == []
    context.close()

"""A real Chromium, without a window, for the tests of pages: the system's, as the tests install no browser."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """A page, and what went wrong on it."""

    def __init__(self, page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))


@contextmanager
def browser_tabs() -> Iterator[Callable[..., Tab]]:
    """Start a browser and return what opens a tab; skips where there is no Chromium or no Playwright to drive it."""
    if CHROMIUM is None:
        pytest.skip("this test opens pages in a browser: install chromium (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="this test drives a browser: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield lambda width=1400: Tab(browser.new_page(viewport={"width": width, "height": 1000}))
        browser.close()

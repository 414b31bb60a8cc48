"""A real browser for tests: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
"""The browser; None if it is not installed."""
TIMEOUT_MS = 15000
"""Longest time to wait for a condition [ms]."""
MISSING = "Chromium is not on this machine (apt-get install chromium)"


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run a browser without a window, which plays videos without a click."""
    with sync_playwright() as playwright:
        options = ["--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


class Visit:
    """A page in a browser, with everything that it has asked for and everything that went wrong.

    Attributes:
        page: the page.
        requests: the addresses that it has asked for.
        errors: uncaught errors, and what the browser wrote as an error into its console.
        dialogs: texts of the windows that a script opened.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("dialog", self._close_dialog)

    def wait_until(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds; Playwright's own wait needs `eval`, which the page forbids."""
        self.page.evaluate(
            f"""() => new Promise((resolve, reject) => {{
              const check = () => (({condition}) ? resolve() : requestAnimationFrame(check));
              setTimeout(() => reject(new Error("still false after {TIMEOUT_MS} ms")), {TIMEOUT_MS});
              check();
            }})"""
        )

    def _close_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; yield the address of the folder."""
    handler = partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Write no line for each request."""

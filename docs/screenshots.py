"""
Take a picture of every page: ``make screenshots``, after ``make docs``.

Wide and narrow, light and dark, with headless Chromium (Debian: ``apt-get install
chromium``). A person looks at them: at pictures that are too small, at tables and blocks
that do not fit, at colours that cannot be told apart. Names of pages may be given.
"""

from __future__ import annotations

import html
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "_build"
PICTURES = ROOT / "build" / "screenshots"
SIZES = {"wide": (1280, 2400), "narrow": (400, 3600)}
"""Width and height in pixels; a longer page has several pictures."""
SCHEMES = {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}
SLOWEST = 60
"""Seconds for one call of the browser."""
FRAME = """<!doctype html><body style="margin:0"><iframe src="/{page}.html"
style="border:0; display:block; margin-top:-{top}px" width="{width}" height="{height}"
></iframe>"""
"""A page in a frame, as a window has a least width."""
HEIGHTS = """<!doctype html><body>{frames}<pre></pre><script>onload = () => {{
const frames = [...document.querySelectorAll("iframe")];
document.querySelector("pre").textContent = JSON.stringify(
  frames.map((frame) => frame.contentDocument.documentElement.scrollHeight));
}};</script>"""
"""How high pages are, in the order of the names, for the one who reads the document."""


class Site(SimpleHTTPRequestHandler):
    """The site at its root, as its page for what is not there expects; and the frames."""

    def do_GET(self) -> None:
        """Answer with a file of the site, or with a frame around one or all of its pages."""
        asked = urlsplit(self.path)
        values = {key: value[0] for key, value in parse_qs(asked.query).items()}
        if asked.path == "/frame":
            self._send(FRAME.format(**values))
        elif asked.path == "/heights":
            frames = "".join(
                f'<iframe src="/{page}.html" width="{values["width"]}"></iframe>'
                for page in values["pages"].split()
            )
            self._send(HEIGHTS.format(frames=frames))
        else:
            super().do_GET()

    def _send(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Serve the site on this machine alone, and give its address."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Site(*args, directory=str(SITE))
    ) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def browse(browser: str, address: str, *options: str) -> str:
    """Open an address, and return what the browser prints."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(  # noqa: S603 - the browser that was found
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                *options,
                address,
            ],
            check=True,
            capture_output=True,
            timeout=SLOWEST,
            text=True,
        )
    return done.stdout


def heights(browser: str, site: str, pages: list[str], width: int) -> list[int]:
    """Measure pages, in pixels, at a width."""
    query = urlencode({"pages": " ".join(pages), "width": width})
    document = browse(
        browser, f"{site}/heights?{query}", "--dump-dom", "--virtual-time-budget=20000"
    )
    measured = document.partition("<pre>")[2].partition("</pre>")[0]
    return [int(height) for height in json.loads(html.unescape(measured))]


def take(browser: str, site: str, page: str, size: str, whole: int) -> None:
    """Take the pictures of one page of a height, in light and in dark."""
    width, height = SIZES[size]
    name = page.replace("/", "-")
    for part in range(math.ceil(whole / height)):
        query = urlencode(
            {
                "page": page,
                "top": part * height,
                "width": width,
                "height": max(whole, height),
            }
        )
        for scheme, options in SCHEMES.items():
            number = f"-{part + 1}" if part else ""
            browse(
                browser,
                f"{site}/frame?{query}",
                f"--window-size={max(width, 500)},{height}",
                f"--screenshot={PICTURES / f'{name}-{size}-{scheme}{number}.png'}",
                *options,
            )


def main(names: list[str]) -> int:
    """Take all pictures, or those of some pages."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    built = [path.relative_to(SITE) for path in sorted(SITE.rglob("*.html"))]
    pages = [
        page.with_suffix("").as_posix()
        for page in built
        if page.parts[0] not in {"_static", "_sources", "_modules"}
        and (not names or page.with_suffix("").as_posix() in names)
    ]
    if browser is None or not pages:
        print(  # noqa: T201 - for who has called it
            "chromium is not installed" if pages else "no such page: run `make docs`",
            file=sys.stderr,
        )
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with served() as site:
        for size, (width, _) in SIZES.items():
            measured = heights(browser, site, pages, width)
            for page, whole in zip(pages, measured, strict=True):
                take(browser, site, page, size, whole)
    print(f"{len(pages)} pages: {PICTURES}")  # noqa: T201 - for who has called it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""
Take a picture of every page: ``make screenshots``, after ``make docs``.

Wide and narrow, light and dark, with headless Chromium (Debian: ``apt-get install
chromium``). A person looks at them: at pictures that are too small, at tables and blocks
that do not fit, at colours that cannot be told apart. Names of pages may be given.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "_build"
PICTURES = ROOT / "build" / "screenshots"
SIZES = {"wide": (1280, 2400), "narrow": (400, 3600)}
"""Width and height in pixels; what is longer is cut off."""
SCHEMES = {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}
SLOWEST = 60
"""Seconds for one picture."""


def take(browser: str, page: Path, to: Path, size: str, scheme: str) -> None:
    """Take one picture: in a frame, as a window has a least width."""
    width, height = SIZES[size]
    frame = (
        f'<body style="margin:0"><iframe src="{page.as_uri()}" '
        f'style="border:0" width="{width}" height="{height}"></iframe>'
    )
    with tempfile.TemporaryDirectory() as folder:
        framed = Path(folder) / "frame.html"
        framed.write_text(frame, encoding="utf-8")
        subprocess.run(  # noqa: S603 - the browser that was found
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--allow-file-access-from-files",
                f"--user-data-dir={folder}/profile",
                f"--window-size={max(width, 500)},{height}",
                f"--screenshot={to}",
                *SCHEMES[scheme],
                framed.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=SLOWEST,
        )


def main(names: list[str]) -> int:
    """Take all pictures, or those of some pages."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    pages = [
        page
        for page in sorted(SITE.rglob("*.html"))
        if not {"_static", "_sources", "_modules"} & set(page.parts)
        and (not names or page.relative_to(SITE).with_suffix("").as_posix() in names)
    ]
    if browser is None or not pages:
        print(  # noqa: T201 - for who has called it
            "chromium is not installed" if pages else "no such page: run `make docs`",
            file=sys.stderr,
        )
        return 1
    for page in pages:
        name = page.relative_to(SITE).with_suffix("").as_posix().replace("/", "-")
        for size in SIZES:
            for scheme in SCHEMES:
                to = PICTURES / f"{name}-{size}-{scheme}.png"
                to.parent.mkdir(parents=True, exist_ok=True)
                take(browser, page, to, size, scheme)
    print(f"{len(pages)} pages: {PICTURES}")  # noqa: T201 - for who has called it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

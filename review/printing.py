"""The morning report as a PDF: printed by a Chromium that is installed, from the page that stands in the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from archive.durable import write_atomically
from configs.errors import ConfigError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
TIMEOUT_S = 120.0


def browser() -> str:
    """The browser that prints: ADAPTEM_CHROMIUM, else the first of ``BROWSERS``. Raises ConfigError without one."""
    named = os.environ.get("ADAPTEM_CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        looked = named or ", ".join(BROWSERS)
        raise ConfigError(
            f"a PDF is printed by Chromium, and none of {looked} is here (Debian: apt install chromium); "
            "or open report.html in any browser and print it"
        )
    return found


def print_pdf(page: Path, out: Path) -> None:
    """Print an HTML page into ``out``; it is there whole or not at all. Nothing is fetched from anywhere.

    Raises ConfigError where there is no browser or it does not print, OSError where ``out`` cannot be written.
    """
    program = browser()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "page.pdf"
        words = [program, "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer",
                 "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={place}/profile",
                 f"--print-to-pdf={made}", page.resolve().as_uri()]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            words.insert(1, "--no-sandbox")  # Chromium has none for root, and will not start otherwise
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S)  # noqa: S603 - our own words
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{program} did not print {page} within {TIMEOUT_S:.0f} s") from None
        if done.returncode or not made.is_file():
            last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            raise ConfigError(f"{program} did not print {page}: {last[:300]}")
        write_atomically(out, made.read_bytes(), durable=False)

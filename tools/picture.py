"""The picture of the report in the README: some of its sections as a browser shows them, side by side.

    python tools/picture.py demo/report.html docs/images/report.png "" overlays

An empty name stands for the top of the page. It takes Chromium or Chrome, which nothing else here needs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH, HEIGHT = 1040, 1000


def picture(page: Path, png: Path, sections: Sequence[str] = ("",)) -> None:
    """Write sections of a page, by their ids, as one PNG; FileNotFoundError where there is no browser."""
    browser = next((b for name in BROWSERS if (b := shutil.which(name))), None)
    if browser is None:
        raise FileNotFoundError(f"none of {', '.join(BROWSERS)} is here")
    whole = Image.new("RGB", (WIDTH * len(sections), HEIGHT), "white")
    with tempfile.TemporaryDirectory() as folder:
        for i, section in enumerate(sections):
            shot, alone = Path(folder, f"{i}.png"), Path(folder, f"{i}.html")
            # A headless browser shows the top of a page wherever it is sent, so all else is hidden.
            hide = (
                f"<style>header, nav, section:not(#{section}) {{ display: none !important }}</style>" if section else ""
            )
            alone.write_text(page.read_text(encoding="utf-8") + hide, encoding="utf-8")
            subprocess.run(
                [
                    browser,
                    *("--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars"),
                    *(f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"),
                    alone.as_uri(),
                ],
                check=True,
                capture_output=True,
                timeout=120,
            )
            with Image.open(shot) as image:
                whole.paste(image.convert("RGB"), (WIDTH * i, 0))
    png.parent.mkdir(parents=True, exist_ok=True)
    small = whole.resize((whole.width * 3 // 4, whole.height * 3 // 4), Image.Resampling.LANCZOS)
    small.quantize(128).save(png, optimize=True)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or [""])

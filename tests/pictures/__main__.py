"""Take the pictures: those of the docs as SVG, and with a folder all widths, light and dark, as PNG to be looked at.

``python -m pictures docs/figures/terminal [FOLDER [NAME...]]``; the PNG want Debian's Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .scenes import WIDTHS, Studio
from .svg import Cells, svg

DOCS = ("demo", "login", "login-device", "status", "watch", "doctor", "doctor-wrong")
CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--no-pings"),
]


def main(figures: str, look: str | None = None, *names: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        studio = Studio(Path(folder))
        try:
            for name, take in studio.scenes().items():
                if names and name not in names:
                    continue
                taken = {columns: take(columns) for columns in (WIDTHS if look else (WIDTHS[1],))}
                if name in DOCS:
                    cells, title = taken[WIDTHS[1]]
                    Path(figures).mkdir(parents=True, exist_ok=True)
                    Path(figures, f"{name}.svg").write_text(svg(cells, title))
                if look:
                    _print(Path(look), name, taken, Path(folder))
                print(name, flush=True)
        finally:
            studio.close()


def _print(look: Path, name: str, taken: dict[int, tuple[Cells, str]], scratch: Path) -> None:
    look.mkdir(parents=True, exist_ok=True)
    high = sum(len(cells) * 18 + 50 for cells, _ in taken.values()) + 40
    for scheme, ground in (("light", "#eee"), ("dark", "#000")):
        page = scratch / f"{name}-{scheme}.html"
        parts = "<br>".join(svg(cells, title, scheme).split("?>")[-1] for cells, title in taken.values())
        page.write_text(f'<meta charset="utf-8"><body style="background:{ground};margin:10px">{parts}')
        profile = tempfile.mkdtemp(dir=scratch)
        shot = [f"--screenshot={look / f'{name}-{scheme}.png'}", f"--window-size=1340,{min(high, 6000)}"]
        command = [*CHROMIUM, f"--user-data-dir={profile}", *shot, page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=90)


if __name__ == "__main__":
    if len(sys.argv) < 2 or (len(sys.argv) > 2 and not shutil.which("chromium")):
        sys.exit(__doc__)
    main(*sys.argv[1:])

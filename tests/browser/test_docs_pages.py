"""Each page of the documentation in a real browser, narrow and wide, by day and by night.

`OAUTH_SESSION_PICTURES=folder tox -e browser -- -k docs` keeps the pictures, to be looked at.
"""

from __future__ import annotations

import base64
import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from selenium import webdriver
from support import browser

pytestmark = pytest.mark.timeout(900)

DOCS = Path(__file__).parents[2] / "docs"
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
LOOK = """
const ids = [...document.querySelectorAll('[id]')].map(each => each.id);
const links = [...document.querySelectorAll('a[href], link[href]')].map(each => each.href);
// The theme clips what is too wide, so elements are asked; what scrolls within itself may be wider.
const scrolls = '.table-wrapper, pre, .highlight, dt.sig, .plot, .toc-drawer, .sidebar-drawer';
const beyond = [...document.querySelectorAll('.content *, .mobile-header')].filter(each =>
  each.getBoundingClientRect().right > WIDTH + 1 && !each.closest(scrolls));
return {
  beyond: beyond.slice(0, 3).map(each => each.outerHTML.slice(0, 120)),
  wide: document.documentElement.scrollWidth,
  height: Math.min(document.documentElement.scrollHeight, 12000),
  broken: [...document.images].filter(each => !each.complete || !each.naturalWidth).map(each => each.src),
  loaded: performance.getEntriesByType('resource').map(each => each.name),
  title: document.querySelector('h1')?.innerText || '',
  ground: getComputedStyle(document.body).backgroundColor,
  ids: ids, links: links,
};
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the built site; says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The site, built and served."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(DOCS), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    started = browser.chromium(tmp_path / "profile")
    yield started
    started.quit()


def test_each_page(site: tuple[str, Path], driver: webdriver.Chrome) -> None:
    """No page is wider than the screen, lacks an image, complains, loads from elsewhere or links to what is not there."""
    url, folder = site
    pictures = os.environ.get("OAUTH_SESSION_PICTURES")
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))
    assert len(pages) > 90
    wrong: list[str] = []
    seen: dict[str, Any] = {}
    for page in pages:
        known = page.startswith("providers/known/") and not page.endswith("index.html")
        for width, scheme in [(w, s) for w in WIDTHS for s in SCHEMES if not known or (w, s) == (390, "light")]:
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
            )
            driver.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            )
            driver.get(url + page)
            found = seen[page] = driver.execute_script(LOOK.replace("WIDTH", str(width)))
            where = f"{page} at {width}, {scheme}"
            if found["wide"] > width:
                wrong.append(f"{where}: {found['wide']} wide")
            wrong += [f"{where}: too wide: {each}" for each in found["beyond"]]
            wrong += [f"{where}: no image {each}" for each in found["broken"]]
            wrong += [f"{where}: loads {each}" for each in found["loaded"] if not each.startswith((url, "data:"))]
            wrong += [f"{where}: {entry['message']}" for entry in driver.get_log("browser")]
            if (scheme == "dark") != (sum(map(int, found["ground"].strip("rgba()").split(",")[:3])) < 200):
                wrong.append(f"{where}: the ground is {found['ground']}")
            if pictures:
                picture(driver, Path(pictures) / f"{page[:-5].replace('/', '-')}-{width}-{scheme}.png", width, found)
    wrong += dead_links(url, seen)
    assert not wrong, "\n".join(wrong)


def picture(driver: webdriver.Chrome, path: Path, width: int, found: dict[str, Any]) -> None:
    """The whole page, as far down as it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = {"x": 0, "y": 0, "width": width, "height": found["height"], "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))


def dead_links(url: str, seen: dict[str, Any]) -> list[str]:
    """Links within the site to pages or to places in them that are not there."""
    there = {urljoin(url, page): set(found["ids"]) for page, found in seen.items()}
    dead = set()
    for page, found in seen.items():
        for link in found["links"]:
            target, place = urldefrag(link.partition("?")[0] if "?" in link and "#" not in link else link)
            if not link.startswith(url):
                continue
            target = target + "index.html" if target.endswith("/") else target
            if target not in there:
                if not target.endswith((".css", ".png", ".svg", ".ico", ".inv", ".txt", ".xml", ".js")):
                    dead.add(f"{page}: {link} is not there")
            elif place and unquote(place) not in there[target]:
                dead.add(f"{page}: {link} has no such place")
    return sorted(dead)

"""A Chromium without a window."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=900,700"),
)


def chromium(profile: Path, *more: str) -> webdriver.Chrome:
    """Started, with a profile of its own; its console is kept."""
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}", *more):
        options.add_argument(argument)
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))  # else selenium looks for one elsewhere

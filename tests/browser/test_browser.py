"""`oauth-session login` with a real browser: a person signs in, consents, and reads the page at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from support import browser
from support.grants_server import GrantsServer

pytestmark = pytest.mark.timeout(300)  # the first run installs the servers

COMMAND = [sys.executable, "-m", "oauth_session"]


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Callable[..., webdriver.Chrome]]:
    started: list[webdriver.Chrome] = []

    def start(*more: str) -> webdriver.Chrome:
        started.append(browser.chromium(tmp_path / f"profile-{len(started)}", *more))
        return started[-1]

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture
def settings(server: GrantsServer, tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "services.toml"
    config.write_text(f"""
[mine]
issuer = "{server.issuer}"
client_id = "public"
scope = "openid offline_access"
base_url = "{server.issuer}"
params = {{prompt = "consent"}}
""")
    return os.environ | {"OAUTH_SESSION_CONFIG": str(config), "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}


def login(settings: dict[str, str], *more: str) -> tuple[subprocess.Popen[str], str]:
    """The command at work, and the address that it shows."""
    command = [*COMMAND, "login", "-s", "mine", "--no-browser", *more]
    process = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "Open this address" in process.stderr.readline()
    return process, process.stderr.readline().strip()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def press(driver: webdriver.Chrome, selector: str) -> None:
    """What a person clicks on, once it is there; and the page after it."""
    button = WebDriverWait(driver, 30).until(lambda d: d.find_element(By.CSS_SELECTOR, selector))
    button.click()
    WebDriverWait(driver, 30).until(lambda d: d.execute_script("return document.readyState") == "complete")


def sign_in(driver: webdriver.Chrome, url: str) -> None:
    driver.get(url)
    driver.find_element(By.NAME, "login").send_keys("somebody")
    driver.find_element(By.NAME, "password").send_keys("any")
    press(driver, "button[type=submit]")


def title(driver: webdriver.Chrome) -> str:
    text: str = WebDriverWait(driver, 30).until(
        lambda d: d.current_url.startswith("http://127.0.0.1") and "/callback" in d.current_url and d.title
    )
    return text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser(
    settings: dict[str, str], chromium: Callable[..., webdriver.Chrome], tmp_path: Path, scheme: str
) -> None:
    """F5: sign in, consent, the page that says so, the token stored, and an API call made with it."""
    process, url = login(settings)
    driver = chromium(*["--force-dark-mode", "--blink-settings=preferredColorScheme=0"][: 2 * (scheme == "dark")])
    sign_in(driver, url)
    press(driver, "button[type=submit]")
    assert title(driver) == "You are logged in"
    assert "close this window" in driver.find_element(By.TAG_NAME, "body").text
    driver.save_screenshot(str(tmp_path / f"{scheme}.png"))
    code, said = ended(process)
    assert code == 0, said
    run = subprocess.run(
        [*COMMAND, "request", "GET", "me", "-s", "mine"], env=settings, capture_output=True, check=True
    )
    assert json.loads(run.stdout) == {"sub": "somebody"}


def test_a_person_who_says_no(settings: dict[str, str], chromium: Callable[..., webdriver.Chrome]) -> None:
    """RFC 6749 4.1.2.1: denied consent is named in the browser and in the terminal, and nothing is stored."""
    process, url = login(settings)
    driver = chromium()
    sign_in(driver, url)
    press(driver, "a[href$=abort]")
    assert title(driver) == "The login did not work"
    code, said = ended(process)
    assert code == 1
    assert "Traceback" not in said
    shown = subprocess.run([*COMMAND, "status", "-s", "mine"], env=settings, capture_output=True, text=True, check=True)
    assert "No grants" in shown.stderr


def test_another_state(settings: dict[str, str], chromium: Callable[..., webdriver.Chrome]) -> None:
    """F2: an answer that belongs to another login is refused, in words, before its code is used."""
    process, url = login(settings)
    back = url.split("redirect_uri=")[1].split("&")[0].replace("%3A", ":").replace("%2F", "/")
    driver = chromium()
    driver.get(f"{back}?code=theirs&state=theirs")
    assert title(driver) == "The login did not work"
    assert "does not belong to this login" in driver.find_element(By.TAG_NAME, "body").text
    assert ended(process)[0] == 1


def test_a_browser_that_is_closed(settings: dict[str, str], chromium: Callable[..., webdriver.Chrome]) -> None:
    """A person who closes the window is waited for as long as was said, and then told what to do."""
    process, url = login(settings, "--timeout", "4")
    driver = chromium()
    sign_in(driver, url)
    driver.close()
    code, said = ended(process)
    assert code == 1
    assert "nobody came back" in said

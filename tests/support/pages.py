"""A browser for `BROWSER`: logs in, or does what a person should not; what the last page says goes to a file.

Run as `python -m support.pages KIND FILE URL`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests

from .person import Person


def main(kind: str, file: str, url: str) -> None:
    back = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    if kind == "closes":
        return
    if kind == "forged":
        target = back + "?code=theirs&state=theirs"
    else:
        target = Person(consents=kind != "denies").visit(url, until=back)
    page = requests.get(target, timeout=30)
    assert "script" not in page.text
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.text, flags=re.DOTALL)
    part = Path(file).with_suffix(".part")
    part.write_text(f"{page.status_code} {text}")
    part.replace(file)


if __name__ == "__main__":
    main(*sys.argv[1:])

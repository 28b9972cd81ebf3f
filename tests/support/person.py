"""A person with a browser that knows forms and cookies: signs in and consents wherever that is asked."""

from __future__ import annotations

import html
import re
from urllib.parse import urljoin

import requests

_STEPS = 15  # forms and redirects of one login


class Person:
    """Follows an authorization request to its end, as its own browser."""

    def __init__(self, consents: bool = True) -> None:
        self.consents = consents
        self.browser = requests.Session()
        self.browser.trust_env = False

    def visit(self, url: str, until: str = "http://127.0.0.1/callback") -> str:
        """Log in at this address; the URL to which the server sends the browser in the end."""
        page, refused = self._get(url), False
        for _ in range(_STEPS):
            if page.is_redirect:
                target = urljoin(page.url, page.headers["Location"])
                if target.startswith(until):
                    return target
                page = self._get(target)
                continue
            page.raise_for_status()
            form = re.search(r"<form[^>]*>", page.text)
            if form is None:
                return page.text
            action = re.search(r'action="([^"]+)"', form[0])
            abort = re.search(r'href="([^"]+/abort)"', page.text)
            if abort and not self.consents:
                page, refused = self._get(urljoin(page.url, abort[1])), True
                continue
            if refused:
                return page.text
            refused = not self.consents and 'name="abort"' in page.text
            page = self._submit(urljoin(page.url, html.unescape(action[1]) if action else ""), page)
        raise AssertionError(page.text)

    def _submit(self, action: str, page: requests.Response) -> requests.Response:
        form = {}
        for tag in re.findall(r"<(?:input|button)[^>]*>", page.text):
            name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
            if name and not (self.consents and name[1] in form):  # of two buttons the first says yes
                form[name[1]] = html.unescape(value[1]) if value else ""
        if "abort" in form and self.consents:
            del form["abort"]
        form |= {name: "user" for name in ("login", "username") if name in form}
        form |= {"password": "any"} if "password" in form else {}
        if not self.consents:
            form.pop("allow", None)
        return self.browser.post(action, data=form, headers={"Referer": page.url}, allow_redirects=False, timeout=30)

    def _get(self, url: str) -> requests.Response:
        return self.browser.get(url, allow_redirects=False, timeout=30)

"""What one request costs: CPU and wall, over loopback and with a stub adapter; imports; memory."""

from __future__ import annotations

import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import redis
import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from oauth_session.testing import FakeProvider

from .peers import BARE, MODULES, OURS, PEERS, STATIC, VARIANTS, Make, Setting

WARM_UP = 50
SLICE = 100  # requests in a row; what the machine does besides meets all clients of a round alike
# A server in a process of its own, so that its CPU is not counted.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Stub(BaseAdapter):
    """Answers without a network."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response.headers["Content-Type"] = "application/json"
        response.raw = HTTPResponse(body=io.BytesIO(b"{}"), preload_content=False)
        return response

    def close(self) -> None:
        pass


def rounds(sessions: dict[str, requests.Session], url: str, count: int, times: int) -> dict[str, dict[str, Any]]:
    """CPU and wall of so many requests each, in turns, as ratios to the static header of the same round."""
    cpu: dict[str, list[float]] = {name: [] for name in sessions}
    wall: dict[str, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():
        for _ in range(WARM_UP):
            session.get(url)
    names = list(sessions)
    for _ in range(times):
        used, took = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for part in range(count // SLICE):
            for name in names[part % len(names) :] + names[: part % len(names)]:
                get, began, cpu_began = sessions[name].get, time.perf_counter(), time.process_time()
                for _ in range(SLICE):
                    get(url)
                used[name] += time.process_time() - cpu_began
                took[name] += time.perf_counter() - began
        for name in names:
            cpu[name].append(used[name])
            wall[name].append(took[name])

    def ratios(of: dict[str, list[float]], name: str) -> list[float]:
        return [mine / base for mine, base in zip(of[name], of[STATIC], strict=True)]

    return {
        name: {
            "cpu": statistics.median(ratios(cpu, name)),
            "cpu_from": min(ratios(cpu, name)),
            "cpu_to": max(ratios(cpu, name)),
            "wall": statistics.median(ratios(wall, name)),
            "microseconds": statistics.median(cpu[name]) / count * 1e6,
            "rounds": [round(ratio, 3) for ratio in ratios(cpu, name)],
        }
        for name in names
    }


@contextlib.contextmanager
def _served() -> Iterator[str]:
    """A URL on loopback that answers as the stub does."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1/me"
        finally:
            server.kill()


def _compare(store: str, count: int, times: int, makers: dict[str, Make]) -> dict[str, Any]:
    """Over loopback and with the stub."""
    found: dict[str, Any] = {}
    token = {"access_token": "a" * 40, "refresh_token": "r" * 40, "expires_in": 86400}
    with _served() as url:
        for kind, at in (("loopback", url), ("stub", "https://api.example.com/v1/me")):
            base = urllib.parse.urljoin(at, ".")
            setting = Setting(base, "http://127.0.0.1:1/token", "c", "s", token, store, f"cost-{kind}")
            sessions = {name: make(setting) for name, make in makers.items() if (name, kind) != (BARE, "stub")}
            if kind == "stub":
                for session in sessions.values():
                    session.mount("https://", Stub())
            found[kind] = rounds(sessions, at, count, times)
    return found


def per_request(store: str, count: int, times: int) -> dict[str, Any]:
    """Each client."""
    return _compare(store, count, times, PEERS)


def profile(store: str, count: int, times: int) -> dict[str, Any]:
    """Where it goes: the same with one thing left out after another."""
    return _compare(store, count, times, VARIANTS)


def commands(store: str, count: int) -> dict[str, float]:
    """Store commands per ordinary request, as the server counts them."""
    found = {}
    with FakeProvider(lifetime=3600) as provider, redis.Redis.from_url(store) as plain:
        for name in (OURS, "interceptor + Redis"):
            who = (provider.client_id, provider.client_secret or "")
            setting = Setting(provider.api_url, provider.token_url, *who, provider.issue(), store, f"count-{name}")
            session = PEERS[name](setting)
            session.get(provider.api_url + "me")
            before = plain.info("stats")["total_commands_processed"]
            for _ in range(count):
                session.get(provider.api_url + "me")
            found[name] = (plain.info("stats")["total_commands_processed"] - before - 1) / count
    return found


def imports(times: int) -> dict[str, dict[str, float]]:
    """Milliseconds and MB of an import above those of `import requests`, paired."""
    code = (
        "import time, requests; base = time.perf_counter(); import {}; "
        "print((time.perf_counter() - base) * 1e3, int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20)"
    )

    def run(module: str) -> tuple[float, float]:
        command = [sys.executable, "-c", code.format(module)]  # away from the checkout: what is installed, and compiled
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
        took, size = map(float, said.stdout.split())
        return took, size

    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in MODULES}
    for _ in range(times):
        _, base = run("requests")
        for name, module in MODULES.items():
            took, size = run(module)
            seen[name].append((took, size - base))
    return {
        name: {
            "milliseconds": statistics.median(took for took, _ in pairs),
            "megabytes": statistics.median(size for _, size in pairs),
        }
        for name, pairs in seen.items()
    }

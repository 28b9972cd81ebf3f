"""From what was measured to tables: in the terminal, in the docs, and on the README's first screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from . import fleet, pictures
from .peers import LOGINS, OURS

Rows = list[list[str]]  # the first one is the heading
README = Path(__file__).parent.parent / "README.rst"


def _cost(found: Any) -> Rows:
    rows = [["CPU per request", "loopback", "spread", "stub adapter", "spread", "wall, loopback", "ours is lower in"]]
    for name in found["loopback"]:
        sides = [found[kind].get(name) for kind in ("loopback", "stub")]
        cells = [cell for side in sides for cell in _with_spread(side)]
        lower = [each for side in sides if side is not None for each in _lower(found, name, side)]
        verdict = "" if name == OURS else f"{sum(lower)} of {len(lower)} rounds"
        rows.append([name, *cells, f"{found['loopback'][name]['wall']:.2f}", verdict])
    return rows


def _with_spread(side: Any) -> list[str]:
    return ["", ""] if side is None else [f"{side['cpu']:.2f}", f"{side['cpu_from']:.2f} to {side['cpu_to']:.2f}"]


def _lower(found: Any, name: str, side: Any) -> list[bool]:
    kind = "loopback" if side is found["loopback"][name] else "stub"
    return [ours < theirs for ours, theirs in zip(found[kind][OURS]["rounds"], side["rounds"], strict=True)]


def _profile(found: Any) -> Rows:
    return [
        ["Where it goes: CPU per request", *row[1:5]] if not number else row[:5]
        for number, row in enumerate(_cost(found))
    ]


def _push(found: Any) -> Rows:
    return [
        ["A commit of another grant on the same channel", "us"],
        ["CPU of a process that hears it", f"{found['listener_microseconds']:.1f}"],
        ["CPU of the server that tells it", f"{found['server_microseconds']:.1f}"],
    ]


def _commands(found: Any) -> Rows:
    return [["Store commands per request", ""], *([name, f"{count:.2f}"] for name, count in found.items())]


def _imports(found: Any) -> Rows:
    rows = [["Import, above requests", "ms", "MB"]]
    return rows + [[name, f"{e['milliseconds']:.1f}", f"{e['megabytes']:.1f}"] for name, e in found.items()]


def _fate(state: Any) -> str:
    if state["grant_alive"]:
        return "alive"
    lost = state.get("lost_after")
    return "lost" if lost is None else f"lost after {lost:.1f} s"


def _storm(title: str, found: Any) -> Rows:
    rows = [[title, "requests", "failed", "token calls", "generations", "reused", "grant"]]
    for name, state in found.items():
        counts = [state[key] for key in ("requests", "failed", "token_calls", "generations", "reuse_incidents")]
        rows.append([name, *(f"{count:,}" for count in counts), _fate(state)])
    return rows


def _permissions(found: Any) -> Rows:
    rows = [
        [
            "200 requests that are not allowed",
            "token calls, 401",
            "API calls, 401",
            "token calls, 403",
            "API calls, 403",
        ]
    ]
    for name, by in found.items():
        rows.append(
            [name, *(f"{by[status][what]:,}" for status in ("401", "403") for what in ("token_calls", "api_calls"))]
        )
    return rows


def _replays(found: Any) -> Rows:
    kinds = list(found[OURS])
    return [
        ["Sent with a revoked token", *kinds],
        *([name, *(by[kind] for kind in kinds)] for name, by in found.items()),
    ]


def _connections(found: Any) -> Rows:
    rows = [["200 expiries, stream=True", "API connections", "token connections", "answered"]]
    return rows + [[name, *(f"{by[key]:,}" for key in ("api", "token", "answered"))] for name, by in found.items()]


def _sealed(found: Any) -> Rows:
    rows = [["Encryption at rest", "plain", "sealed", "ratio"]]
    for key, what in (("bytes", "bytes of a record"), ("cpu_milliseconds", "CPU of a refresh, ms, provider included")):
        ratio = found["ratio"]["bytes" if key == "bytes" else "cpu"]
        rows.append([what, f"{found['plain'][key]:.2f}", f"{found['sealed'][key]:.2f}", f"{ratio:.2f}"])
    return rows


def _memory(found: Any) -> Rows:
    return [
        ["One client in memory", ""],
        ["grants", f"{found['grants']:,}"],
        ["bytes per grant", f"{found['bytes_per_grant']:,.0f}"],
    ]


def _redis(found: Any) -> Rows:
    few, many = found["few"], found["many"]
    limit = 1.3 * found["token_json"] + 400
    return [
        ["Redis", "1,000 grants", f"{found['grants']:,} grants"],
        ["bytes per grant", "", f"{found['bytes_per_grant']:,.0f}"],
        ["of which its token JSON", "", f"{found['token_json']:,.0f} (limit: {limit:,.0f})"],
        ["refresh, ms", f"{few['milliseconds']:.2f}", f"{many['milliseconds']:.2f} (ratio {found['ratio']:.2f})"],
        ["scripts per refresh", f"{few['scripts']:.1f}", f"{many['scripts']:.1f}"],
        ["round trips per refresh", f"{few['round_trips']:.2f}", f"{many['round_trips']:.2f}"],
        [
            "server CPU per refresh, us",
            f"{few['server_cpu_microseconds']:.0f}",
            f"{many['server_cpu_microseconds']:.0f}",
        ],
        [
            "refreshes per second, 8 threads and provider in one process",
            "",
            f"{found['parallel']['refreshes_per_second']:,.0f}",
        ],
        ["grants listed per second", "", f"{found['listing']['grants_per_second']:,.0f}"],
        ["slowest page of 100, ms", "", f"{found['listing']['slowest_page_milliseconds']:.1f}"],
    ]


ROWS = {
    "cost": _cost,
    "profile": _profile,
    "commands": _commands,
    "imports": _imports,
    "threads": lambda found: _storm("50 threads, one expired token", found),
    "processes": lambda found: _storm("8 processes x 4 threads, 20 s", found),
    "permissions": _permissions,
    "replays": _replays,
    "connections": _connections,
    "sealed": _sealed,
    "memory": _memory,
    "push": _push,
    "redis": _redis,
}


def show(console: Console, name: str, found: Any) -> None:
    """In the terminal."""
    heading, *rows = ROWS[name](found)
    table = Table(*heading, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _rst(rows: Rows) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if not column else '  -'} {cell}".rstrip() for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def _text(rows: Rows) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("    " + "  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines) + "\n"


def publish(found: dict[str, Any], docs: Path) -> None:
    """Plots, the docs' tables and the README's first screen."""
    pictures.storm(found["processes"], docs / "figures" / "storm.svg")
    pictures.cost(found["cost"], docs / "figures" / "cost.svg")
    page = docs / "performance.rst"
    _put(README, "storm", _first_screen(found))
    _put(page, "profile", _rst(_profile(found["profile"])))
    _put(page, "fleet", _rst(fleet.rows(found)))
    parts = []
    for name in ROWS:
        when = found["conditions"][name]
        how = f"{when['date']}; load {when['load_before']:g} before, {when['seconds']:.0f} s"
        parts.append(f"*{found['machine']}; {how}.*\n\n" + _rst(ROWS[name](found[name])))
    _put(page, "all", "\n".join(parts))


def _put(page: Path, name: str, text: str) -> None:
    """Between the two marks: directives that include files are not shown where most people read."""
    begin, end = f".. measured: begin {name}\n", f".. measured: end {name}\n"
    before, _, rest = page.read_text().partition(begin)
    _, there, after = rest.partition(end)
    assert there, f"{page.name} has no place for {name}"
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")


def _first_screen(found: dict[str, Any]) -> str:
    rows = [["", "grant", "token calls", "failed", "CPU", "store commands"]]
    for name in LOGINS:
        state = found["processes"][name]
        commands = found["commands"].get(name)
        failed = f"{state['failed']:,} of {state['requests']:,}"
        cpu = f"{found['cost']['loopback'][name]['cpu']:.2f}"
        shown = "" if commands is None else f"{commands:.0f}"
        rows.append([name, _fate(state), f"{state['token_calls']:,}", failed, cpu, shown])
    when = found["conditions"]["processes"]["date"]
    return (
        "\n.. image:: docs/figures/storm.svg\n   :alt: Requests answered and failed over 20 seconds, for each client\n\n"
        f"Measured by ``tox -e bench`` on {found['machine']}, {when}. The last two columns are for one\n"
        "request; CPU is a multiple of what a plain ``requests.Session`` with the header set by hand costs. Authlib,\n"
        "requests_oauth2client and google-auth hold a token of one second for expired from the start, since they renew 20 to\n"
        "225 seconds ahead.\n\n"
        f".. code-block:: text\n\n{_text(rows)}\n"
    )

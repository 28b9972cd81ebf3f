"""A terminal's screen as SVG: small, without fonts of its own, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

WIDE, HIGH, EDGE = 8.0, 18.0, 14.0
# As terminals have them by default on white (Tango) and on black, but for the yellow, which is never a text's color here.
LIGHT = {
    "default": "#2e3436",
    "ground": "#ffffff",
    "frame": "#c8c8c8",
    "black": "#2e3436",
    "red": "#cc0000",
    "green": "#437f05",
    "brown": "#c4a000",
    "blue": "#3465a4",
    "magenta": "#75507b",
    "cyan": "#067c7e",
    "white": "#d3d7cf",
}
DARK = {
    "default": "#d3d7cf",
    "ground": "#1e1e1e",
    "frame": "#484848",
    "black": "#2e3436",
    "red": "#f66151",
    "green": "#8ae234",
    "brown": "#c4a000",
    "blue": "#729fcf",
    "magenta": "#ad7fa8",
    "cyan": "#34e2e2",
    "white": "#eeeeec",
}
Cells = list[list[Any]]


def svg(cells: Cells, title: str, scheme: str = "auto") -> str:
    """The picture; `scheme` is light, dark, or auto."""
    columns = max(map(len, cells))
    width, height = columns * WIDE + 2 * EDGE, len(cells) * HIGH + 2 * EDGE
    body = "\n".join(part for number, line in enumerate(cells) for part in _line(number, line))
    rules = _rules(DARK if scheme == "dark" else LIGHT)
    dark = f"@media (prefers-color-scheme: dark) {{{_rules(DARK)}}}" if scheme == "auto" else ""
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">
<title>{escape(title)}</title>
<style>text{{font:13.3px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}}.b{{font-weight:bold}}
.u{{text-decoration:underline}}.i{{font-style:italic}}{rules}{dark}</style>
<rect class="ground" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="6"/>
{body}
</svg>
"""


def _rules(colors: dict[str, str]) -> str:
    rules = [f".{name}{{fill:{color}}}" for name, color in colors.items() if name not in ("ground", "frame")]
    return f".ground{{fill:{colors['ground']};stroke:{colors['frame']}}}" + "".join(rules)


def _line(number: int, line: list[Any]) -> Iterator[str]:
    top, column = EDGE + number * HIGH, 0
    for look, group in groupby(line, key=_look):
        text = "".join(cell.data for cell in group)
        front, back, classes = look
        left, length = EDGE + column * WIDE, len(text) * WIDE
        column += len(text)
        if back != "default":
            yield f'<rect class="{back}" x="{left:g}" y="{top:g}" width="{length:g}" height="{HIGH:g}"/>'
        if not text.strip():
            continue
        shown = text.rstrip() if "u" not in classes else text
        blanks = len(shown) - len(shown.lstrip())
        left, shown = left + blanks * WIDE, shown.lstrip()
        style = " ".join([front, *classes])
        yield (
            f'<text class="{style}" x="{left:g}" y="{top + 13:g}" textLength="{len(shown) * WIDE:g}" '
            f'lengthAdjust="spacingAndGlyphs">{escape(shown, quote=False)}</text>'
        )


def _look(cell: Any) -> tuple[str, str, tuple[str, ...]]:
    front, back = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
    flags = {
        "b": cell.bold,
        "u": cell.underscore,
        "i": cell.italics,
        "d": cell.blink,
    }  # blink: where Terminal keeps dim
    return _name(front), _name(back), tuple(name for name, is_set in flags.items() if is_set)


def _name(color: str) -> str:
    """The bright ones are the same here; what is none of the sixteen is the text's own color."""
    name = color.removeprefix("bright").replace("yellow", "brown")
    return name if name in LIGHT else "default"

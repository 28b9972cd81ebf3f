"""The plots that README and docs show: SVG, legible on light and on dark ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt  # after the backend is chosen
from matplotlib.axes import Axes

from .peers import OURS, STATIC

# Middle tones, which stand out on white and on black alike.
INK, GOOD, BAD, QUIET = "#7a7f87", "#2f9e63", "#e0564a", "#8a9bb5"

plt.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "oauth_session",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def storm(found: dict[str, Any], path: Path) -> None:
    """Requests per half second that were answered and that failed, one strip for each client."""
    figure, strips = plt.subplots(len(found), 1, figsize=(8.5, 1.05 * len(found) + 0.6), sharex=True, sharey=True)
    tallest = max(sum(slot) for state in found.values() for slot in state["timeline"])
    for axes, (name, state) in zip(strips, found.items(), strict=True):
        times = [slot / 2 for slot in range(len(state["timeline"]))]
        good, bad = ([slot[which] for slot in state["timeline"]] for which in (0, 1))
        axes.bar(times, good, width=0.46, align="edge", color=GOOD)
        axes.bar(times, bad, width=0.46, align="edge", bottom=good, color=BAD)
        fate = "grant alive" if state["grant_alive"] else f"grant lost after {state['lost_after']:.1f} s"
        # Right above its own bars: at the top of a strip that is nearly empty it seems to belong to the one before.
        axes.text(
            0,
            (max(map(sum, state["timeline"])) / tallest + 0.06) / 1.05,
            f"{name}:  {state['token_calls']:,} token calls, {state['failed']:,} of {state['requests']:,} failed, {fate}",
            transform=axes.transAxes,
            fontsize=10.5,
            color=GOOD if state["grant_alive"] else BAD,
        )
        axes.set_ylim(0, tallest * 1.05)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    strips[-1].set_xlabel("seconds; answered green, failed red, per half second")
    figure.tight_layout(h_pad=0.4)
    _save(figure, path)


def cost(found: dict[str, Any], path: Path) -> None:
    """CPU per request against the static header, with the spread over the rounds."""
    figure, sides = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True)
    for axes, kind in zip(sides, ("loopback", "stub"), strict=True):
        _bars(axes, {name: each for name, each in found[kind].items() if name != STATIC})
        axes.set_title({"loopback": "over loopback", "stub": "without a network"}[kind], fontsize=11)
    figure.supxlabel("CPU per request; 1 is requests with a header set by hand", fontsize=10, color=INK)
    figure.tight_layout()
    _save(figure, path)


def _bars(axes: Axes, found: dict[str, dict[str, float]]) -> None:
    names = list(found)[::-1]
    for row, name in enumerate(names):
        each = found[name]
        axes.barh(row, each["cpu"], color=GOOD if name == OURS else QUIET, height=0.62)
        axes.plot([each["cpu_from"], each["cpu_to"]], [row, row], color=INK, linewidth=1.2)
        axes.text(max(each["cpu"], each["cpu_to"]) + 0.03, row, f"{each['cpu']:.2f}", va="center", fontsize=10)
    axes.axvline(1, color=INK, linewidth=0.9, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, max(each["cpu_to"] for each in found.values()) * 1.2)

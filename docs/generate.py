"""What is made from data: pages about providers from the profiles, tables from source and measurements.

``python docs/generate.py`` writes them, and so does each build of the site.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from oauth_session.providers import load_profile, names
from oauth_session.providers.profile import API_EXAMPLES, Example, Profile
from oauth_session.providers.words import expiry_words, facts, grace_words, rule_words, said
from oauth_session.rules.detection import Detection, Verdict

sys.path.insert(0, str(Path(__file__).parent))
import tables

DOCS = Path(__file__).parent
HERE = DOCS / "providers"
REFRESHES = (Verdict.EXPIRED, Verdict.MAYBE)
KINDS = {
    "expired": "expired token",
    "permission": "permission",
    "rate_limit": "rate limit",
    "other": "something else",
    "success": "success",
    "refresh_granted": "new tokens",
    "refresh_dead": "dead refresh token",
    "refresh_transient": "refresh that fails for now",
    "refresh_early": "refresh that comes too early",
}


def heading(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def table(rows: list[list[str]], widths: str, kind: str = "") -> str:
    """A list table; the first row is its heading. `kind` is for the site's style."""
    lines = [
        ".. list-table::",
        *([f"   :class: {kind}"] if kind else []),
        "   :header-rows: 1",
        f"   :widths: {widths}",
        "",
    ]
    for row in rows:
        lines += [f"   {'*' if number == 0 else ' '} - {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """Code in a line; rst has no escape within it."""
    shown = " ".join(text.replace("`", "'").split())
    return f"``{shown}``" if shown else "(empty)"


def short(text: str, most: int = 100) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def plain(text: str) -> str:
    """Free text in rst: what would be markup is escaped."""
    for sign in ("\\", "*", "`", "|", "_"):
        text = text.replace(sign, "\\" + sign)
    return text


def matrix() -> str:
    """The default rule, without any profile, over all answers of the APIs."""
    counts: Counter[tuple[bool, bool]] = Counter()
    said_only = 0
    rows = [["Provider", "What it is", "Answer", "Default rule", "Right?", "With the profile"]]
    for name in names():
        profile = load_profile(name)
        for example in (e for e in profile.examples if e.of in API_EXAMPLES):
            does = example.judged(Detection(), "Bearer").verdict in REFRESHES
            knows = example.judged(profile.detection, profile.scheme).verdict in REFRESHES
            expired = example.of == "expired"
            counts[expired, does] += 1
            verdict = {True: "refreshes", False: "passes on"}
            right = "yes" if does == expired else "**missed**" if expired else "**one needless refresh**"
            answer = f"{example.status} {literal(short(shown(example)))}"
            doubt = " (*said*)" if example.source.startswith("unverified") else ""
            said_only += bool(doubt)
            rows.append([plain(profile.title), KINDS[example.of] + doubt, answer, verdict[does], right, verdict[knows]])
    total = sum(counts.values())
    quoted = sum(any(e.of in API_EXAMPLES for e in load_profile(name).examples) for name in names())
    summary = [
        ["", "refreshes", "passes on"],
        ["is an expired token", str(counts[True, True]), f"{counts[True, False]} (missed)"],
        ["is something else", f"{counts[False, True]} (needless)", str(counts[False, False])],
    ]
    return f"""{heading("The default rule, measured")}
Without a profile an answer is taken for an expired token if it is a 401 whose challenge says ``invalid_token``, or a 401
that says nothing else; no free text is looked for. Over the {total} answers of {quoted} providers that stand in the
profiles, {said_only} of which are said and not verified (marked *said*), that gives (of some the code or the text is
known, and not the whole body; the source of each says so):

{table(summary, "40 30 30")}
A missed one is what a profile, ``refresh_on`` or ``expired_when`` is for. A needless one costs one refresh per token and
origin, once: the replay is refused too, and the session remembers (see :doc:`../protocol`).

Every answer
------------

{table(rows, "14 12 38 12 12 12", "answers")}"""


def shown(example: Example) -> str:
    """What tells it: the body, or the challenge."""
    challenge = next((v for n, v in example.headers.items() if n.lower() == "www-authenticate"), "")
    return example.body or challenge


def page(profile: Profile) -> str:
    """One provider."""
    parts = [heading(plain(profile.title)), f'``provider="{profile.name}"``, last checked {profile.last_checked}.\n']
    parts += ["\n".join(f"* {plain(note)}" for note in profile.notes) + "\n"] if profile.notes else []
    if profile.params:
        rows = [["provider_params", "is", "unless given"]]
        for param in profile.params.values():
            kind = ", ".join(param.choices) or plain(param.about) or param.kind
            rows.append([literal(param.name), kind, literal(param.default) if param.default else ""])
        parts.append(table(rows, "20 60 20"))
    parts.append(f"Taken for an expired token: {plain(expiry_words(profile))}.\n")
    rows = [["Fact", "What it says", "Source"]]
    for fact in facts(profile):
        source = plain(fact.source) if fact.verified else f"*Unverified, not applied:* {plain(fact.source)}"
        rows.append([fact.label, plain(fact.says), source])
    parts.append(table(rows, "25 45 30"))
    if profile.examples:
        rows = [["Real answer", "is", "Source"]]
        for example in profile.examples:
            rows.append(
                [
                    f"{example.status} {literal(shown(example))}",
                    KINDS[example.of],
                    plain(example.source.removeprefix("verified: ")),
                ]
            )
        parts.append(table(rows, "55 20 25", "answers"))
    return "\n".join(parts)


def index() -> str:
    """All of them."""
    rows = [["Name", "Provider", "Refresh token", "Reuse grace", "Access token", "Rules of its own"]]
    for name in names():
        profile = load_profile(name)
        rules = "; ".join(rule_words(rule) for rule in (*profile.expired_when, *profile.not_expired_when))
        rows.append(
            [
                f":doc:`{name} <{name}>`",
                plain(profile.title),
                said("rotation", profile.rotation),
                grace_words(profile),
                said("lifetime", profile.lifetime) if profile.lifetime else "",
                plain(short(rules)),
            ]
        )
    return f"""{heading("Known providers")}
What differs between providers is data: one TOML file each, in which every fact has its source and says whether it is
verified. What is not verified is written down and not applied; the default then holds, which is right for most.

{table(rows, "14 16 14 12 12 32")}
.. toctree::
   :hidden:
   :glob:

   *
"""


def pages() -> dict[str, str]:
    """File name -> text."""
    found = {f"known/{name}.rst": page(load_profile(name)) for name in names()}
    return found | {"known/index.rst": index(), "default-rule.rst": matrix()}


def made() -> dict[Path, str]:
    """Each file with its text."""
    comparison = DOCS / "comparison.rst"
    text = comparison.read_text()
    for name, block in tables.measured().items():
        text = tables.put(text, name, block)
    return {
        **{HERE / file: page for file, page in pages().items()},
        DOCS / "reference" / "made" / "numbers.rst": tables.numbers(),
        DOCS / "reference" / "made" / "settings.rst": tables.settings(),
        comparison: text,
    }


def write() -> None:
    """All of them, to their places; only `default-rule.rst` and `comparison.rst` are kept in the repository."""
    for path, text in made().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:  # what has not changed is not built again
            path.write_text(text)


if __name__ == "__main__":
    write()

"""The documentation site: ``tox -e docs`` builds it, without a network."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util.docutils import SphinxRole
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).parent))

import generate

import oauth_session
from oauth_session.events import Event

BREAKS = re.compile(r"(?<=\w)_(?=\w)")

project = "oauth_session"
author = "the authors of oauth_session"
project_copyright = "2026, the authors of oauth_session. Apache-2.0"
version = release = oauth_session.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build", "reference/made"]
default_role = "name"
nitpicky = True
# No inventories of other projects: the build asks no network. What is not ours is shown by its name.
nitpick_ignore_regex = [
    (r"py:.*", r"(requests|urllib3|opentelemetry|redis|pathlib|contextlib|ssl|types|datetime|os)(\..*)?"),
    (r"py:.*", r"(collections\.abc|typing|optional|callable)(\..*)?"),
    (r"py:.*", r"(str|int|float|bool|bytes|object|dict|list|tuple|set|frozenset|type|None|ValueError|enum\.Enum)"),
    (r"py:.*", r"(Exception|Any|Mapping|Sequence|Callable|Iterable|Iterator|Literal|Self|Protocol)"),
    # Types that a caller only hands on or that stand for several plain ones; the text beside them says which.
    (r"py:.*", r"oauth_session\.auth\.Source"),
    (r"py:.*", r"oauth_session\.(rules|held|flight|sealed|sealing|seeds|reveal|providers|testing|stores)\..*"),
    (
        r"py:.*",
        r"(Secret|Named|Seed|Timeout|Listener|Listeners|ClientAuth|Response|PreparedRequest|Refusal|Text|Form|Params|Retry|Replay)",
    ),
]

smartquotes_action = "De"  # quotes stay as they are typed: much of what is quoted is to be copied

html_theme = "furo"
html_title = f"oauth_session {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "friendly", "monokai"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 76
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def shown_at(name: str) -> str:
    """Where a public name stands in the reference: at the package, wherever it is defined."""
    return f"oauth_session.{name}" if name in oauth_session.__all__ else name


for field in PyObject.doc_field_types:
    if field.name == "variable":
        field.label = "Attributes"  # napoleon has no word of its own for them


class Name(SphinxRole):
    """What single backticks mean in our docstrings and pages: a name of ours, linked where there is one to link to."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        target = shown_at(self.text.removesuffix("()"))
        found = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refdoc=self.env.docname)
        found["refexplicit"], found["ours"], found["refwarn"] = False, True, False
        found["py:module"], found["py:class"] = self.env.ref_context.get("py:module"), None
        found += nodes.literal(self.text, self.text, classes=["xref", "py", "py-obj"])
        return [found], []


def unknown(app: Sphinx, env: Any, node: addnodes.pending_xref, content: nodes.Element) -> nodes.Node | None:
    """A name that is no object of the reference stays plain code; one at its place of definition is led to ours."""
    target = node.get("reftarget", "")
    last = target.rpartition(".")[2]
    if (
        node.get("refdomain") == "py"
        and last in oauth_session.__all__
        and not target.startswith("oauth_session." + last)
    ):
        found = env.get_domain("py").resolve_xref(
            env, node["refdoc"], app.builder, "obj", f"oauth_session.{last}", node, content
        )
        if found is not None:
            return found
    if not node.get("ours"):
        return None
    found = named(env.get_domain("py").objects, target)
    if found is None:
        return content
    return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, content)


def named(objects: Any, target: str) -> str | None:
    """The one object that is called so: a class or a function, or a method with its class; never what may be an argument."""
    ends = [name for name, entry in objects.items() if name.endswith(f".{target}") and not entry.aliased]
    if "." not in target:
        ends = [name for name in ends if objects[name].objtype in ("class", "exception", "function", "data")]
    return ends[0] if len(ends) == 1 else None


class Drawing(Directive):
    """An SVG within the page, so that it takes the page's colours, by day and by night, and scales with its width."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        environment = self.state.document.settings.env
        path = Path(environment.relfn2path(self.arguments[0])[1])
        environment.note_dependency(str(path))
        text = re.sub(r"<\?xml.*?\?>", "", path.read_text())
        label = nodes.raw(
            "",
            f'<figure class="drawing" role="img" aria-label="{self.options["alt"]}">{text}</figure>',
            format="html",
        )
        return [label]


class Breaks(HTML5Translator):
    """Names and options stay whole, if short; a long one goes on behind an underscore, and a copy of it has no gap."""

    tables = 0

    def visit_Text(self, node: nodes.Text) -> None:  # noqa: N802 - docutils calls it by the node's name
        before = len(self.body)
        super().visit_Text(node)
        if self.protect_literal_text or self.tables:
            self.body[before:] = [self.broken(part) for part in self.body[before:]]

    def broken(self, part: str) -> str:
        """A word of code that fits into any line, or any cell, is not broken, at its hyphens neither."""
        start = '<span class="pre">'
        if part.startswith(start) and len(part) - len(start + "</span>") <= (14 if self.tables else 36):
            return part.replace('"pre"', '"pre whole"', 1)
        return BREAKS.sub("_<wbr>", part)

    def visit_table(self, node: nodes.Element) -> None:
        self.tables += 1
        super().visit_table(node)

    def depart_table(self, node: nodes.Element) -> None:
        self.tables -= 1
        super().depart_table(node)


def each_apart(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """``a, b: text`` in a docstring's list describes both: each gets a line of its own."""
    out: list[str] = []
    for line in lines:
        several = re.match(r"(\s{4})(\w+(?:, \w+)+): (.*)", line)
        if several is None:
            out.append(line)
            continue
        first, *others = several[2].split(", ")
        out += [f"{several[1]}{other}: see `{others[-1]}`." for other in (first, *others[:-1])]
        out.append(f"{several[1]}{others[-1]}: {several[3]}")
    lines[:] = out


def readable(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """The default of a dataclass's mapping is an empty one; an event that adds nothing takes what its base does."""
    if what == "class" and issubclass(thing, Event) and not inspect.get_annotations(thing):  # type: ignore[arg-type]
        return "()", None
    if signature is None or "<factory>" not in signature:
        return None
    return signature.replace("=<factory>", " = {}").replace("~typing.", ""), returned


def changes(app: Sphinx) -> None:
    """The changelog, with what is not released yet."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"]
    draft = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    body = draft.strip().split("\n", 2)[2]  # without its own heading
    text = re.sub(r"``docs/([\w/-]+)\.rst``", r":doc:`/\1`", (root / "CHANGES.rst").read_text())
    body = re.sub(r"``docs/([\w/-]+)\.rst``", r":doc:`/\1`", body)
    page = Path(__file__).parent / "reference" / "made" / "changes.rst"
    start = ".. towncrier release notes start\n"
    page.write_text(text.replace(start, f"Not released yet\n----------------\n{body}\n"))


def setup(app: Sphinx) -> None:
    app.add_role("name", Name())
    app.set_translator("html", Breaks)
    app.add_directive("drawing", Drawing)
    app.connect("builder-inited", lambda _: generate.write())
    app.connect("builder-inited", changes)
    app.connect("missing-reference", unknown)
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-process-docstring", each_apart, priority=100)

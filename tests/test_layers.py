"""The floor plan: imports go down, never up and never sideways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "oauth_session"

# A room may import rooms of a lower rank. Rooms with the same rank do not know each other.
RANKS = {
    # values
    "_version": 0.0,
    "child": 0.0,
    "errors": 0.0,
    "events": 0.0,
    "telling": 0.05,
    "standstill": 0.1,
    "tokens": 0.1,
    "policy": 0.1,
    "redaction": 0.0,
    "stores.values": 0.0,
    # rules, without I/O
    "rules": 1.0,
    "rules.challenges": 1.0,
    "rules.origins": 1.0,
    "rules.record": 1.0,
    "rules.grants": 1.0,
    "rules.token_request": 1.05,
    "rules.authorization": 1.1,
    "rules.device": 1.1,
    "rules.metadata": 1.1,
    "rules.interaction": 1.15,
    "rules.token_response": 1.0,
    "rules.flow": 1.0,
    "rules.record_json": 1.1,
    "rules.lineage": 1.1,
    "rules.rule": 1.1,
    "rules.detection": 1.15,
    "rules.effects": 1.1,
    "rules.protocol": 1.2,
    "rules.outcomes": 1.2,
    # providers, as data
    "providers.templates": 1.3,
    "providers.profile": 1.35,
    "providers.answers": 1.4,
    "providers.schema": 1.4,
    "providers.provider": 1.45,
    "providers.words": 1.5,
    "providers": 1.5,
    # the world
    "forks": 1.9,
    "reveal": 2.0,
    "signing": 2.1,
    "exchange": 2.0,
    "endpoint": 2.05,
    "discovery": 2.1,
    "dpop": 2.15,
    "asking": 2.2,
    "arguments": 4.95,
    "environment": 2.0,
    "merging": 2.1,
    "stores.memory": 2.0,
    "stores.sqlite": 2.0,
    "stores.redis_client": 2.0,
    "stores.redis_push": 2.0,
    "sealing": 2.0,
    "stores.redis": 2.05,
    "stores": 2.1,
    # coordination
    "ledger": 2.9,
    "sealed": 2.95,
    "driver": 3.25,
    "held": 3.1,
    "flight": 3.2,
    "report": 3.25,
    "source": 3.3,
    "otel": 1.0,
    # doors
    "marks": 3.9,
    "auth": 4.0,
    "adapter": 4.1,
    # provider profiles
    # the root
    "seeds": 4.9,
    "registration": 5.0,
    "status": 2.0,
    "loopback": 5.0,
    "login": 5.05,
    "people": 5.08,
    "session": 5.1,
    "client": 5.2,
    "": 6.0,
    "testing.stores": 5.0,
    "testing.answers": 5.0,
    "testing.cassettes": 5.0,
    "testing.faults": 5.1,
    "testing.minted": 5.0,
    "testing.model": 5.1,
    "testing.wire": 5.05,
    "testing.resource": 5.15,
    "testing.consent": 5.2,
    "testing.manner": 5.2,
    "testing.provider": 5.3,
    "testing.plugin": 5.4,
    "testing.trial": 5.4,
    "testing": 5.4,
    "cli.settings": 6.8,
    "cli.shared": 6.9,
    "cli.grants": 7.0,
    "cli.request": 7.0,
    "cli.demo": 7.0,
    "cli.keys": 7.0,
    "cli.providers": 7.0,
    "cli.watched": 6.9,
    "cli.watch": 7.0,
    "cli.findings": 6.9,
    "cli.endpoint_checks": 6.92,
    "cli.checks": 6.95,
    "cli.doctor": 7.0,
    "cli.demo_worker": 6.9,
    "cli.demo_report": 6.9,
    "cli.demo_serve": 6.9,
    "cli": 7.1,
    "__main__": 7.2,
}


def imports(path: Path, root: Path) -> set[str]:
    """The rooms that a file imports, wherever in it the import stands."""
    package = path.relative_to(root).with_suffix("").parts
    package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join((*base, *(node.module.split(".") if node.module else ())))
            for alias in node.names:
                inner = f"{target}.{alias.name}".strip(".")
                found.add(inner if _is_room(inner, root) else target)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names]
            if isinstance(node, ast.ImportFrom):  # a name may be a room of the module, or something in it
                inner = [f"{node.module}.{name}" for name in names]
                names = [n if _is_room(n.partition(".")[2], root) else str(node.module) for n in inner]
            found |= {n.removeprefix("oauth_session").strip(".") for n in names if n.split(".")[0] == "oauth_session"}
    return found


def _is_room(name: str, root: Path) -> bool:
    place = root.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def room_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__").strip(".")


def violations(root: Path, ranks: dict[str, float]) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        room = room_of(path, root)
        if room not in ranks:
            found.append(f"{room} has no place in the plan")
            continue
        for target in sorted(imports(path, root) - {room}):
            own = f"{target}.".startswith(f"{room}.") and path.name == "__init__.py"  # a folder's face shows its rooms
            if ranks.get(target, 99) >= ranks[room] and not own:
                found.append(f"{room} imports {target}")
    return found


def test_imports_go_down() -> None:
    """DESIGN of the layers: no room imports one of its own rank or above."""
    assert violations(ROOT, RANKS) == []


def test_the_plan_names_no_room_that_is_gone() -> None:
    """The plan is the house as it stands."""
    assert sorted(set(RANKS) - {room_of(path, ROOT) for path in ROOT.rglob("*.py")}) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ..source import X",
        "from .. import source",
        "import oauth_session.source",
        "from oauth_session.source import X",
        "from oauth_session import source",
    ],
)
def test_the_walk_sees_a_planted_violation(tmp_path: Path, line: str) -> None:
    """The walk can fail: an import upwards, in each spelling, is found."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "flow.py").write_text(f"def f():\n    {line}\n")
    (tmp_path / "source.py").write_text("X = 1\n")
    assert violations(tmp_path, RANKS) == ["rules.flow imports source"]


def test_the_walk_sees_a_sibling_through_its_folder(tmp_path: Path) -> None:
    """A room named through its folder counts as itself, also under TYPE_CHECKING; an unknown room is a violation."""
    (tmp_path / "rules").mkdir()
    text = "if TYPE_CHECKING:\n    from oauth_session.rules import outcomes\n"
    (tmp_path / "rules" / "record_json.py").write_text(text)
    (tmp_path / "rules" / "outcomes.py").write_text("")
    (tmp_path / "attic.py").write_text("")
    found = violations(tmp_path, RANKS)
    assert found == ["attic has no place in the plan", "rules.record_json imports rules.outcomes"]


def test_no_file_outgrows_its_room() -> None:
    """No file of the package has more than 300 lines."""
    sizes = {room_of(path, ROOT): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {room: size for room, size in sizes.items() if size > 300} == {}


def test_every_test_says_what_holds() -> None:
    """Each test function has a docstring, those of the contract suite included."""
    files = [*Path(__file__).parent.rglob("test_*.py"), *(ROOT / "testing").rglob("*.py")]
    bare = [
        f"{path.name}:{node.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert bare == []

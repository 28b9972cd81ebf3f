"""The table of the standards stays true: it names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROW = re.compile(r"^   \* - ([A-Z]\d+)\n     - (.+(?:\n       .+)*)\n     - (.+(?:\n       .+)*)$", re.MULTILINE)
NOTHING = {"F4", "V3"}  # what is left to the program, and what only an API does


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    page = TESTS.parent / "docs" / "standards.rst"
    return [(name, shown) for name, _, shown in ROW.findall(page.read_text())]


def test_each_requirement_names_tests_that_exist(rows: list[tuple[str, str]]) -> None:
    """Each row names at least one test, and each of them is there."""
    there = {
        name for path in TESTS.rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    named = {row: set(re.findall(r"``(test_\w+)``", shown)) for row, shown in rows}
    assert {row for row, tests in named.items() if not tests} == NOTHING
    assert {row: tests - there for row, tests in named.items() if tests - there} == {}


def test_no_requirement_is_left_out(rows: list[tuple[str, str]]) -> None:
    """The numbers of each part begin at one and have no gap; none comes twice."""
    numbers: dict[str, list[int]] = {}
    for row, _ in rows:
        numbers.setdefault(row[0], []).append(int(row[1:]))
    assert "".join(numbers) == "ADRSPFVT"
    assert {part: len(found) for part, found in numbers.items() if found != list(range(1, len(found) + 1))} == {}
    lengths = dict(zip("ADRSPFVT", (12, 15, 16, 11, 9, 10, 3, 5), strict=True))
    assert {part: len(found) for part, found in numbers.items()} == lengths

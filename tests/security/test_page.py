"""The page about security names tests that exist, and every threat has one."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "security.md").read_text()
NAMED: Final = re.compile(r"`([\w/.]+\.py)::(\w+)`")
THREATS: Final = PAGE.partition("\n## Threats\n")[2].partition("\n## What is left\n")[0]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED.findall(PAGE)}))
def test_every_test_that_is_named_exists(file: str) -> None:
    named = {test for path, test in NAMED.findall(PAGE) if path == file}
    assert named <= functions_of(ROOT / file)


def test_every_threat_says_what_stops_it_and_what_shows_that() -> None:
    rows = [line for line in THREATS.splitlines() if line.startswith("| ")]
    threats = [row for row in rows if not row.startswith("| threat |")]
    assert len(threats) > 40
    assert [row for row in threats if not NAMED.search(row) or row.count("|") != 4] == []


def test_sql_that_is_put_together_is_of_our_own_names() -> None:
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in chosen["select"] and not [one for one in chosen["ignore"] if "S608" in one]
    product = (file for part in ("chassis", "services") for file in (ROOT / part).rglob("*.py"))
    unsaid = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in product
        if "tests" not in file.parts
        for line in file.read_text().splitlines()
        if "noqa: S608" in line and not re.search(r"noqa: S608(, \w+)* - \w", line)
    ]
    assert unsaid == [], "say beside it which names of ours it is made of"

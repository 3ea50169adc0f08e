"""Names and texts are shown in a terminal and do nothing to it."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from cli.terminal import Console, echo, plain

ROOT = Path(__file__).resolve().parents[2]
STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""The one movement of Rich's that a table has."""
HOSTILE = (
    "\x1b[2J\x1b[H all is well",
    "\x1b]0;a title\x07",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m red",
    "over\rwritten",
    "back\x08\x08",
    "invoice\u202efdp.exe",
    "[red]brackets[/red] [/] [link=https://evil.example]x[/link]",
)
MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """A table with the text in it and above it, as a terminal gets it."""
    terminal = io.StringIO()
    table = Table("name", title=text)
    table.add_row(text)
    console = Console(file=terminal, force_terminal=True, width=2_000)
    console.print(table)
    console.print(text)
    return terminal.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_moves_the_cursor_or_is_taken_for_markup(text: str) -> None:
    seen = STYLE.sub("", shown(text))
    assert not MOVING.search(seen)
    for word in ("evil.example", "[red]", "[/]"):
        assert (word in seen) == (word in text)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_whatever_a_text_holds_nothing_moves(text: str) -> None:
    assert not MOVING.search(STYLE.sub("", shown(text)))
    assert not MOVING.search(plain(text))


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=60))
def test_texts_of_people_are_shown_as_they_are(text: str) -> None:
    assert plain(text) == text


def test_lines_that_are_no_tables_move_nothing_either(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\x1b[2Jb\n\tc", err=True)
    assert capsys.readouterr().err == "a\\u001b[2Jb\n\tc\n"


def test_the_command_shows_nothing_by_another_way() -> None:
    ways = re.compile(r"typer\.echo|from rich\.console import Console$|rich\.print", re.MULTILINE)
    others = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "cli").rglob("*.py"))
        if "tests" not in file.parts
        and file.name != "terminal.py"
        and ways.search(file.read_text())
    ]
    assert others == ["cli/play/summary.py"], "use cli.terminal; the summary is given its console"

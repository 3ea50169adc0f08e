"""Migrations only add to what running code uses. `make lint` runs this.

While a new version comes, replicas of the old one go on with the new schema, and the version before
must still be there to go back to. What takes away, or holds a table for long, needs
`-- contract: <why it is safe now>`: before the statement, or at the head of the file for all of it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import sqlparse
from sqlparse.tokens import Comment

ROOT: Final = Path(__file__).resolve().parent.parent
_MARK: Final = re.compile(r"--\s*contract:\s*(\S+(?:\s+\S+){2,})")
_NAME: Final = r'(?:IF (?:NOT )?EXISTS )?(?:ONLY )?("[^"]+"|[\w.]+)'
_MADE: Final = re.compile(rf"CREATE (?:UNLOGGED )?TABLE {_NAME}", re.IGNORECASE)
_INDEX: Final = re.compile(
    r"CREATE (UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+) ON " + _NAME, re.IGNORECASE
)
_AGAIN: Final = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS (\w+)$", re.IGNORECASE)
_ALTERED: Final = re.compile(rf"ALTER TABLE {_NAME}\s+(.*)", re.IGNORECASE)
_REFUSED: Final = (
    (r"DROP (?:TABLE|INDEX|VIEW|MATERIALIZED|FUNCTION|TRIGGER|TYPE|SEQUENCE|SCHEMA|RULE)\b",
     "takes away what the version before may use"),
    (r"ALTER (?:INDEX|VIEW|TYPE|SEQUENCE|FUNCTION|SCHEMA)\b.*\bRENAME\b",
     "the version before knows it by its name; add another beside it"),
    (r"TRUNCATE\b", "takes away what the version before may use"),
    (r"ALTER TYPE\b.*\bDROP\b", "takes away what the version before may use"),
)  # fmt: skip
"""What a statement may not begin with, and why."""
_CLAUSES: Final = (
    (r"DROP (?!NOT NULL)(?:COLUMN|CONSTRAINT|IF|\w)",
     "takes away what the version before may use"),
    (r"RENAME\b", "the version before knows it by its name; add another beside it"),
    (r"ALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b",
     "writes the table anew while nobody can use it, and what is stored may fit no longer; add a"
     " column"),
    (r"ALTER (?:COLUMN )?\S+ SET NOT NULL\b", "the version before may write nothing there"),
    (r"ALTER (?:COLUMN )?\S+ DROP DEFAULT\b", "the version before may write nothing there"),
    (r"ADD (?:COLUMN )?(?=.*\bNOT NULL\b)(?!.*\b(?:DEFAULT|GENERATED)\b)",
     "the version before does not write it; give it a DEFAULT"),
    (r"ADD (?:COLUMN )?.*\bGENERATED\b", "writes the table anew while nobody can use it"),
    (r"ADD (?:CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE)\b",
     "the version before may write what it refuses, and whatever is there is looked at first"),
)  # fmt: skip
"""What may not be done to a table that is there, and why."""


class Finding(NamedTuple):
    """A statement that does more than add."""

    statement: str
    why: str


def findings(text: str) -> Iterator[Finding]:
    """What in a migration does more than add, and is not said to be safe."""
    head = re.match(r"(?:\s*--[^\n]*\n)*", text)
    if head and _MARK.search(head[0]):
        return
    made: set[str] = set()
    dropped = ""
    for parsed in sqlparse.parse(text):
        tokens = list(parsed.flatten())  # type: ignore[no-untyped-call]
        if any(token.ttype in Comment and _MARK.search(token.value) for token in tokens):
            continue
        said = " ".join(
            "".join(" " if token.ttype in Comment else token.value for token in tokens).split()
        ).rstrip("; ")
        made |= {name.lower() for name in _MADE.findall(said)}
        for why in _problems(said, made, dropped):
            yield Finding(said[:100], why)
        again = _AGAIN.match(said)
        dropped = again[1] if again else ""
        if again and not re.search(rf"INDEX CONCURRENTLY {dropped} ON ", text, re.IGNORECASE):
            yield Finding(said[:100], "takes away what the version before may use")


def _problems(said: str, made: set[str], dropped: str) -> Iterator[str]:
    """`dropped`: the index that the statement before drops, to build it."""
    for refused, why in _REFUSED:
        if re.match(refused, said, re.IGNORECASE) and not _AGAIN.match(said):
            yield why
    if (index := _INDEX.match(said)) and index[4].lower() not in made:
        if index[1]:
            yield "the version before may write what it refuses"
        elif not index[2]:
            yield "nobody can write to the table until it is built; build it CONCURRENTLY"
        elif index[3] != dropped:
            yield (
                "half of it stays when the building is broken off; begin with"
                f" DROP INDEX CONCURRENTLY IF EXISTS {index[3]}"
            )
    if (altered := _ALTERED.match(said)) and altered[1].lower() not in made:
        for clause in _parts(altered[2]):
            for refused, why in _CLAUSES:
                if re.match(refused, clause, re.IGNORECASE):
                    yield why
                    break


def _parts(clauses: str) -> list[str]:
    """What stands between the commas that are in no parentheses."""
    parts, depth = [""], 0
    for character in clauses:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def migrations() -> list[Path]:
    """Every migration there is."""
    return sorted(
        file for part in ("chassis", "services") for file in (ROOT / part).rglob("migrations/*.sql")
    )


def main() -> None:
    """Tell every finding; fails when there is one."""
    told = [
        f"{file.relative_to(ROOT)}: {found.statement}\n    {found.why}"
        for file in migrations()
        for found in findings(file.read_text())
    ]
    if told:
        told.append("say why it is safe now: -- contract: <why>, before the statement")
        sys.exit("\n".join(told))


if __name__ == "__main__":
    main()

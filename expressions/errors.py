"""What is wrong with an expression, where, and what to write instead."""

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 8


class ExpressionError(ValueError):
    """An expression that cannot be used, found while compiling and never while evaluating.

    `line` and `column` count from 1, `offset` from 0, `length` is in characters; they mark the
    offending part of `source`. `str(error)` shows the message, the line and a marker under that
    part.
    """

    def __init__(self, source: str, start: int, end: int, message: str, expected: str = "") -> None:
        """`expected`: what would be right there, as a type, a name or a token."""
        self.source = source
        self.message = message
        self.expected = expected
        self.line = source.count("\n", 0, start) + 1
        self.column = start - (source.rfind("\n", 0, start) + 1) + 1
        self.length = max(1, end - start)
        self.offset = start
        super().__init__(message)

    @property
    def suggestions(self) -> list[str]:
        """Names that may have been meant, the nearest first."""
        _, _, meant = self.message.partition("did you mean ")
        return meant.split("`")[1::2]

    @property
    def facts(self) -> dict[str, str]:
        """Where it is and what would be right, for whoever is told in words and numbers."""
        return {
            "offset": str(self.offset),
            "length": str(self.length),
            "line": str(self.line),
            "column": str(self.column),
            "problem": self.message,
            "expected": self.expected,
            "suggestion": ", ".join(self.suggestions),
        }

    def __str__(self) -> str:
        text = self.source.split("\n")[self.line - 1]
        marked = min(self.length, max(1, len(text) - self.column + 1))
        marker = " " * (self.column - 1) + "^" * marked
        return f"line {self.line}, column {self.column}: {self.message}\n  {text}\n  {marker}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: near names, else some of what is known."""
    names = sorted(known)
    if near := get_close_matches(name, names, n=2, cutoff=0.6):
        return "; did you mean " + " or ".join(f"`{other}`" for other in near) + "?"
    if not names:
        return "; none are known"
    listed = ", ".join(f"`{other}`" for other in names[:_LISTED])
    return f"; known: {listed}" + (", …" if len(names) > _LISTED else "")

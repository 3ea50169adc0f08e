"""Meta's JSON, read without trusting it. Pure."""

from collections.abc import Mapping
from typing import Any


def text(part: Mapping[str, Any], key: str) -> str:
    """A text; empty when there is none."""
    found = part.get(key)
    return found if isinstance(found, str) else ""


def kind(part: Mapping[str, Any], key: str = "type") -> str:
    """A word of Meta's, which it takes in either case."""
    return text(part, key).upper()


def texts(given: Any) -> list[str]:
    """Of a list of texts, or of one alone, as Meta writes some examples."""
    if isinstance(given, str):
        return [given]
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def mapping(given: Any) -> Mapping[str, Any]:
    """An object; an empty one when it is none."""
    return given if isinstance(given, dict) else {}


def mappings(given: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def body_examples(part: Mapping[str, Any]) -> list[str]:
    """Of the numbered variables of a body."""
    rows = mapping(part.get("example")).get("body_text")
    return texts(rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], list) else rows)

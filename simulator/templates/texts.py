"""Texts of templates and the variables in them. Pure."""

import re
from itertools import pairwise
from typing import Any

from simulator.refusals import Refused, template_fault

_VARIABLE = re.compile(r"\{\{\s*([a-z0-9_]+)\s*\}\}")
# Words that a text must have for each variable, or it is nothing but variables.
_WORDS_PER_VARIABLE = 1
_WORD = re.compile(r"\w+")
_DECORATED = re.compile(
    r"[*`\n\r\t]|(?<!\w)_[^_\n]+_(?!\w)|(?<!\w)~[^~\n]+~(?!\w)"
    "|[\U0001f1e6-\U0001faff\u2600-\u27bf\u2b50\u2b55]"
)


def format_fault(details: str) -> Refused:
    return template_fault(2388073, "Message template format is incorrect", details)


def too_long(where: str, limit: int) -> Refused:
    return template_fault(
        2388040, "Character limit exceeded", f"{where} has {limit} characters at most."
    )


def check_bare(text: str, where: str) -> None:
    """Refused with new lines, emojis or formatting."""
    if _DECORATED.search(without_variables(text)):
        raise format_fault(f"{where}: no new lines, formatting characters, emojis or asterisks.")


def check_examples(names: tuple[str, ...], component: Any, where: str, numbered: str) -> None:
    """Refused unless there is one for every variable; `numbered`: what the list is called."""
    example = component.get("example")
    given = example if isinstance(example, dict) else {}
    rows = given.get(numbered)
    flat = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], list) else rows
    named = given.get(f"{numbered}_named_params")
    found = [one for one in flat if one] if isinstance(flat, list) else []
    if isinstance(named, list):
        found = [p for p in named if isinstance(p, dict) and p.get("example")]
    if len(names) > len(found):
        raise format_fault(f"{where}: an example for every variable is required.")


def without_variables(text: str) -> str:
    return _VARIABLE.sub("", text)


def variables_of(
    text: Any, where: str, limit: int, *, named: bool, inner: bool = False
) -> tuple[str, ...]:
    """The names of a text's variables in order. `inner`: none may stand at an edge.

    Raises Refused where Meta refuses the text.
    """
    if not isinstance(text, str) or not text.strip():
        raise Refused(100, f"{where}: text is required.")
    if len(text) > limit:
        raise too_long(f"{where}: text", limit)
    found = list(_VARIABLE.finditer(text))
    names = tuple(dict.fromkeys(m[1] for m in found))
    rest = without_variables(text)
    if "{{" in rest:
        raise format_fault(f"{where}: variables are written {{{{1}}}} or {{{{first_name}}}}.")
    if not named and names != tuple(str(n + 1) for n in range(len(names))):
        raise format_fault(f"{where}: variables must be {{{{1}}}}, {{{{2}}}} ... in order.")
    if named and any(n.isdigit() for n in names):
        raise format_fault(f"{where}: with parameter_format NAMED every variable has a name.")
    if inner and found:
        _check_inner(text, found, rest, where)
    return names


def _check_inner(text: str, found: list[re.Match[str]], rest: str, where: str) -> None:
    if not text[: found[0].start()].strip() or not text[found[-1].end() :].strip():
        raise template_fault(
            2388299,
            "Template variable at the edge",
            f"{where}: a variable may not stand at the start or the end of the text.",
        )
    if any(a.end() == b.start() for a, b in pairwise(found)):
        raise format_fault(f"{where}: two variables may not stand side by side.")
    if len(_WORD.findall(rest)) < _WORDS_PER_VARIABLE * len(found):
        raise template_fault(
            2388293,
            "Too many variables for the length",
            f"{where}: there are too many variables for so short a text.",
        )

"""Meta's rules for templates, checked before Meta is asked. Pure."""

from collections.abc import Mapping
from itertools import chain, islice
from typing import Final

from services.sender.templates.draft import Draft
from services.sender.templates.lint import buttons, category, parts, texts
from services.sender.templates.lint.rules import Finding, Rule, Severity

__all__ = ["RULES", "Finding", "Severity", "lint"]

RULES: Final[Mapping[str, Rule]] = {
    **category.RULES,
    **texts.RULES,
    **parts.RULES,
    **buttons.RULES,
}
"""By the word for programs."""
_CHECKS: Final = (category.check, texts.check, parts.check)
_LOOKED_AT: Final = 1_000  # a draft may break rules a million times
_MOST: Final = 100
"""Nobody reads more."""


def lint(draft: Draft, language: str = "en") -> list[Finding]:
    """What Meta refuses, or tends to, errors first; `language` of the sentences: `tr`, or else
    English. Never raises, whatever stands in the draft, and tells of a hundred at most."""
    broken = islice(chain.from_iterable(check(draft) for check in _CHECKS), _LOOKED_AT)
    found = [RULES[one.rule].finding(one, language) for one in dict.fromkeys(broken)]
    return sorted(found, key=lambda one: -one.severity)[:_MOST]

"""What a rule is, and what is said of who breaks it. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How much a finding matters."""

    WARNING = 1
    """Meta tends to refuse it, or people will not see it as meant."""
    ERROR = 2
    """Meta refuses it."""


class Finding(NamedTuple):
    """A rule that a template breaks, and where."""

    severity: Severity
    rule: str
    field: str
    """Path in the template: `components.buttons[1].text`."""
    explanation: str
    change: str


class Broken(NamedTuple):
    """A rule that is broken, before anybody put it into words."""

    rule: str
    field: str
    given: tuple[tuple[str, str | int], ...] = ()
    """What the sentences name."""


def broken(rule: str, field: str, **given: str | int) -> Broken:
    """`given`: what the sentences of the rule name."""
    return Broken(rule, field, tuple(given.items()))


class Said(NamedTuple):
    """What is so, and what to change."""

    explanation: str
    change: str


class Rule(NamedTuple):
    """One of Meta's rules."""

    severity: Severity
    en: Said
    tr: Said

    def finding(self, one: Broken, language: str) -> Finding:
        """In words."""
        said = self.tr if language == "tr" else self.en
        given: Mapping[str, str | int] = dict(one.given)
        return Finding(
            self.severity,
            one.rule,
            one.field,
            said.explanation.format_map(given),
            said.change.format_map(given),
        )


def error(en: Said, tr: Said) -> Rule:
    """A rule that Meta keeps."""
    return Rule(Severity.ERROR, en, tr)


def warning(en: Said, tr: Said) -> Rule:
    """A rule that is wise to keep."""
    return Rule(Severity.WARNING, en, tr)

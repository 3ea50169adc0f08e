"""Whom of an audience its filter lets through. Pure."""

from typing import Final

from expressions import ExpressionError, Facts, Registry, compile
from services.sender.failures import ExpressionInvalid
from services.sender.model import Contact

_OPEN: Final = Registry(open=True)
FIELD: Final = "campaign.audience.filter"


class Sieve:
    """A filter, or none."""

    def __init__(self, source: str) -> None:
        """Raises ExpressionInvalid."""
        self.attributes: frozenset[str] = frozenset()
        self._expression = None
        if not source:
            return
        try:
            self._expression = compile(source, _OPEN)
        except ExpressionError as error:
            raise ExpressionInvalid(FIELD, error) from error
        self.attributes = frozenset(self._expression.attributes)

    @property
    def looks_back(self) -> bool:
        """Whether it asks for what is kept of nobody here: events, or segments."""
        one = self._expression
        return one is not None and bool(one.events or one.segments)

    def passes(self, contact: Contact, now: int) -> bool:
        """Whether somebody stays."""
        if self._expression is None:
            return True
        facts = Facts(
            attributes=dict(contact.attributes),
            consents={p: s == "granted" for p, s in contact.consents.items()},
            zone=contact.zone or "UTC",
        )
        return self._expression.evaluate(facts, now) is True

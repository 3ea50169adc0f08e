"""What callers' roles see of a person in explanations; what they may call is in the policy. Pure.

Roles see no more here than in profile. `internal`, the suite's own services, sees everything. Who
is in a segment is told to whoever may ask for members, whatever the segment's rule looks at: that
is what a segment is for.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from expressions import Expression


class Sight(NamedTuple):
    """What a role sees."""

    personal: bool
    """Attributes and traits that are personal."""
    events: bool
    """What a person did, and what was said in it."""


INTERNAL: Final = Sight(personal=True, events=True)
SIGHTS: Final[dict[str, Sight]] = {
    "operator": INTERNAL,
    # People who answer a person: why somebody got what.
    "support": INTERNAL,
    # People who plan campaigns. The policy lets them stop triggers and journeys and test triggers,
    # and write none: an action can carry any value to any address.
    "marketing": Sight(personal=False, events=False),
    # People who count. They ask no rules of their own: one that names a person would find it.
    "analytics": Sight(personal=False, events=False),
    "backend": Sight(personal=False, events=False),
}


class Viewer:
    """One caller, and what it sees of what expressions look at."""

    def __init__(self, role: str, personal: Callable[[str], bool]) -> None:
        """`personal` knows attributes and traits by their names in expressions."""
        self._sight = INTERNAL if role == "internal" else SIGHTS[role]
        self._personal = personal

    @property
    def sees_all(self) -> bool:
        """Whether nothing of a person is kept from it."""
        return self._sight.personal and self._sight.events

    def sees(self, expression: Expression) -> bool:
        """Whether it may see all that an expression looks at. What people agreed to, and which
        segments they are in, everybody may."""
        if expression.events and not self._sight.events:
            return False
        return self._sight.personal or not any(map(self._personal, expression.attributes))

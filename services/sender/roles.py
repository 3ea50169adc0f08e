"""What callers' roles see of a person in previews; what they may call is in the policy. Pure.

Roles see no more here than in profile. `internal`, the suite's own services, sees everything.
"""

from typing import Final, NamedTuple


class Sight(NamedTuple):
    """What a role sees."""

    personal: bool
    """Values of attributes and traits that are personal, and of what a person did."""


INTERNAL: Final = Sight(personal=True)
SIGHTS: Final[dict[str, Sight]] = {
    "operator": INTERNAL,
    # People who answer a person: what somebody got and why.
    "support": INTERNAL,
    # People who plan campaigns: the words, and whom they reach, but not who that is.
    "marketing": Sight(personal=False),
    # People who count.
    "analytics": Sight(personal=False),
    "backend": Sight(personal=False),
}


def sight(role: str) -> Sight:
    """What a role may see."""
    return INTERNAL if role == "internal" else SIGHTS[role]

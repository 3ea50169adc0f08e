"""What callers' roles see of a contact; what they may call is in the policy. Pure.

Everything is withheld that is not named here, fields of contacts to come included. `internal`, the
suite's own services, sees everything.
"""

from typing import Final, NamedTuple

ALWAYS: Final = frozenset({"contact_id", "state", "etag", "create_time", "update_time"})
"""What says nothing of a person."""
_INFERRED: Final = frozenset({"zone", "language", "stage", "traits", "absorbed_contact_ids"})
_ALL: Final = _INFERRED | {"identities", "addresses", "consents", "attributes"}


class Sight(NamedTuple):
    """What a role sees."""

    fields: frozenset[str]
    """Of a contact, besides `ALWAYS`."""
    values: bool
    """Of identities: else they are masked, here and in addresses and proofs of consents."""
    personal: bool
    """Attributes and traits that are personal."""
    names_people: bool
    """May ask for people by their identities, and so learn whose they are."""


INTERNAL: Final = Sight(_ALL, values=True, personal=True, names_people=True)
SIGHTS: Final[dict[str, Sight]] = {
    # People who run the suite.
    "operator": INTERNAL,
    # People who answer a person: everything about one who is asked for.
    "support": INTERNAL,
    # People who plan campaigns: whom, where and with which consent, but not who they are.
    "marketing": Sight(_ALL, values=False, personal=False, names_people=True),
    # People who count: nothing that leads to a person.
    "analytics": Sight(
        _INFERRED | {"attributes", "consents"}, values=False, personal=False, names_people=False
    ),
    # Systems of the business: they tell of people, and need not be told.
    "backend": Sight(frozenset({"consents"}), values=False, personal=False, names_people=True),
}

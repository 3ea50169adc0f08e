"""Roles of callers: what each may call, and what it sees of a contact. Pure.

Everything is denied that is not named here, fields of contacts to come included. `internal`, the
suite's own services, sees everything.
"""

from typing import Final, NamedTuple

_PROFILE: Final = "merhaba.profile.v1.ProfileService/"
_PRIVACY: Final = "merhaba.profile.v1.PrivacyService/"
_READ: Final = frozenset({_PROFILE + "GetContact", _PROFILE + "BatchGetContacts"})
_LIST: Final = frozenset({_PROFILE + "ListContacts"})
_CONSENTS: Final = frozenset({_PRIVACY + "GetConsent", _PRIVACY + "ListConsents"})

ALWAYS: Final = frozenset({"contact_id", "state", "etag", "create_time", "update_time"})
"""What says nothing of a person."""
_INFERRED: Final = frozenset({"zone", "language", "stage", "traits", "absorbed_contact_ids"})
_ALL: Final = _INFERRED | {"identities", "addresses", "consents", "attributes"}


class Sight(NamedTuple):
    """What a role may call and see."""

    methods: frozenset[str]
    fields: frozenset[str]
    """Of a contact, besides `ALWAYS`."""
    values: bool
    """Of identities: else they are masked, here and in addresses and proofs of consents."""
    personal: bool
    """Attributes and traits that are personal."""
    names_people: bool
    """May ask for people by their identities, and so learn whose they are."""


INTERNAL: Final = Sight(frozenset(), _ALL, values=True, personal=True, names_people=True)
SIGHTS: Final[dict[str, Sight]] = {
    # People who answer a person: everything about one who is asked for, no lists.
    "support": Sight(
        _READ | _CONSENTS | {_PROFILE + "ResolveContact", _PROFILE + "ListEvents"},
        _ALL,
        values=True,
        personal=True,
        names_people=True,
    ),
    # People who plan campaigns: whom, where and with which consent, but not who they are.
    "marketing": Sight(
        _READ | _LIST | _CONSENTS | {_PROFILE + "ResolveContact"},
        _ALL,
        values=False,
        personal=False,
        names_people=True,
    ),
    # People who count: nothing that leads to a person.
    "analytics": Sight(
        _READ | _LIST | _CONSENTS,
        _INFERRED | {"attributes", "consents"},
        values=False,
        personal=False,
        names_people=False,
    ),
}

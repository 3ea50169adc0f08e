"""What profile says of how people can be reached, as contacts without addresses."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from merhaba.profile.v1 import BatchGetReachResponse, Consent
from merhaba.profile.v1 import Reach as ReachProto
from services.sender.model import Address, Contact

CONSENTS: Final = {
    Consent.STATE_NONE: "none",
    Consent.STATE_GRANTED: "granted",
    Consent.STATE_WITHDRAWN: "withdrawn",
    Consent.STATE_EXPIRED: "expired",
}
"""States of consents by the contract's numbers."""
_MARKETING: Final = "marketing"
_SOMEWHERE: Final = "known to profile"
"""In the place of an address that stays with profile."""


def reached(
    contact_ids: Sequence[str], attributes: Sequence[str], response: BatchGetReachResponse
) -> Mapping[str, Contact]:
    """Contacts by the id asked for; whom nobody knows is not among them."""
    kinds = [_kind(reach) for reach in response.reaches]
    joined = {one.position: one for one in response.joined}
    columns = [column.values_json for column in response.columns]
    found: dict[str, Contact] = {}
    for position, (contact_id, place, heard, said) in enumerate(
        zip(
            contact_ids,
            response.places,
            response.last_message_times,
            response.marketing_consent_times,
            strict=True,
        )
    ):
        if place < 0:
            continue
        kind, other = kinds[place], joined.get(position)
        values: dict[str, Any] = {"zone": kind.zone or "UTC"}
        for name, column in zip(attributes, columns, strict=True):
            if value := column[position]:
                values[name] = _value(value)
        found[contact_id] = Contact(
            contact_id=other.contact_id if other else contact_id,
            restricted=kind.restricted,
            addresses=(
                [Address(_SOMEWHERE, "", kind.market, kind.phone_number_id, heard)]
                if kind.reachable
                else ()
            ),
            consents=kind.consents,
            consent_times={_MARKETING: said} if said else {},
            language=kind.language,
            zone=kind.zone,
            absorbed=list(other.absorbed_contact_ids) if other else (),
            attributes=values,
        )
    return found


class _Kind(msgspec.Struct, frozen=True):
    """What many people have in common; the fields are those of the contract."""

    restricted: bool
    reachable: bool
    market: str
    phone_number_id: str
    language: str
    zone: str
    consents: Mapping[str, str]


def _kind(reach: ReachProto) -> _Kind:
    return _Kind(
        reach.restricted,
        reach.reachable,
        reach.market,
        reach.phone_number_id,
        reach.language,
        reach.zone,
        {purpose: CONSENTS.get(state, "none") for purpose, state in reach.consents.items()},
    )


@lru_cache(20_000)
def _value(json: bytes) -> Any:
    """A value that many have, such as a first name or a city, is decoded once."""
    return msgspec.json.decode(json)

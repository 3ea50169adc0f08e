"""Campaigns whose audience names people one by one: who is erased is named no longer."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from google.protobuf.json_format import MessageToDict

from merhaba.event.v1 import Identity
from merhaba.sender.v1 import Campaign, Destination

_NOBODY: Final = Destination(contact_id="00000000-0000-0000-0000-000000000000")
"""In the place of who was named: planning goes on by how many it has passed."""
_NATIONAL: Final = 10  # digits of a number without what leads it
_GAP: Final = r"[ ().-]*"
_LEADING: Final = r"[+\d ().-]{0,9}"


class Named(NamedTuple):
    """Somebody, by everything a campaign may name them by."""

    contact_ids: Sequence[str]
    identities: Sequence[Identity] = ()

    def patterns(self) -> list[str]:
        """Regular expressions for ASCII, one of which is found wherever they are named."""
        found = [*map(re.escape, self.contact_ids), *map(_pattern, self.identities)]
        return [re.sub(r"[^\x00-\x7f]+", ".*", one) for one in found]

    def is_at(self, destination: Destination) -> bool:
        """Whether this is them."""
        if destination.contact_id:
            return destination.contact_id in self.contact_ids
        given = destination.identity
        return any(
            (one.kind, one.scope) == (given.kind, given.scope)
            and re.fullmatch(_pattern(one), given.value.strip(), re.IGNORECASE) is not None
            for one in self.identities
        )


def named(campaign: Campaign, who: Named) -> Iterator[dict[str, object]]:
    """How a campaign names somebody."""
    for one in campaign.audience.contacts.contacts:
        if who.is_at(one):
            yield MessageToDict(one, preserving_proto_field_name=True)


def unname(campaign: Campaign, who: Named) -> int:
    """Name them no longer; returns how often they were named."""
    people = campaign.audience.contacts.contacts
    found = [one for one in people if who.is_at(one)]
    for one in found:
        one.CopyFrom(_NOBODY)
    return len(found)


def _pattern(identity: Identity) -> str:
    """Numbers may be written in groups, and without their country."""
    value = identity.value
    if identity.kind == Identity.KIND_WA_ID and len(value) >= _NATIONAL:
        return _LEADING + _GAP.join(map(re.escape, value[-_NATIONAL:]))
    return re.escape(value)

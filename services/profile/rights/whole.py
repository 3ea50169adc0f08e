"""People of whom one that cannot be read costs nobody else."""

from collections.abc import Mapping, Sequence

import structlog

from services.profile.person.directory import Profiles
from services.profile.person.model import Contact
from services.profile.vault.seal import Tampered

_logger = structlog.get_logger()


async def readable_people(profiles: Profiles, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
    """Contacts by the ids asked for, without those that are erased and those that are broken."""
    if not contact_ids:
        return {}
    try:
        return await profiles.load(contact_ids)
    except Tampered:
        found: dict[str, Contact] = {}
    for contact_id in contact_ids:
        try:
            found |= await profiles.load([contact_id])
        except Tampered:
            _logger.exception("a contact cannot be read", contact_id=contact_id)
    return found

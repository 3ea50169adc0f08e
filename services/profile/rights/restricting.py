"""Restrictions: what is kept of a person, and not used. Pure but for the wire's bytes."""

from chassis.times import timestamp
from merhaba.event.v1 import Event, RestrictionChanged
from merhaba.profile.v1 import Restriction as WireRestriction
from services.profile.contract.asked import derived
from services.profile.contract.wire import RESTRICTION_CHANGED
from services.profile.person.model import Contact, Happening, Restriction


def imposed(contact_id: str, reason: str, caller: str, now: int, call: str) -> Happening:
    """That a person's data is to be used no longer."""
    return _changed(contact_id, Restriction(reason, caller, now), now, call)


def lifted(contact: Contact, now: int, call: str) -> Happening:
    """That it may be used again."""
    former = contact.document.restriction
    lifted = Restriction(former.reason, former.caller, former.create_time, now)
    return _changed(contact.contact_id, lifted, now, call)


def _changed(contact_id: str, restriction: Restriction, now: int, call: str) -> Happening:
    event_id = derived(call, 0)
    source = f"api:{restriction.caller}"
    event = Event(
        event_id=event_id,
        event_time=timestamp(now),
        received_time=timestamp(now),
        source=source,
        restriction_changed=RestrictionChanged(
            restricted=restriction.stands, reason=restriction.reason
        ),
    )
    return Happening(
        event_id,
        RESTRICTION_CHANGED,
        now,
        now,
        source,
        contact_id,
        restriction=restriction,
        counts=False,
        create=False,
        raw=event.SerializeToString(),
    )


def view(contact: Contact) -> WireRestriction:
    """The restriction that stands, or was lifted last."""
    one = contact.document.restriction
    return WireRestriction(
        contact_id=contact.contact_id,
        reason=one.reason,
        create_time=timestamp(one.create_time),
        lift_time=timestamp(one.lift_time or None),
        caller=one.caller,
    )

"""The promises, each held against the evidence. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from merhaba.reports.v1 import OutcomeCounts
from merhaba.sender.v1 import Message
from tests.chaos.evidence import Evidence

_EXAMPLES = 5
_RANK = {"sent": 1, "delivered": 2, "read": 3}
_STATES = {
    Message.STATE_SENT: "sent",
    Message.STATE_DELIVERED: "delivered",
    Message.STATE_READ: "read",
    Message.STATE_FAILED: "failed",
}
_OVER = frozenset(
    {
        *_STATES,
        Message.STATE_UNKNOWN,
        Message.STATE_SUPPRESSED,
        Message.STATE_HELD_OUT,
        Message.STATE_CANCELLED,
    }
)


@dataclass(frozen=True)
class Promise:
    """What is promised, and who says otherwise."""

    name: str
    where: str
    """Where to look when it is broken."""
    checks: Callable[[Evidence], Iterator[str]]
    """What speaks against it: ids, and nothing personal."""


def _nothing_tracked_is_lost(found: Evidence) -> Iterator[str]:
    yield from _once(found, found.tracked)
    known = {*found.tracked, *found.written, *found.archived}
    for _, event in found.history:
        if event not in known:
            yield f"event {event} is in the history, and nobody said it"


def _no_webhook_is_lost(found: Evidence) -> Iterator[str]:
    for event in found.written.keys() - found.archived:
        yield f"event {event} was answered 200, and its webhook is not in the archive"
    yield from _once(found, found.written)
    states = {one.message.message_id: one.state for one in _everybody(found)}
    for message_id, statuses in found.told.items():
        if message_id not in states:
            continue  # another run's
        state = _STATES.get(states[message_id], "")
        most = max((_RANK.get(status, 0) for status in statuses), default=0)
        if state != "failed" and _RANK.get(state, 0) < most:
            yield f"message {message_id} is {state or states[message_id]} after {sorted(statuses)}"


def _once(found: Evidence, accepted: dict[str, str]) -> Iterator[str]:
    for event, contact in accepted.items():
        times = found.history[contact, event]
        if times > 1:
            yield f"event {event} is {times} times in the history of {contact}"
        if not times and event not in found.dead:
            yield f"event {event} of {contact} is neither in the history nor in the dead letters"


def _nothing_is_sent_twice(found: Evidence) -> Iterator[str]:
    sent = Counter(entry["callback_data"] for entry in found.ledger)
    yield from (f"message {m} was sent {n} times" for m, n in sent.items() if n > 1)
    for campaign_id in found.marketing:
        own = {one.message.message_id for one in found.recipients[campaign_id]}
        got = Counter(entry["to"] for entry in found.ledger if entry["callback_data"] in own)
        twice = sum(n > 1 for n in got.values())
        if twice:
            yield f"of campaign {campaign_id} {twice} people got more than one message"


def _everybody_has_an_outcome(found: Evidence) -> Iterator[str]:
    for campaign_id, wanted in found.audiences.items():
        got = Counter(one.contact_id for one in found.recipients[campaign_id])
        for contact in wanted.keys() | got.keys():
            if wanted[contact] != got[contact]:
                yield (
                    f"contact {contact} has {got[contact]} outcomes of campaign {campaign_id}"
                    f" instead of {wanted[contact]}"
                )
    for one in _everybody(found):
        where = f"message {one.message.message_id} is {Message.State.Name(one.state)}"
        if one.state not in _OVER:
            yield f"{where} still"
        elif one.state == Message.STATE_SUPPRESSED and not one.gate:
            yield f"{where} by no gate"
        elif one.state == Message.STATE_FAILED and not (one.error_code or one.reason):
            yield f"{where} for no reason"
    came = {entry["callback_data"]: _came_to(entry) for entry in found.ledger}
    for one in _everybody(found):
        ours = one.message.message_id
        wanted = came.get(ours)
        if one.replied and wanted is not None:
            # Who answers has read, receipt or not, and though Meta says later that it failed
            wanted = "read"
        if wanted is not None and _STATES.get(one.state) != wanted:
            said = Message.State.Name(one.state)
            yield f"message {ours} is {said}, and the ledger says {wanted}"


def _segments_are_the_oracles(found: Evidence) -> Iterator[str]:
    for name, who in found.members.items():
        for contact in who.strangers:
            yield f"contact {contact} is in {name}, and does not belong there"
        for contact in who.missing:
            yield f"contact {contact} is not in {name}, and belongs there"


def _reports_are_the_ledger(found: Evidence) -> Iterator[str]:
    for campaign_id, report in found.reports.items():
        recipients = found.recipients[campaign_id]
        own = {one.message.message_id for one in recipients}
        entries = [entry for entry in found.ledger if entry["callback_data"] in own]
        # Who answers has read, receipt or not
        replied = {one.message.message_id for one in recipients if one.replied}
        wanted = Counter(
            "read" if one["callback_data"] in replied else _came_to(one) for one in entries
        )
        said = report.outcome
        told = {"sent": said.sent, "delivered": said.delivered, "read": said.read}
        for name, times in told.items():
            if times != wanted[name]:
                yield f"campaign {campaign_id}: {times} {name}, in the ledger {wanted[name]}"
        codes = Counter(
            one["code"] for one in entries if one["code"] and one["callback_data"] not in replied
        )
        for code, times in codes.items():
            if said.failed_codes[code] < times:
                yield f"campaign {campaign_id}: {said.failed_codes[code]} of {times} failed {code}"
        if not report.recipients == total(said) == len(recipients):
            yield (
                f"campaign {campaign_id}: {report.recipients} recipients, {total(said)} outcomes,"
                f" and {len(recipients)} messages"
            )
        if said.pending:
            yield f"campaign {campaign_id}: {said.pending} are pending"


def total(counts: OutcomeCounts) -> int:
    """Of all outcomes."""
    return (
        sum((counts.pending, counts.held_out, counts.unknown, counts.cancelled))
        + sum((counts.sent, counts.delivered, counts.read))
        + sum(counts.suppressed_gates.values())
        + sum(counts.failed_codes.values())
    )


def _the_erased_stay_so(found: Evidence) -> Iterator[str]:
    yield from (f"contact {one}: {left}" for one, left in found.erased.items() if left)
    members = {contact for who in found.members.values() for contact in who.said}
    yield from (f"contact {one} is in a segment" for one in members & found.erased.keys())


def _everybody(found: Evidence) -> Iterator[Any]:
    for recipients in found.recipients.values():
        yield from recipients


def _came_to(entry: dict[str, Any]) -> str:
    """How far a message came by the ledger."""
    if entry["code"]:
        return "failed"
    return max(entry["statuses"], key=lambda name: _RANK.get(name, 0), default="sent")


PROMISES = (
    Promise(
        "every tracked event is in profile's history exactly once",
        "profile.log; `merhaba dead-letters`",
        _nothing_tracked_is_lost,
    ),
    Promise(
        "every webhook answered 200 is archived and processed",
        "ingest.log, profile.log, sender.log; `merhaba trace`",
        _no_webhook_is_lost,
    ),
    Promise(
        "nothing is sent twice",
        "sender.log; sender.messages; the simulator's /control/ledger/duplicates",
        _nothing_is_sent_twice,
    ),
    Promise(
        "every recipient has one outcome, and a reason",
        "sender.log, segment.log; ExplainSend",
        _everybody_has_an_outcome,
    ),
    Promise(
        "segments are what the oracle says",
        "segment.log; ExplainMembership",
        _segments_are_the_oracles,
    ),
    Promise("reports say what the ledger says", "reports.log", _reports_are_the_ledger),
    Promise("who was erased stays so", "profile.log; GetErasure", _the_erased_stay_so),
)


def broken(found: Evidence) -> dict[str, dict[str, Any]]:
    """Of each broken promise how often, some of what speaks against it, and where to look."""
    said: dict[str, dict[str, Any]] = {}
    for promise in PROMISES:
        if against := [*promise.checks(found)]:
            said[promise.name] = {
                "times": len(against),
                "examples": against[:_EXAMPLES],
                "look": promise.where,
            }
    return said

"""A broken promise is found, and one that was kept is not accused."""

from collections import Counter
from collections.abc import Callable

import pytest

from merhaba.event.v1 import MessageRef
from merhaba.reports.v1 import CampaignReport, OutcomeCounts
from merhaba.sender.v1 import Message, Recipient
from tests.chaos.evidence import Evidence, Members
from tests.chaos.mischief import plan
from tests.chaos.promises import PROMISES, broken


def kept() -> Evidence:
    """Two people: one read the offer, the other never agreed."""

    def entry(message_id: str, *statuses: str) -> dict[str, object]:
        told = dict.fromkeys(statuses, 1.0)
        return {"callback_data": message_id, "to": "4470", "statuses": told, "code": 0}

    found = Evidence(
        tracked={"t1": "ann"},
        written={"w1": "ann"},
        archived={"w1", "m1/read"},
        history=Counter({("ann", "t1"): 1, ("ann", "w1"): 1}),
        ledger=[entry("m1", "sent", "delivered", "read")],
        marketing={"c"},
        audiences={"c": Counter({"ann": 1, "ben": 1})},
        members={"s": Members(frozenset({"ann"}), frozenset({"ann"}), frozenset({"ann"}))},
        erased={"eve": ""},
    )
    found.told["m1"] = {"read"}
    found.recipients["c"] = [
        Recipient(contact_id="ann", message=MessageRef(message_id="m1"), state="STATE_READ"),
        Recipient(
            contact_id="ben",
            message=MessageRef(message_id="m2"),
            state="STATE_SUPPRESSED",
            gate="consent",
        ),
    ]
    outcome = OutcomeCounts(read=1, suppressed_gates={"consent": 1})
    found.reports["c"] = CampaignReport(recipients=2, outcome=outcome)
    return found


def lose_an_event(found: Evidence) -> None:
    del found.history["ann", "t1"]


def double_an_event(found: Evidence) -> None:
    found.history["ann", "t1"] = 2


def make_an_event_up(found: Evidence) -> None:
    found.history["ann", "x1"] = 1


def lose_a_webhook(found: Evidence) -> None:
    found.archived.remove("w1")


def overlook_a_status(found: Evidence) -> None:
    found.recipients["c"][0].state = Message.STATE_DELIVERED
    found.ledger[0]["statuses"] = {"delivered": 1.0}
    found.reports["c"].outcome.CopyFrom(OutcomeCounts(delivered=1, suppressed_gates={"consent": 1}))


def send_twice(found: Evidence) -> None:
    found.ledger.append(found.ledger[0])
    found.reports["c"].outcome.read = 2
    found.reports["c"].outcome.suppressed_gates["consent"] = 0


def forget_somebody(found: Evidence) -> None:
    found.audiences["c"]["zoe"] = 1


def tell_no_gate(found: Evidence) -> None:
    found.recipients["c"][1].gate = ""


def keep_somebody_in(found: Evidence) -> None:
    found.members["s"] = Members(frozenset({"ann", "ben"}), frozenset({"ann"}), frozenset({"ann"}))


def leave_somebody_out(found: Evidence) -> None:
    found.members["s"] = Members(frozenset(), frozenset({"ann"}), frozenset({"ann"}))


def count_wrongly(found: Evidence) -> None:
    found.reports["c"].outcome.read = 0


def bring_somebody_back(found: Evidence) -> None:
    found.erased["eve"] = "there is a history"


TRACKED, WEBHOOKS, TWICE, OUTCOMES, SEGMENTS, REPORTS, ERASED = (one.name for one in PROMISES)


def test_nobody_is_accused_when_every_promise_was_kept():
    assert broken(kept()) == {}


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (lose_an_event, TRACKED),
        (double_an_event, TRACKED),
        (make_an_event_up, TRACKED),
        (lose_a_webhook, WEBHOOKS),
        (overlook_a_status, WEBHOOKS),
        (send_twice, TWICE),
        (forget_somebody, OUTCOMES),
        (tell_no_gate, OUTCOMES),
        (keep_somebody_in, SEGMENTS),
        (leave_somebody_out, SEGMENTS),
        (count_wrongly, REPORTS),
        (bring_somebody_back, ERASED),
    ],
)
def test_what_is_wrong_breaks_its_promise_and_no_other(
    wrong: Callable[[Evidence], None], promise: str
):
    found = kept()
    wrong(found)
    assert broken(found).keys() == {promise}


def test_an_event_in_the_dead_letters_is_not_lost():
    found = kept()
    lose_an_event(found)
    found.dead.add("t1")
    assert broken(found) == {}


def test_who_wrote_before_their_message_was_told_to_have_failed_answered_it():
    found = kept()
    found.ledger[0] |= {"statuses": {"failed": 1.0}, "code": 131026}
    found.recipients["c"][0].replied = True
    assert broken(found) == {}


def test_a_seed_plans_the_same_misfortunes_again_and_a_minute_holds_every_kind():
    deeds = plan(7, 60)
    assert deeds == plan(7, 60)
    assert deeds != plan(8, 60)
    assert {deed.what for deed in deeds} == {"kill", "freeze", "restart", "cut", "graph"}
    assert all(deed.at + deed.lasts <= 60 for deed in deeds)

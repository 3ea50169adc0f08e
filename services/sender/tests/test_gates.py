"""Gates: each reason why a message may not go now."""

from typing import Any

from services.sender.gates import GATES, Asked, Verdict, ask, decide
from services.sender.model import (
    DAY_MS,
    NEVER,
    Address,
    CampaignPhase,
    Contact,
    Lane,
    Message,
    Template,
)

NOW = 1_790_000_000_000


def template(**changes: Any) -> Template:
    fields: dict[str, Any] = {
        "template_id": "1",
        "waba_id": "2",
        "name": "welcome",
        "language": "tr",
        "category": "MARKETING",
        "effective_category": "MARKETING",
        "announced_category": "",
        "announced_time": 0,
        "state": "APPROVED",
        "state_reason": "",
        "state_detail": "",
        "named": False,
        "components": b"[]",
        "create_time": NOW,
        "update_time": NOW,
    }
    return Template(**{**fields, **changes})


def asked(**changes: Any) -> Asked:
    message: dict[str, Any] = {
        "message_id": "m",
        "contact_id": "c",
        "campaign_id": "",
        "occurrence_id": "",
        "phone_number_id": "1",
        "template": "welcome",
        "language": "tr",
        "variant": "",
        "propensity": 1.0,
        "purpose": "",
        "context_wamid": "",
        "body": b"{}",
        "lane": Lane.BULK,
        "not_after": 0,
        "plan_time": NOW,
        "received_time": NOW,
        "traceparent": "",
        "category": "",
    }
    own = {k: changes.pop(k) for k in list(changes) if k in message and k != "template"}
    fields: dict[str, Any] = {
        "now": NOW,
        "message": Message(**{**message, **own}),
        "phase": None,
        "template": template(),
        "contact": Contact("c", addresses=[Address("905")], consents={"marketing": "granted"}),
        "window_time": 0,
        "saturation_time": 0,
    }
    return Asked(**{**fields, **changes})


def stopped(**changes: Any) -> tuple[str, str, str] | None:
    verdict = decide(asked(**changes))
    return verdict and (verdict.gate, verdict.verdict.value, verdict.reason)


def person(**changes: Any) -> Contact:
    return Contact("c", **{"addresses": [Address("905")], **changes})


def test_a_message_to_somebody_who_agreed_passes_every_gate() -> None:
    assert stopped() is None
    assert {v.verdict for v in ask(asked())} <= {Verdict.PASS, Verdict.SKIPPED}
    assert len(ask(asked())) == len(GATES)


def test_marketing_needs_a_grant_and_the_rest_only_no_withdrawal() -> None:
    utility = template(effective_category="UTILITY")
    assert stopped(contact=person()) == ("consent", "refuse", "not_granted")
    assert stopped(contact=person(), template=utility) is None
    for state in ("withdrawn", "expired"):
        who = person(consents={"marketing": state, "utility": state})
        assert stopped(contact=who) == ("consent", "refuse", state)
        assert stopped(contact=who, template=utility) == ("consent", "refuse", state)


def test_consent_goes_by_the_category_meta_says_not_by_the_one_that_was_asked_for() -> None:
    moved = template(category="UTILITY", effective_category="MARKETING")
    assert stopped(contact=person(), template=moved) == ("consent", "refuse", "not_granted")
    announced = template(
        effective_category="UTILITY", announced_category="MARKETING", announced_time=NOW
    )
    assert stopped(contact=person(), template=announced) == ("consent", "refuse", "not_granted")
    announced.announced_time = NOW + 1
    assert stopped(contact=person(), template=announced) is None


def test_templates_that_come_back_make_wait_and_the_others_refuse() -> None:
    assert stopped(template=None) == ("template", "refuse", "template_unknown")
    assert stopped(template=template(state="PAUSED")) == ("template", "wait", "template_paused")
    gone = ("template", "refuse", "template_disabled")
    assert stopped(template=template(state="DISABLED")) == gone


def test_people_without_account_or_under_restriction_get_nothing() -> None:
    assert stopped(contact=None) == ("address", "refuse", "contact_unknown")
    assert stopped(contact=Contact("c")) == ("address", "refuse", "no_address")
    granted = {"marketing": "granted"}
    restricted = person(restricted=True, consents=granted)
    assert stopped(contact=restricted) == ("consent", "refuse", "restricted")


def test_free_form_words_need_an_open_window() -> None:
    free: dict[str, Any] = {"template": None}

    def at(window: int) -> tuple[str, str, str] | None:
        one = asked(**free, window_time=window)
        one.message.template = ""
        verdict = decide(one)
        return verdict and (verdict.gate, verdict.verdict.value, verdict.reason)

    closed = ("window", "refuse", "window_closed")
    assert at(0) == closed
    assert at(NOW - DAY_MS) == closed
    assert at(NOW - DAY_MS + 1) is None


def test_nobody_whom_meta_protects_is_asked_again_within_a_day() -> None:
    verdict = decide(asked(saturation_time=NOW - 1))
    assert verdict is not None
    assert (verdict.gate, verdict.verdict, verdict.next_time) == (
        "saturation",
        Verdict.WAIT,
        NOW - 1 + DAY_MS,
    )
    assert stopped(saturation_time=NOW - DAY_MS) is None
    assert stopped(saturation_time=NOW, template=template(effective_category="UTILITY")) is None


def test_a_message_is_never_late_not_even_by_waiting() -> None:
    assert stopped(not_after=NOW - 1) == ("deadline", "refuse", "too_late")
    assert stopped(not_after=NOW) is None
    assert stopped(saturation_time=NOW, not_after=NOW + 1) == ("deadline", "refuse", "too_late")


def test_campaigns_send_only_while_they_run() -> None:
    assert stopped(phase=CampaignPhase.PLANNING) is None
    assert stopped(phase=CampaignPhase.RUNNING) is None
    assert stopped(phase=CampaignPhase.CANCELLED) == ("campaign", "refuse", "cancelled")
    verdict = decide(asked(phase=CampaignPhase.PAUSED, not_after=NOW + 1))
    assert verdict is not None
    assert (verdict.verdict, verdict.next_time) == (Verdict.WAIT, NEVER)

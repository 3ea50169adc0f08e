"""Gates: each reason why a message may not go now."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from services.sender.delivery.sentences import explanation
from services.sender.gates import (
    GATES,
    Asked,
    Budget,
    Candidate,
    Verdict,
    address_of,
    ask,
    decide,
    next_eligible,
)
from services.sender.model import (
    DAY_MS,
    NEVER,
    Address,
    CampaignPhase,
    Contact,
    Lane,
    Message,
    Number,
    Template,
)
from services.sender.rules.caps import Counted
from services.sender.rules.policy import FrequencyCap, Policy, QuietHours
from services.sender.rules.rates import Rate, RateCard, Tariff

NOW = 1_790_000_000_000  # 21 September 2026, 17:13:20 in Istanbul
OPEN = Policy(frequency_caps=(), quiet_hours=())


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
        "attempts": 0,
    }
    own = {k: changes.pop(k) for k in list(changes) if k in message and k != "template"}
    granted = Contact("c", addresses=[Address("905")], consents={"marketing": "granted"})
    now, contact = changes.pop("now", NOW), changes.pop("contact", granted)
    of: dict[str, Any] = {"template": template(), "policy": OPEN, **changes}
    return Asked(now, contact, Candidate(Message(**{**message, **own}), **of))


def stopped(**changes: Any) -> tuple[str, str, str] | None:
    stop = decide(asked(**changes)).stop
    return None if stop is None else (stop.gate, stop.verdict.value, stop.reason)


def person(**changes: Any) -> Contact:
    return Contact("c", **{"addresses": [Address("905")], **changes})


def test_a_message_to_somebody_who_agreed_passes_every_gate() -> None:
    assert stopped() is None
    assert {v.verdict for v in ask(asked())} <= {Verdict.PASS, Verdict.SKIPPED}
    assert len(ask(asked())) == len(GATES)


@pytest.mark.parametrize("state", ["REJECTED", "DISABLED", "DELETED", "PENDING_DELETION"])
def test_what_meta_took_away_is_not_sent(state: str) -> None:
    gone = template(state=state)
    assert stopped(template=gone) == ("template", "refuse", f"template_{state.lower()}")


@pytest.mark.parametrize("state", ["PENDING", "PAUSED", "LOCKED", "IN_APPEAL"])
def test_what_comes_back_is_waited_for(state: str) -> None:
    away = template(state=state)
    assert stopped(template=away) == ("template", "wait", f"template_{state.lower()}")


def filled(*components: Any) -> bytes:
    return msgspec.json.encode(
        {"type": "template", "template": {"name": "welcome", "components": components}}
    )


BODY = {"type": "BODY", "text": "Selam {{1}}, kod {{2}} ile"}
TEXT = {"type": "text", "text": "x"}
URL = {"type": "URL", "text": "Aç", "url": "https://shop.example/{{1}}"}
PRESSED = {"type": "button", "sub_type": "url", "index": "0", "parameters": [TEXT]}
IMAGE = {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]}


@pytest.mark.parametrize(
    ("now_has", "sent", "variable"),
    [
        ([BODY], [{"type": "body", "parameters": [TEXT, TEXT]}], ""),
        ([BODY], [{"type": "body", "parameters": [TEXT]}], "body.2"),
        ([BODY], [{"type": "body", "parameters": [TEXT, TEXT, TEXT]}], "body.3"),
        ([BODY], [], "body.1"),
        ([{"type": "BUTTONS", "buttons": [URL]}], [PRESSED], ""),
        ([{"type": "BUTTONS", "buttons": [URL]}], [], "button.0"),
        ([{"type": "BODY", "text": "Selam"}], [PRESSED], "button.0"),
        ([{"type": "HEADER", "format": "IMAGE"}], [IMAGE], ""),
        ([{"type": "HEADER", "format": "VIDEO"}], [IMAGE], "header"),
    ],
)
def test_a_message_that_fits_its_edited_template_no_longer_is_not_sent(
    now_has: list[Any], sent: list[Any], variable: str
) -> None:
    edited = template(components=msgspec.json.encode(now_has), components_time=NOW + 1)
    verdict = ask(asked(template=edited, body=filled(*sent)))[1]
    assert verdict.values.get("variable", "") == variable
    assert (verdict.reason == "template_edited") == bool(variable)
    since = template(components=edited.components, components_time=NOW)
    assert stopped(template=since, body=filled(*sent)) is None, "planned with it as it is"


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
        stop = decide(one).stop
        return None if stop is None else (stop.gate, stop.verdict.value, stop.reason)

    closed = ("window", "refuse", "window_closed")
    assert at(0) == closed
    assert at(NOW - DAY_MS) == closed
    assert at(NOW - DAY_MS + 1) is None


def test_nobody_whom_meta_protects_is_asked_again_within_a_day() -> None:
    _, stop, due_time = decide(asked(saturation_time=NOW - 1))
    assert stop is not None
    assert (stop.gate, stop.verdict) == ("saturation", Verdict.WAIT)
    assert stop.next_time == due_time == NOW - 1 + DAY_MS
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
    _, stop, due_time = decide(asked(phase=CampaignPhase.PAUSED, not_after=NOW + 1))
    assert stop is not None
    assert (stop.verdict, stop.next_time, due_time) == (Verdict.WAIT, NEVER, NEVER)


HOUR = 3_600_000
NIGHT = QuietHours("marketing", 21 * 60, 9 * 60)


def agreeing(**changes: Any) -> Contact:
    return person(**{"consents": {"marketing": "granted"}, **changes})


def test_marketing_waits_while_a_complaint_is_open_and_nothing_else_does() -> None:
    angry = agreeing(attributes={"traits.open_complaint": True})
    assert stopped(contact=angry) == ("complaint", "wait", "complaint_open")
    assert stopped(contact=angry, template=template(effective_category="UTILITY")) is None
    both = Policy((), (), complaint_paused_purposes=["marketing", "utility"])
    utility = template(effective_category="UTILITY")
    assert stopped(contact=angry, policy=both, template=utility) is not None
    closed = agreeing(attributes={"traits.open_complaint": False})
    assert stopped(contact=closed) is None


def test_nobody_can_say_when_a_complaint_ends_so_it_is_looked_at_again_and_before_the_end() -> None:
    angry = agreeing(attributes={"traits.open_complaint": True})
    assert decide(asked(contact=angry)).due_time == NOW + HOUR
    assert decide(asked(contact=angry, not_after=NOW + 5)).due_time == NOW + 6
    one = asked(contact=angry)
    assert next_eligible(one, ask(one)) == NEVER


def test_how_long_meta_is_heeded_is_for_the_policy_to_say() -> None:
    slow = Policy((), (), saturation_ms=3 * DAY_MS)
    stop = decide(asked(saturation_time=NOW - DAY_MS, policy=slow)).stop
    assert stop is not None
    assert stop.next_time == NOW + 2 * DAY_MS


def test_caps_count_a_purpose_or_all_but_replies_and_authentication() -> None:
    capped = Policy([FrequencyCap("*", 1, DAY_MS)], ())
    for counted, waits in (("marketing", True), ("utility", True), ("service", False)):
        stop = stopped(policy=capped, counted=[Counted(counted, NOW - HOUR)])
        assert stop == (("frequency_cap", "wait", "cap_reached") if waits else None)
    code = template(effective_category="AUTHENTICATION")
    assert stopped(policy=capped, template=code, counted=[Counted("utility", NOW)]) is None


def test_quiet_hours_are_those_of_the_contact_s_zone_or_else_of_the_policy_s() -> None:
    night = Policy((), [NIGHT], default_zone="Europe/Istanbul")
    assert stopped(policy=night) is None
    tokyo = agreeing(zone="Asia/Tokyo")
    assert stopped(policy=night, contact=tokyo) == ("quiet_hours", "wait", "quiet")
    assert stopped(policy=night, contact=agreeing(zone="Nowhere/Known")) is None


def test_quiet_hours_of_a_market_are_for_its_numbers_alone() -> None:
    afternoon = Policy((), [QuietHours("marketing", 12 * 60, 18 * 60, market="DE")])
    for market, quiet in (("DE", True), ("TR", False), ("", False)):
        who = agreeing(addresses=[Address("49", market=market)])
        assert (stopped(policy=afternoon, contact=who) is not None) == quiet


def test_what_has_room_only_in_the_night_is_asked_again_in_the_morning() -> None:
    policy = Policy([FrequencyCap("marketing", 1, 8 * HOUR)], [NIGHT], "Europe/Istanbul")
    one = asked(policy=policy, counted=[Counted("marketing", NOW)])
    _, stop, due_time = decide(one)
    assert stop is not None
    assert (stop.gate, stop.next_time) == ("frequency_cap", NOW + 8 * HOUR)
    assert due_time == next_eligible(one, ask(one)) == NOW + 15 * HOUR + 2_800_000  # 09:00
    late = asked(policy=policy, counted=[Counted("marketing", NOW)], not_after=NOW + 10 * HOUR)
    stop = decide(late).stop
    assert stop is not None
    assert (stop.gate, stop.reason) == ("deadline", "too_late")


def test_the_control_group_gets_no_marketing_but_all_the_rest() -> None:
    nearly_all = Policy((), (), global_control_share=0.999_999)
    control = ("global_control", "refuse", "global_control")
    assert stopped(policy=nearly_all) == control
    assert stopped(policy=nearly_all, template=template(effective_category="UTILITY")) is None
    assert stopped(policy=nearly_all, ignores_control=True) is None
    # Whatever a marketing template is sent for
    agreed = Contact("c", addresses=[Address("9")], consents={"news": "granted"})
    assert stopped(policy=nearly_all, purpose="news", contact=agreed) == control


def test_one_in_doubt_may_go_again_when_nobody_else_of_its_campaign_waits() -> None:
    over = {"campaign_id": "c", "phase": CampaignPhase.COMPLETED}
    assert stopped(**over) == ("campaign", "refuse", "completed")
    assert stopped(**over, attempts=1) is None


def test_merging_takes_nobody_out_of_the_control_group_and_a_larger_share_only_adds() -> None:
    def drawn(ids: list[str], share: float, salt: str = "") -> bool:
        policy = Policy((), (), global_control_share=share, global_control_salt=salt)
        who = Contact(ids[0], addresses=[Address("9")], consents={"marketing": "granted"})
        who = replace(who, absorbed=ids[1:])
        return stopped(policy=policy, contact=who, contact_id=ids[0]) is not None

    people = [f"p{n}" for n in range(400)]
    group = {one for one in people if drawn([one], 0.2)}
    assert 50 < len(group) < 110
    assert group <= {one for one in people if drawn([one], 0.3)}
    assert group != {one for one in people if drawn([one], 0.2, "another")}
    inside = min(group)
    assert all(drawn([other, inside], 0.2) for other in people[:50] if other != inside)


def number(**changes: Any) -> Number:
    required = Number.__struct_fields__[: -len(Number.__struct_defaults__)]
    fields = dict.fromkeys(required, "") | {"paused": False, "quality_rating": "GREEN"}
    return Number(**{**fields, **changes})


def test_a_number_that_people_complain_of_sends_no_marketing() -> None:
    red = number(quality_rating="RED")
    assert stopped(number=number()) is None
    assert stopped(number=red) == ("number", "wait", "quality_red")
    assert stopped(number=red, template=template(effective_category="UTILITY")) is None
    paused = number(paused=True, state_reason="account_368")
    assert stopped(number=paused) == ("number", "wait", "number_account_368")


def test_a_campaign_spends_no_more_than_its_budget_by_the_rate_card() -> None:
    card = RateCard("r", "", "EUR", "", 0, 0, 0, [Rate("TR", [], "marketing", 0, 40_000)])
    who = agreeing(addresses=[Address("905", market="TR")])

    def spending(micros: int, currency: str = "EUR", tariff: Tariff | None = None) -> Any:
        money = Budget(micros, currency)
        return stopped(budget=money, tariff=tariff or Tariff(card), contact=who)

    assert spending(40_000) is None
    assert spending(39_999) == ("budget", "wait", "budget_spent")
    assert spending(40_000, "TRY") == ("budget", "wait", "budget_currency")
    assert spending(40_000, tariff=Tariff()) == ("budget", "wait", "price_unknown")


def test_every_reason_has_a_sentence_in_english_and_in_turkish() -> None:
    angry = agreeing(attributes={"traits.open_complaint": True})
    for one in ask(asked(contact=angry)) + ask(asked(contact=None, template=None)):
        said = {language: explanation(one, language) for language in ("en", "tr", "tr-TR", "de")}
        silent = one.verdict in {Verdict.PASS, Verdict.SKIPPED}
        assert all(said.values()) != silent
        assert silent or said["en"] != said["tr"] == said["tr-TR"]
        assert said["de"] == said["en"]


def test_a_marketing_template_needs_somebodys_word_whatever_it_is_sent_for() -> None:
    def sent_for(purpose: str, **consents: str) -> Any:
        found = decide(asked(contact=agreeing(consents=consents), purpose=purpose)).stop
        return found and (found.gate, found.reason)

    assert sent_for("utility") == ("consent", "not_granted")
    assert sent_for("newsletter", newsletter="granted") is None
    assert sent_for("newsletter", marketing="granted") == ("consent", "not_granted")


def test_a_message_goes_to_the_account_that_wrote_last_to_the_number() -> None:
    wrote = [
        Address(wa_id, phone_number_id=to, last_message_time=at)
        for wa_id, to, at in (("1", "n", 1), ("2", "n", 3), ("3", "other", 9))
    ]
    found = address_of(agreeing(addresses=wrote), "n")
    assert found is not None
    assert found.wa_id == "2"


def test_who_stopped_offers_at_meta_gets_none_until_they_agree_anew() -> None:
    def who(said: int) -> Contact:
        return agreeing(consent_times={"marketing": said})

    refused = ("consent", "refuse", "opted_out")
    assert stopped(contact=who(NOW - 2), opted_out_time=NOW - 1) == refused
    assert stopped(contact=who(NOW), opted_out_time=NOW - 1) is None
    utility = template(effective_category="UTILITY")
    assert stopped(contact=who(0), opted_out_time=NOW, template=utility) is None


def test_who_cannot_be_reached_is_offered_nothing_for_weeks_or_until_they_write() -> None:
    def who(wrote: int) -> Contact:
        return agreeing(addresses=[Address("905", last_message_time=wrote)])

    refused = ("address", "refuse", "unreachable")
    assert stopped(contact=who(NOW - 2), unreachable_time=NOW - 1) == refused
    assert stopped(contact=who(NOW), unreachable_time=NOW - 1) is None
    assert stopped(contact=who(0), unreachable_time=NOW - 28 * DAY_MS) is None
    utility = template(effective_category="UTILITY")
    assert stopped(contact=who(0), unreachable_time=NOW, template=utility) is None


def test_a_number_that_meta_restricts_waits_until_that_ends() -> None:
    only_answers = number(restriction="business_initiated", restricted_until=NOW + HOUR)
    _, stop, due_time = decide(asked(number=only_answers))
    assert stop is not None
    assert (stop.gate, stop.reason, due_time) == ("number", "restricted", NOW + HOUR)
    answer = asked(number=only_answers, template=None, window_time=NOW)
    answer.message.template = ""
    assert decide(answer).stop is None
    answer.of.number = number(restriction="all", restricted_until=NOW + HOUR)
    assert decide(answer).stop is not None

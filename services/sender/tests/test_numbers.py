"""Business numbers: read from Meta, kept in step by its webhooks, changed by callers."""

import random
from typing import Any

import msgspec
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.times import timestamp
from merhaba.event.v1 import (
    AccountChanged,
    CapabilityChanged,
    Event,
    NumberNameChanged,
    NumberQualityChanged,
)
from merhaba.sender.v1 import (
    BusinessNumber,
    GetNumberRequest,
    ListNumbersRequest,
    PauseNumberRequest,
    RegisterNumberRequest,
    ResumeNumberRequest,
    UpdateNumberRequest,
)
from services.sender.consumer import AccountConsumer
from services.sender.model import NEVER
from services.sender.numbers.facts import account_fact, described, limit_fact, throughput


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


async def get(suite: Any, **more: Any) -> BusinessNumber:
    request = GetNumberRequest(phone_number_id=suite.number_id, **more)
    return (await suite.numbers.GetNumber(request)).number


async def tell(suite: Any, *events: Event) -> None:
    consumer = AccountConsumer(suite.shelf, suite.number_store)
    await consumer.handle([event.SerializeToString() for event in events])


def event(time: int, **body: Any) -> Event:
    return Event(event_id=fresh_id("e"), event_time=timestamp(time), **body)


def quality(suite: Any, time: int, change: str, limit: str = "") -> Event:
    told = NumberQualityChanged(
        waba_id=suite.waba_id,
        display_phone_number=suite.display,
        change=change,
        messaging_limit=limit,
    )
    return event(time, number_quality_changed=told)


def account(
    suite: Any, time: int, change: str, field: str = "account_update", **detail: Any
) -> Event:
    told = AccountChanged(
        waba_id=suite.waba_id,
        field=field,
        change=change,
        detail_json=msgspec.json.encode({"event": change, **detail}),
    )
    return event(time, account_changed=told)


@pytest.fixture
async def known(suite: Any, ready: Any) -> Any:
    """The number of `ready`, as Meta describes it."""
    number = await get(ready, refresh=True)
    ready.display = number.display_phone_number
    return ready


async def other_number(suite: Any) -> str:
    """Another number of the same account, which Meta knows."""
    number_id = str(random.SystemRandom().randrange(10**14, 10**15))
    one = {
        "phone_number_id": number_id,
        "waba_id": suite.waba_id,
        "display_phone_number": f"90{number_id[:10]}",
        "throughput": 1000,
    }
    await suite.control("POST", "numbers", [one])
    return number_id


# --- by callers -----------------------------------------------------------------------------------


async def test_a_registered_number_is_as_meta_describes_it(ready: Any) -> None:
    number_id = await other_number(ready)
    wanted = BusinessNumber(
        phone_number_id=number_id,
        waba_id=ready.waba_id,
        credential_name="brand",
        throughput_limit=400,
        reply_share=0.0,
    )
    request = RegisterNumberRequest(number=wanted)
    number = (await ready.numbers.RegisterNumber(request)).number
    assert number.display_phone_number.replace(" ", "").endswith(number_id[:10])
    assert number.quality_rating
    assert number.throughput_limit == number.current_throughput == 400
    assert number.country_code == "TR"
    assert number.state == BusinessNumber.STATE_ACTIVE
    assert number.circuit == BusinessNumber.CIRCUIT_CLOSED
    assert number.credential_name == "brand"
    assert number.HasField("reply_share")
    assert number.HasField("sync_time")

    again = (await ready.numbers.RegisterNumber(request)).number
    assert again == number
    wanted.throughput_limit = 300
    refused = ready.numbers.RegisterNumber(RegisterNumberRequest(number=wanted))
    assert await ready.refusal(refused) == ("ALREADY_EXISTS", "NUMBER_EXISTS")


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (BusinessNumber(), "INVALID_ARGUMENT", "FIELD_INVALID"),
        (
            BusinessNumber(phone_number_id="1", waba_id="1", credential_name="nobody"),
            "FAILED_PRECONDITION",
            "NUMBER_UNUSABLE",
        ),
        (
            BusinessNumber(phone_number_id="1", waba_id="1"),
            "FAILED_PRECONDITION",
            "PLATFORM_REFUSED",
        ),
        (
            BusinessNumber(phone_number_id="1", throughput_limit=-1),
            "INVALID_ARGUMENT",
            "FIELD_INVALID",
        ),
        (BusinessNumber(phone_number_id="1", reply_share=1), "INVALID_ARGUMENT", "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_registered(
    ready: Any, number: BusinessNumber, status: str, reason: str
) -> None:
    refused = ready.numbers.RegisterNumber(RegisterNumberRequest(number=number))
    assert await ready.refusal(refused) == (status, reason)


async def test_only_what_the_mask_names_is_changed(known: Any) -> None:
    before = await get(known)
    wanted = BusinessNumber(
        phone_number_id=known.number_id, marketing_endpoint=True, throughput_limit=50
    )
    mask = FieldMask(paths=["throughput_limit"])
    request = UpdateNumberRequest(number=wanted, update_mask=mask)
    after = (await known.numbers.UpdateNumber(request)).number
    assert after.throughput_limit == 50
    assert not after.marketing_endpoint
    assert after.etag != before.etag

    stale = BusinessNumber(phone_number_id=known.number_id, etag=before.etag, reply_share=0.5)
    refused = known.numbers.UpdateNumber(UpdateNumberRequest(number=stale))
    assert await known.refusal(refused) == ("ABORTED", "ETAG_MISMATCH")
    stale.etag = after.etag
    assert (await known.numbers.UpdateNumber(UpdateNumberRequest(number=stale))).number.reply_share

    mask = FieldMask(paths=["quality_rating"])
    refused = known.numbers.UpdateNumber(UpdateNumberRequest(number=wanted, update_mask=mask))
    assert await known.refusal(refused) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    lost = UpdateNumberRequest(number=BusinessNumber(phone_number_id="1"))
    assert await known.refusal(known.numbers.UpdateNumber(lost)) == (
        "NOT_FOUND",
        "NUMBER_NOT_FOUND",
    )


async def test_what_was_read_may_be_written_back_and_changes_nothing(known: Any) -> None:
    before = await get(known)
    after = (await known.numbers.UpdateNumber(UpdateNumberRequest(number=before))).number
    assert after == before


async def test_a_paused_number_says_why_and_pausing_again_changes_nothing(known: Any) -> None:
    request = PauseNumberRequest(phone_number_id=known.number_id, reason="audit")
    paused = (await known.numbers.PauseNumber(request)).number
    assert (paused.state, paused.state_reason) == (BusinessNumber.STATE_PAUSED, "audit")
    request.reason = "other"
    assert (await known.numbers.PauseNumber(request)).number == paused
    resumed = await known.numbers.ResumeNumber(ResumeNumberRequest(phone_number_id=known.number_id))
    assert resumed.number.state == BusinessNumber.STATE_ACTIVE


async def test_numbers_are_listed_in_pages(ready: Any) -> None:
    ids = {ready.number_id}
    for _ in range(2):
        ids.add(await other_number(ready))
    for one in ids - {ready.number_id}:
        wanted = BusinessNumber(phone_number_id=one, waba_id=ready.waba_id)
        await ready.numbers.RegisterNumber(RegisterNumberRequest(number=wanted))
    found: list[str] = []
    request = ListNumbersRequest(waba_id=ready.waba_id, page_size=2)
    while True:
        page = await ready.numbers.ListNumbers(request)
        found += [number.phone_number_id for number in page.numbers]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == sorted(ids)


# --- by webhooks ----------------------------------------------------------------------------------


async def test_limits_levels_and_quality_follow_webhooks_whatever_their_order(known: Any) -> None:
    time = now_ms() + 60_000
    await tell(
        known,
        quality(known, time + 2_000, "UPGRADE", "TIER_100K"),
        quality(known, time, "DOWNGRADE", "TIER_10K"),
        quality(known, time + 3_000, "FLAGGED"),
        quality(known, time + 4_000, "THROUGHPUT_UPGRADE"),
    )
    number = await get(known)
    assert number.messaging_limit == "TIER_100K"
    assert number.quality_rating == "RED"
    assert (number.throughput_level, number.throughput_limit) == ("HIGH", 1000)


async def test_what_is_older_than_what_meta_was_asked_changes_nothing(known: Any) -> None:
    before = await get(known)
    await tell(known, quality(known, now_ms() - 60_000, "FLAGGED", "TIER_250"))
    assert await get(known) == before


async def test_the_limit_of_the_portfolio_holds_for_all_numbers_of_the_account(known: Any) -> None:
    told = CapabilityChanged(waba_id=known.waba_id, max_daily_recipients=2000)
    await tell(known, event(now_ms() + 60_000, capability_changed=told))
    assert (await get(known)).messaging_limit == "TIER_2K"


async def test_the_limit_that_is_told_of_one_number_holds_for_the_whole_portfolio(
    known: Any,
) -> None:
    """Also for numbers of its other accounts; what is told of quality is that number's alone."""
    ids = [known.number_id, await other_number(known), await other_number(known)]
    portfolio = fresh_id("portfolio")
    for number_id, waba_id in zip(ids[1:], (known.waba_id, known.waba_id[::-1]), strict=True):
        wanted = BusinessNumber(phone_number_id=number_id, waba_id=waba_id)
        await known.numbers.RegisterNumber(RegisterNumberRequest(number=wanted))
    await known.pool.execute(
        "UPDATE numbers SET portfolio_id = $2 WHERE phone_number_id = ANY($1)", ids, portfolio
    )
    await tell(known, quality(known, now_ms() + 60_000, "FLAGGED", "TIER_250"))
    found = [await known.number_store.number(one) for one in ids]
    assert [one.messaging_limit for one in found] == ["TIER_250"] * 3
    assert [one.quality_rating for one in found] == ["RED", "GREEN", "GREEN"]


async def test_a_name_is_taken_over_once_meta_approved_it(known: Any) -> None:
    time = now_ms() + 60_000

    def name(decision: str, words: str, later: int) -> Event:
        told = NumberNameChanged(
            waba_id=known.waba_id,
            display_phone_number=known.display,
            name=words,
            decision=decision,
        )
        return event(time + later, number_name_changed=told)

    await tell(
        known,
        name("APPROVED", "Lale", 0),
        name("REJECTED", "Bedava", 1_000),
        name("approved", "lale_user", 2_000),
    )
    assert (await get(known)).verified_name == "Lale"


async def test_a_restriction_lasts_as_long_as_meta_says(known: Any) -> None:
    time = now_ms()
    info = [
        {
            "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING",
            "expiration": (time + 3_600_000) // 1000,
        },
        {"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": NEVER},
    ]
    await tell(known, account(known, time, "ACCOUNT_RESTRICTION", restriction_info=info))
    number = await get(known)
    assert number.state == BusinessNumber.STATE_RESTRICTED
    assert number.state_reason == "account_restriction"
    await known.control("PUT", f"numbers/{known.number_id}", {"refuse_code": 131031})
    refused = known.numbers.ResumeNumber(ResumeNumberRequest(phone_number_id=known.number_id))
    assert await known.refusal(refused) == ("FAILED_PRECONDITION", "NUMBER_UNUSABLE")
    stored = await known.number_store.number(known.number_id)
    assert stored.restricted(time + 3_500_000) == "business_initiated"
    assert stored.restricted(time + 3_600_000) == ""


async def test_a_restriction_whose_end_nobody_tells_ends_when_meta_says_so(known: Any) -> None:
    info = [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]
    await tell(known, account(known, now_ms(), "ACCOUNT_RESTRICTION", restriction_info=info))
    request = ResumeNumberRequest(phone_number_id=known.number_id)
    await known.control("PUT", f"numbers/{known.number_id}", {"refuse_code": 131031})
    assert await known.refusal(known.numbers.ResumeNumber(request)) == (
        "FAILED_PRECONDITION",
        "NUMBER_UNUSABLE",
    )
    await known.control("PUT", f"numbers/{known.number_id}", {"refuse_code": 0})
    resumed = (await known.numbers.ResumeNumber(request)).number
    assert resumed.state == BusinessNumber.STATE_ACTIVE
    assert (await get(known)).state_reason == ""


async def test_a_ban_holds_until_it_is_lifted_by_what_lifts_it(known: Any) -> None:
    time = now_ms()
    banned = {"ban_info": {"waba_ban_state": "DISABLE"}}
    lifted = {"ban_info": {"waba_ban_state": "REINSTATE"}}
    await tell(known, account(known, time, "DISABLED_UPDATE", **banned))
    approved = account(known, time + 1_000, "APPROVED", "account_review_update")
    await tell(known, approved)
    assert (await get(known)).state == BusinessNumber.STATE_RESTRICTED
    await tell(known, account(known, time - 1_000, "DISABLED_UPDATE", **lifted))
    assert (await get(known)).state == BusinessNumber.STATE_RESTRICTED
    await tell(known, account(known, time + 2_000, "DISABLED_UPDATE", **lifted))
    assert (await get(known)).state == BusinessNumber.STATE_ACTIVE


async def test_a_restriction_of_another_number_is_not_of_this_one(known: Any) -> None:
    info = [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]
    await tell(
        known,
        account(
            known,
            now_ms(),
            "ACCOUNT_RESTRICTION",
            phone_number="15550001111",
            restriction_info=info,
        ),
    )
    assert (await get(known)).state == BusinessNumber.STATE_ACTIVE


async def test_a_number_that_a_webhook_told_of_is_asked_about(known: Any) -> None:
    await known.pool.execute("UPDATE numbers SET ask_time = $1", NEVER)
    assert await known.keeping.step() == 0
    before = await known.number_store.number(known.number_id)
    await tell(known, quality(known, before.sync_time + 1, "FLAGGED"))
    assert (await get(known)).quality_rating == "RED"
    assert await known.keeping.step() == 1
    after = await known.number_store.number(known.number_id)
    assert after.sync_time > before.sync_time
    assert after.quality_rating == before.quality_rating
    assert await known.keeping.step() == 0


# --- what follows from what is told ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "limit", "kept"),
    [
        ("STANDARD", 0, 80),
        ("HIGH", 0, 1000),
        ("HIGH", 400, 400),
        ("STANDARD", 400, 80),
        ("", 0, 80),
        ("NOT_APPLICABLE", 20, 20),
    ],
)
def test_a_number_keeps_to_metas_level_unless_set_lower(
    level: str, limit: float, kept: float
) -> None:
    assert throughput(level, limit) == kept


@pytest.mark.parametrize(
    ("recipients", "tier"),
    [(250, "TIER_250"), (2_000, "TIER_2K"), (100_000, "TIER_100K"), (-1, "TIER_UNLIMITED")],
)
def test_a_tier_is_written_as_meta_writes_it(recipients: int, tier: str) -> None:
    fact = limit_fact("e", 1, "w", recipients)
    assert fact is not None
    assert fact.value == tier


def test_a_limit_of_nobody_is_none() -> None:
    assert limit_fact("e", 1, "w", 0) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["level", "entities", "entity_type", "id"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["throughput", "health_status", "verified_name"]), ANYTHING))
def test_of_an_answer_of_any_shape_what_is_understood_is_taken(answer: dict[str, Any]) -> None:
    assert described(answer) is None
    assert described({"display_phone_number": "+90 555", **answer}) is not None


@pytest.mark.parametrize(
    ("change", "detail", "restricts"),
    [
        ("ACCOUNT_VIOLATION", {"violation_info": {"violation_type": "ADULT"}}, ""),
        (
            "ACCOUNT_RESTRICTION",
            {
                "restriction_info": [
                    {
                        "restriction_type": "RESTRICTED_BIZ_INITIATED_AND_USER_INITIATED_CALLING",
                        "expiration": 1,
                    }
                ]
            },
            "",
        ),
        (
            "ACCOUNT_RESTRICTION",
            {"restriction_info": [{"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"}]},
            "all",
        ),
        ("ACCOUNT_OFFBOARDED", {}, "all"),
        ("DISABLED_UPDATE", {"ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE"}}, ""),
        ("SOMETHING_NEW", {}, ""),
    ],
)
def test_what_of_an_account_restricts_sending(
    change: str, detail: dict[str, Any], restricts: str
) -> None:
    fact = account_fact("e", 1, "w", "account_update", change, detail)
    assert (fact.value if fact else "") == restricts

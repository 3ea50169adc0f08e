"""Definitions of success: which events count, whatever their order, and for whom."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.answers import Answers
from chassis.app import serving
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.rpc import channel, server
from merhaba.event.v1 import Event
from merhaba.reports.v1 import (
    Attribution,
    Conversion,
    ConversionServiceStub,
    CreateConversionRequest,
    DeleteConversionRequest,
    GetConversionRequest,
    ListConversionsRequest,
    UpdateConversionRequest,
    add_ConversionServiceServicer_to_server,
)
from services.reports import contexts
from services.reports.attribution import Order
from services.reports.consumer import Folding
from services.reports.conversions import model
from services.reports.conversions.api import ConversionApi
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.reading import Reader
from services.reports.conversions.store import ConversionStore
from services.reports.experiments.model import Experiment
from services.reports.experiments.recipients import Recipients
from services.reports.model import OrderFact
from services.reports.tests.events import DAY, HOUR, NOON, merged, outcome, ref, tracked
from services.reports.tests.test_api import TOKEN, reason
from services.reports.tests.test_experiment_service import settings


@pytest.fixture
async def ready(pool, ledger, held, settled, manual_clock) -> AsyncIterator[SimpleNamespace]:
    definitions = Definitions(ConversionStore(pool), manual_clock, timedelta(days=7))
    await definitions.refresh()
    own = server("reports", TOKEN)
    api = ConversionApi(definitions, Answers(pool, manual_clock))
    add_ConversionServiceServicer_to_server(api, own)

    async def feed(topic: str, events: Sequence[Event]) -> None:
        folding = Folding(topic, ledger, held.erase, lambda: definitions.reader)
        await folding.handle([one.SerializeToString() for one in events])
        await settled()

    async def counted(conversion_id: str, *contacts: str) -> dict[str, list[Order]]:
        async with pool.acquire() as connection:
            persons = await contexts.people(connection, contacts)
            return await contexts.orders(connection, persons, conversion_id)

    async with (
        serving(own, settings(), []) as port,
        channel(f"127.0.0.1:{port}", TOKEN) as opened,
    ):
        yield SimpleNamespace(
            stub=ConversionServiceStub(opened),
            definitions=definitions,
            feed=feed,
            counted=counted,
            pool=pool,
            clock=manual_clock,
        )


def trial(**more: Any) -> Conversion:
    """A trial of a plan begins, and may be cancelled."""
    return Conversion(
        **{
            "name": fresh_id("trials"),
            "event_name": "trial_started",
            "condition": 'event.plan == "pro"',
            "value_expression": "event.price * 12.0",
            "currency_expression": '"EUR"',
            "key_expression": "event.trial_id",
            "reversal_event_name": "trial_cancelled",
            **more,
        }
    )


async def made(ready, conversion: Conversion) -> Conversion:
    request = CreateConversionRequest(request_id=str(uuid4()), conversion=conversion)
    return (await ready.stub.CreateConversion(request)).conversion


async def refusal(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason(caught.value)[0]


def started(at: int, contact: str, key: object, plan: str = "pro", price: object = 10.0) -> Event:
    return tracked(at, contact, "trial_started", {"trial_id": key, "plan": plan, "price": price})


# --- reading ----------------------------------------------------------------------------------

TRIALS = model.Conversion(
    conversion_id="t",
    name="t",
    event_name="trial_started",
    condition='event.plan == "pro"',
    value="event.price",
    currency='"EUR"',
    key="event.id",
    reversal_event_name="trial_cancelled",
)


def read(name: str, **properties: Any) -> list[tuple[str, OrderFact]]:
    return Reader([TRIALS]).read(name, "e", "ann", 5, properties)


def test_an_event_counts_by_its_condition_key_and_value() -> None:
    ((which, fact),) = read("trial_started", plan="pro", id=7, price=1.5)
    assert which == "t"
    assert fact == OrderFact("ann", "7", completed=5, value=(5, 1_500_000, "EUR"))
    assert read("trial_started", plan="free", id=7) == []
    assert read("trial_started", plan="pro") == []  # about nothing
    ((_, worthless),) = read("trial_started", plan="pro", id=7, price="much")
    assert worthless.value is None
    ((_, undone),) = read("trial_cancelled", id=7)
    assert undone == OrderFact("ann", "7", cancelled=5)
    assert read("order_completed", id=7) == []


@given(
    st.dictionaries(st.sampled_from(["plan", "id", "price"]), st.none() | st.text() | st.floats())
)
def test_whatever_a_business_sends_is_read_or_left_out(properties) -> None:
    for _, fact in read("trial_started", **properties):
        assert fact.order_id


# --- definitions ------------------------------------------------------------------------------


async def test_a_definition_is_kept_listed_changed_and_deleted(ready) -> None:
    request = CreateConversionRequest(request_id=str(uuid4()), conversion=trial())
    one = (await ready.stub.CreateConversion(request)).conversion
    assert (await ready.stub.CreateConversion(request)).conversion == one
    assert one.window_duration.ToTimedelta() == timedelta(days=7)
    page = await ready.stub.ListConversions(ListConversionsRequest())
    assert {"order_completed", one.conversion_id} <= {c.conversion_id for c in page.conversions}
    wanted = Conversion(conversion_id=one.conversion_id, etag=one.etag, condition="true")
    changed = (
        await ready.stub.UpdateConversion(UpdateConversionRequest(conversion=wanted))
    ).conversion
    assert (changed.condition, changed.name, changed.etag) == ("true", one.name, "2")
    stale = ready.stub.UpdateConversion(UpdateConversionRequest(conversion=wanted))
    assert await refusal(stale) == "ETAG_MISMATCH"
    assert await refusal(made(ready, trial(name=one.name))) == "FIELD_INVALID"
    delete = DeleteConversionRequest(conversion_id=one.conversion_id)
    await ready.stub.DeleteConversion(delete)
    assert await refusal(ready.stub.DeleteConversion(delete)) == "CONVERSION_NOT_FOUND"


async def test_a_name_that_was_taken_meanwhile_is_refused(ready) -> None:
    first, second = await made(ready, trial()), await made(ready, trial())

    def rename(one: model.Conversion) -> model.Conversion:
        one.name = second.name
        return one

    with pytest.raises(FieldInvalid):
        await ConversionStore(ready.pool).change(first.conversion_id, rename)


async def test_what_another_replica_still_counted_after_a_deletion_goes_as_well(
    ready, ledger, held
) -> None:
    one = await made(ready, trial())
    other = Definitions(ConversionStore(ready.pool), ready.clock, timedelta(days=7))
    await other.refresh()
    await ready.stub.DeleteConversion(DeleteConversionRequest(conversion_id=one.conversion_id))
    ann = fresh_id("ann")
    folding = Folding("contact", ledger, held.erase, lambda: other.reader)
    await folding.handle([started(NOON, ann, "k").SerializeToString()])
    assert await ready.counted(one.conversion_id, ann)
    await other.refresh()
    assert not await ready.counted(one.conversion_id, ann)


async def test_a_definition_that_cannot_be_read_any_more_costs_no_other(ready) -> None:
    store, own = ConversionStore(ready.pool), fresh_id("c")
    broken = model.Conversion(
        conversion_id=own, name=own, event_name=own, condition="event.plan ==="
    )
    await store.add(broken)
    await ready.definitions.refresh()
    one = await made(ready, trial(key_expression="", reversal_event_name=""))
    ann = fresh_id("ann")
    await ready.feed("contact", [started(NOON, ann, "k")])
    assert list(await ready.counted(one.conversion_id, ann)) == [ann]
    await store.delete(own)


async def test_the_built_in_one_is_looked_at_and_stays(ready) -> None:
    get = GetConversionRequest(conversion_id="order_completed")
    found = (await ready.stub.GetConversion(get)).conversion
    assert found.window_duration.ToTimedelta() == timedelta(days=7)
    delete = ready.stub.DeleteConversion(DeleteConversionRequest(conversion_id="order_completed"))
    assert await refusal(delete) == "FIELD_INVALID"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"name": ""}, "FIELD_INVALID"),
        ({"name": "order_completed"}, "FIELD_INVALID"),
        ({"event_name": "Trial Started"}, "FIELD_INVALID"),
        ({"condition": "event.plan =="}, "EXPRESSION_INVALID"),
        ({"condition": "event.plan"}, "EXPRESSION_INVALID"),
        ({"condition": 'profile.city == "İzmir"'}, "EXPRESSION_INVALID"),
        ({"condition": 'events("x").exists()'}, "EXPRESSION_INVALID"),
        ({"key_expression": ""}, "FIELD_INVALID"),
        ({"reversal_event_name": "trial_started"}, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_read_is_refused(ready, more, expected) -> None:
    assert await refusal(made(ready, trial(**more))) == expected


async def test_attribution_is_a_matter_of_the_question_and_the_anchor_of_the_definition(
    ready,
) -> None:
    refused = made(ready, trial(attribution=Attribution.ATTRIBUTION_ANY_TOUCH))
    assert await refusal(refused) == "FIELD_INVALID"
    one = await made(ready, trial(anchor=Conversion.ANCHOR_CLICKED))
    get = GetConversionRequest(conversion_id=one.conversion_id)
    found = (await ready.stub.GetConversion(get)).conversion
    assert found.anchor == Conversion.ANCHOR_CLICKED
    assert await refusal(made(ready, trial(anchor=9))) == "FIELD_INVALID"


# --- counting ---------------------------------------------------------------------------------


async def test_events_count_once_each_until_they_are_undone_in_any_order(ready) -> None:
    one = await made(ready, trial())
    ann, bob = fresh_id("p"), fresh_id("p")
    again, twice = started(NOON, ann, "t1"), started(NOON, ann, "t2")
    await ready.feed("contact", [again, started(NOON + 1, ann, "t1"), twice, twice])
    await ready.feed("contact", [again])
    await ready.feed("contact", [tracked(NOON, bob, "trial_cancelled", {"trial_id": "t3"})])
    await ready.feed("contact", [started(NOON - 1, bob, "t3"), started(NOON, bob, "t4", "free")])
    found = await ready.counted(one.conversion_id, ann, bob)
    assert found == {ann: [Order(NOON, 120_000_000, "EUR")] * 2}
    await ready.feed("contact", [merged(NOON, bob, ann)])
    assert list(await ready.counted(one.conversion_id, bob)) == [bob]
    await ready.stub.DeleteConversion(DeleteConversionRequest(conversion_id=one.conversion_id))
    assert await ready.counted(one.conversion_id, bob) == {}


async def test_an_experiment_measures_by_a_definition(ready) -> None:
    one = await made(ready, trial())
    campaign = fresh_id("c")
    ann, bob = fresh_id("p"), fresh_id("p")
    for contact, variant in ((ann, "a"), (bob, "b")):
        about = ref(fresh_id("m"), campaign, variant)
        await ready.feed("message", [outcome("sent", NOON - 2 * DAY, contact, about)])
    await ready.feed("contact", [started(NOON - 2 * DAY + HOUR, bob, "t1")])
    facts = Recipients(ready.pool, ready.clock.now, ready.definitions.window)
    experiment = Experiment(
        campaign_id=campaign,
        goal="revenue",
        conversion_id=one.conversion_id,
        window_ms=DAY,
    )
    found, currency, _ = await facts.gathered(experiment)
    assert currency == "EUR"
    assert {variant: line.y for (variant, _), line in found.lines.items()} == {"a": 0, "b": 120}

"""What one contact does in journeys, step by step, without a service around it."""

from services.segment.engine.actions import SendAction, StartAction
from services.segment.engine.journeys.model import (
    ActionStep,
    Arm,
    JourneyDefinition,
    JourneyRecord,
    Journeys,
    SplitStep,
    Start,
    Step,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.journeys.moves import MOST_INSTANCES, MOST_STEPS
from services.segment.engine.journeys.splits import drawn
from services.segment.engine.membership import decide, pass_time
from services.segment.engine.model import Happening
from services.segment.engine.rules import Rules
from services.segment.engine.state import ContactState
from services.segment.tests.test_journey_exactness import COMPILER, LONG_AGO

NOW = 1_790_000_000_000
HOUR = 3_600_000
ANNE, BOB = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SPLIT = SplitStep((Arm("a", 1, "wait"), Arm("b", 1, "wait")))
DIVIDED = (Step("split", SPLIT), Step("wait", WaitStep(duration=HOUR)))


def rules(*definitions: JourneyDefinition) -> Rules:
    records = tuple(
        JourneyRecord(one, "", "", "active", 1, LONG_AGO, LONG_AGO) for one in definitions
    )
    return Rules(1, (), (), COMPILER, journeys=Journeys(records))


def journey(journey_id: str, *steps: Step, **fields) -> JourneyDefinition:
    return JourneyDefinition(journey_id, journey_id, 1, steps, **fields)


def starts(who: str, journey_id: str, time: int, cart: str = "") -> Happening:
    order = Start(journey_id, f"{journey_id}/{cart}/{time}", {"cart": cart})
    return Happening(f"start/{who}/{journey_id}/{cart}/{time}", who, time, "", orders=(order,))


def outcomes(outcome) -> list[str]:
    return [visit.outcome for visit in outcome.visits]


def test_the_arm_of_a_split_stays_when_contacts_become_one() -> None:
    engine = rules(*(journey(f"j{n}", *DIVIDED, restart=0) for n in range(12)))
    different = [
        f"j{n}"
        for n in range(12)
        if drawn(f"j{n}", "split", SPLIT, ANNE) != drawn(f"j{n}", "split", SPLIT, BOB)
    ]
    assert different, "the draw depends on the contact"
    states: dict[str, ContactState] = {ANNE: ContactState(), BOB: ContactState()}
    begun = decide(engine, states, [starts(BOB, one, NOW) for one in different], NOW, 0)
    first = outcomes(begun)
    states[BOB] = begun.states[BOB]
    merge = Happening("m", ANNE, NOW + 1, "contact_merged", absorbed=BOB)
    merged = decide(engine, states, [merge], NOW + 1, 0)
    over = pass_time(engine, {ANNE: merged.states[ANNE]}, NOW + 2 * HOUR, 0)
    later = NOW + 3 * HOUR
    state = ContactState.from_bytes(over.states[ANNE].to_bytes())
    again = decide(engine, {ANNE: state}, [starts(ANNE, one, later) for one in different], later, 0)
    assert outcomes(again) == first


def test_nobody_is_in_more_journeys_than_can_be_carried() -> None:
    engine = rules(journey("j", Step("wait", WaitStep(duration=HOUR)), key="parameters.cart"))
    orders = [starts(ANNE, "j", NOW, f"c{n}") for n in range(MOST_INSTANCES + 20)]
    outcome = decide(engine, {ANNE: ContactState()}, orders, NOW, 0)
    assert len(outcome.states[ANNE].journeys.instances) == MOST_INSTANCES


def test_after_a_long_outage_a_short_circle_goes_on_from_the_present() -> None:
    engine = rules(
        journey(
            "j",
            Step("wait", WaitStep(duration=1_000), "send"),
            Step("send", ActionStep(SendAction("cmp_1")), "wait"),
        )
    )
    begun = decide(engine, {ANNE: ContactState()}, [starts(ANNE, "j", NOW)], NOW, 0)
    later = NOW + 24 * HOUR
    outcome = pass_time(engine, {ANNE: begun.states[ANNE]}, later, 0)
    assert len(outcome.visits) <= MOST_STEPS + 10
    due = outcome.states[ANNE].next_due()
    assert due is not None
    assert later < due <= later + 1_000


def test_a_circle_that_never_waits_in_fact_fails_and_harms_nobody_else() -> None:
    engine = rules(
        journey(
            "j",
            Step("until", WaitUntilStep("true"), "send"),
            Step("send", ActionStep(SendAction("cmp_1")), "until"),
        ),
        journey("k", Step("wait", WaitStep(duration=HOUR))),
    )
    orders = [starts(ANNE, "j", NOW), starts(ANNE, "k", NOW)]
    outcome = decide(engine, {ANNE: ContactState()}, orders, NOW, 0)
    states = {one.journey_id: one.state for one in outcome.instances.values()}
    assert states == {"j": "failed", "k": "waiting"}
    assert len(outcome.visits) == MOST_STEPS


def test_what_starts_a_journey_also_ends_the_one_before_it() -> None:
    again = Step("go", ActionStep(StartAction("k", {"cart": "parameters.cart"})))
    engine = rules(
        journey("j", again, restart=0),
        journey(
            "k",
            Step("wait", WaitStep(duration=HOUR)),
            goal='events("order_completed").exists()',
            restart=0,
        ),
    )
    begun = decide(engine, {ANNE: ContactState()}, [starts(ANNE, "j", NOW)], NOW, 0)
    order = Happening(
        "o", ANNE, NOW + 5, "order_completed", orders=(Start("j", "second", {"cart": "c"}),)
    )
    outcome = decide(engine, {ANNE: begun.states[ANNE]}, [order], NOW + 5, 0)
    found = sorted(one.state for one in outcome.instances.values() if one.journey_id == "k")
    assert found == ["goal_reached", "waiting"]


def test_what_comes_late_ends_a_wait_that_lasts_and_not_one_that_is_over() -> None:
    until = WaitUntilStep('events("order_completed").exists()', HOUR, "late")
    engine = rules(
        journey(
            "j",
            Step("until", until, "thanks"),
            Step("thanks", ActionStep(SendAction("cmp_thanks"))),
            Step("late", ActionStep(SendAction("cmp_late"))),
        )
    )
    begun = decide(engine, {ANNE: ContactState()}, [starts(ANNE, "j", NOW)], NOW, 0)
    kept = begun.states[ANNE].to_bytes()
    order = Happening("o", ANNE, NOW + 1_000, "order_completed")
    moved = Happening("x", ANNE, NOW + 2_000, "cart_updated")

    def sent(*batches: tuple[list[Happening], int]) -> list[str]:
        state, found = ContactState.from_bytes(kept), []
        for batch, now in batches:
            outcome = decide(engine, {ANNE: state}, batch, now, 0)
            state = outcome.states.get(ANNE, state)
            found += [one.campaign_id for one in outcome.reached if one.campaign_id]
        return found

    assert sent(([moved], NOW + 3_000), ([order], NOW + 4_000)) == ["cmp_thanks"]
    assert sent(([moved], NOW + 2 * HOUR), ([order], NOW + 2 * HOUR)) == ["cmp_late"]

"""The composition root of the segment service."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp

from chassis.answers import Answers
from chassis.app import Platform, platform, serving, tasks
from chassis.privacy import Erasures
from chassis.settings import from_env
from chassis.streams import Consumer, Watch
from chassis.webhooks import secrets_of
from merhaba.audit import v1 as audit
from merhaba.profile.v1 import ProfileServiceStub, RegistryServiceStub
from merhaba.segment.v1 import (
    add_CatalogServiceServicer_to_server,
    add_JourneyServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services import POLICY
from services.segment.api.catalog import CatalogApi
from services.segment.api.journey_views import JourneyViews
from services.segment.api.journeys import JourneyApi
from services.segment.api.members import Members
from services.segment.api.occurrences import Occurrences
from services.segment.api.previews import Previews
from services.segment.api.privacy import PrivacyApi
from services.segment.api.segments import SegmentApi
from services.segment.api.trials import Trials
from services.segment.api.triggers import TriggerApi
from services.segment.config import SegmentSettings, attributes_of, events_of
from services.segment.defining.action_checks import Webhooks as WebhookRules
from services.segment.defining.journeys import JourneyDefinitions
from services.segment.defining.segments import SegmentDefinitions
from services.segment.defining.triggers import TriggerDefinitions
from services.segment.engine.definitions import Sources
from services.segment.engine.membership import Membership
from services.segment.engine.rules import Compiler
from services.segment.jobs.attributes import Attributes
from services.segment.jobs.backfill import Backfills
from services.segment.jobs.catalog import Catalog
from services.segment.jobs.consumer import GROUP, TOPIC, Ears, Intake
from services.segment.jobs.declarations import Declarations
from services.segment.jobs.declared import Declared
from services.segment.jobs.deeds import Deeds
from services.segment.jobs.deeds_store import DeedsStore
from services.segment.jobs.fanouts import Fanouts
from services.segment.jobs.place_definitions import PlaceDefinitions
from services.segment.jobs.rebuild import Rebuilds
from services.segment.jobs.sweeps import Sweeps
from services.segment.jobs.things_intake import ThingsIntake
from services.segment.jobs.things_store import ThingsStore
from services.segment.jobs.timers import Timers
from services.segment.jobs.webhooks import webhooks
from services.segment.names import Names
from services.segment.tables.contacts import SegmentStore
from services.segment.tables.definitions import DefinitionsStore
from services.segment.tables.fanouts import FanoutsStore
from services.segment.tables.held import Held
from services.segment.tables.journeys import JourneyStore
from services.segment.tables.stage_map import StageMap
from services.segment.tables.stays import Stays
from services.segment.tables.sweeps import SweepsStore
from services.segment.weather.open_meteo import OpenMeteo
from services.segment.weather.store import WeatherStore
from services.segment.weather.watch import WeatherWatch

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_SERVICES: Final = (
    *("SegmentService", "TriggerService", "JourneyService"),
    *("CatalogService", "PrivacyService"),
)


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = from_env(SegmentSettings)
    names = Names(
        events_of(settings.extra_events),
        attributes_of(settings.extra_attributes),
        weather=bool(settings.weather_url),
    )
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("segment", settings, POLICY))
        compiler = Compiler(names.anything)
        store = SegmentStore(base.pool, base.effects, names)
        kept = DefinitionsStore(base.pool, base.effects)
        held = Held(base.pool, base.clock)
        ears = Ears(base.log, base.clock)
        membership = Membership(store, base.clock, compiler, settings.trigger_max_age_s, ears.heard)
        sources = Sources(compiler, names.registry)
        segments = SegmentDefinitions(kept, base.clock, sources)
        secrets = secrets_of(settings.webhook_secrets.get_secret_value())
        allowed = WebhookRules(frozenset(secrets), settings.webhook_inside)
        triggers = TriggerDefinitions(kept, base.clock, sources, allowed)
        calls = await stack.enter_async_context(webhooks(secrets, settings.webhook_inside))
        await membership.reload()
        profile = await stack.enter_async_context(
            base.mesh.channel("profile", settings.profile_target, purpose="segments")
        )
        histories = ProfileServiceStub(profile)
        attributes = Attributes(histories)
        deeds = Deeds(DeedsStore(base.pool), membership, calls.call, attributes.put, base.clock)
        backfills = Backfills(kept, segments, membership, histories, base.clock)
        rebuilds = Rebuilds(store, membership, histories, base.clock)
        things = ThingsStore(base.pool)
        fanouts = FanoutsStore(base.pool)
        catalog = Catalog(things, fanouts, membership, base.clock)
        told = ThingsIntake(PlaceDefinitions(kept, base.clock, sources), catalog)
        places = Consumer(base.log, GROUP, ["inbound.track"], told.handle)
        stays = Stays(base.pool, base.clock, timedelta(days=settings.membership_history_days))
        answers = Answers(base.pool, base.clock)
        declarations = Declarations(kept, base.pool, base.clock, names, compiler)
        declared = Declared(declarations, RegistryServiceStub(profile), base.clock)
        consumer = Consumer(base.log, GROUP, [TOPIC], Intake(membership, held.erase).handle)
        own = base.mesh.server()
        add_SegmentServiceServicer_to_server(
            SegmentApi(
                segments,
                kept,
                membership,
                compiler,
                Members(kept, membership, histories, stays, names.personal),
                Previews(kept, segments, compiler, histories, base.clock),
                Watch(base.log, base.clock),
                answers,
                declared,
            ),
            own,
        )
        add_CatalogServiceServicer_to_server(CatalogApi(things), own)
        add_TriggerServiceServicer_to_server(
            TriggerApi(
                triggers,
                kept,
                membership,
                declared,
                Occurrences(base.pool, membership),
                Trials(triggers, membership, compiler, histories, base.clock, names.personal),
                answers,
            ),
            own,
        )
        journeys = JourneyStore(base.pool)
        add_JourneyServiceServicer_to_server(
            JourneyApi(
                JourneyDefinitions(kept, base.clock, sources, allowed),
                kept,
                journeys,
                JourneyViews(journeys, StageMap(base.pool), base.clock),
                membership,
                declared,
                answers,
                base.clock,
            ),
            own,
        )
        add_PrivacyServiceServicer_to_server(
            PrivacyApi(held, Erasures(base.pool, "segment", base.clock), base.clock), own
        )
        base.audit.serve(audit, own)
        weather = await _weather(stack, settings, base, membership)
        await stack.enter_async_context(
            tasks(
                consumer.run,
                places.run,
                Timers(membership).run,
                Fanouts(fanouts, membership, base.clock).run,
                catalog.run,
                *weather,
                deeds.run,
                Sweeps(SweepsStore(base.pool), membership, base.clock).run,
                backfills.run,
                rebuilds.run,
                stays.run,
                answers.run,
                declared.run,
            )
        )
        await stack.enter_async_context(
            serving(own, settings, [f"merhaba.segment.v1.{name}" for name in _SERVICES])
        )
        await stop.wait()


async def _weather(
    stack: AsyncExitStack, settings: SegmentSettings, base: Platform, membership: Membership
) -> list[Callable[[], Awaitable[None]]]:
    """What keeps the weather, when there is somewhere to get it."""
    if not settings.weather_url:
        return []
    session = await stack.enter_async_context(aiohttp.ClientSession())
    key = settings.weather_api_key.get_secret_value()
    source = OpenMeteo(session, settings.weather_url, base.clock, key)
    refresh = timedelta(seconds=settings.weather_refresh_s)
    store = WeatherStore(base.pool)
    return [WeatherWatch(store, source, membership, base.clock, refresh).run]

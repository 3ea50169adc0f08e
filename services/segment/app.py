"""The composition root of the segment service."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from chassis.answers import Answers
from chassis.app import platform, serving, tasks
from chassis.privacy import Erasures
from chassis.rpc import channel, server
from chassis.settings import from_env
from chassis.streams import Consumer, Watch
from merhaba.profile.v1 import ProfileServiceStub, RegistryServiceStub
from merhaba.segment.v1 import (
    add_CatalogServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services.segment.api import SegmentApi
from services.segment.backfill import Backfills
from services.segment.catalog_api import CatalogApi
from services.segment.config import SegmentSettings, attributes_of, events_of
from services.segment.consumer import GROUP, Intake
from services.segment.declared import Declared
from services.segment.definitions import Sources
from services.segment.definitions_store import DefinitionsStore
from services.segment.held import Held
from services.segment.members import Members
from services.segment.membership import Membership
from services.segment.names import Names
from services.segment.place_definitions import PlaceDefinitions
from services.segment.previews import Previews
from services.segment.privacy_api import PrivacyApi
from services.segment.rebuild import Rebuilds
from services.segment.rules import Compiler
from services.segment.segment_definitions import SegmentDefinitions
from services.segment.stays import Stays
from services.segment.store import SegmentStore
from services.segment.things_intake import ThingsIntake
from services.segment.things_store import ThingsStore
from services.segment.timers import Timers
from services.segment.trigger_api import TriggerApi
from services.segment.trigger_definitions import TriggerDefinitions

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_SERVICES: Final = ("SegmentService", "TriggerService", "CatalogService", "PrivacyService")


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = from_env(SegmentSettings)
    token = settings.api_token.get_secret_value()
    names = Names(events_of(settings.extra_events), attributes_of(settings.extra_attributes))
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("segment", settings))
        compiler = Compiler(names.anything)
        store = SegmentStore(base.pool, base.effects, names)
        kept = DefinitionsStore(base.pool, base.effects)
        held = Held(base.pool, base.clock)
        membership = Membership(store, base.clock, compiler, settings.trigger_max_age_s)
        sources = Sources(compiler, names.registry)
        segments = SegmentDefinitions(kept, base.clock, sources)
        triggers = TriggerDefinitions(kept, base.clock, sources)
        await membership.reload()
        profile = await stack.enter_async_context(
            channel(settings.profile_target, token, purpose="segments")
        )
        histories = ProfileServiceStub(profile)
        backfills = Backfills(kept, segments, membership, histories, base.clock)
        rebuilds = Rebuilds(store, membership, histories, base.clock)
        things = ThingsStore(base.pool)
        told = ThingsIntake(PlaceDefinitions(kept, base.clock, sources), things)
        places = Consumer(base.log, GROUP, ["inbound.track"], told.handle)
        stays = Stays(base.pool, base.clock, timedelta(days=settings.membership_history_days))
        answers = Answers(base.pool, base.clock)
        declared = Declared(base.pool, names, RegistryServiceStub(profile), base.clock)
        consumer = Consumer(base.log, GROUP, ["contact"], Intake(membership, held.erase).handle)
        own = server("segment", token)
        add_SegmentServiceServicer_to_server(
            SegmentApi(
                segments,
                kept,
                membership,
                compiler,
                Members(kept, membership, histories, stays),
                Previews(kept, segments, compiler, histories, base.clock),
                Watch(base.log, base.clock),
                answers,
                declared,
            ),
            own,
        )
        add_CatalogServiceServicer_to_server(CatalogApi(things), own)
        add_TriggerServiceServicer_to_server(
            TriggerApi(triggers, kept, membership, declared),  # type: ignore[abstract]  # RPCs that do not exist yet answer UNIMPLEMENTED
            own,
        )
        add_PrivacyServiceServicer_to_server(
            PrivacyApi(held, Erasures(base.pool, "segment", base.clock), base.clock), own
        )
        await stack.enter_async_context(
            tasks(
                consumer.run,
                places.run,
                Timers(membership).run,
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

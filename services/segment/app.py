"""The composition root of the segment service."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from chassis.app import platform, serving, tasks
from chassis.rpc import channel, server
from chassis.settings import from_env
from chassis.streams import Consumer
from expressions import Registry
from merhaba.profile.v1 import ProfileServiceStub
from merhaba.segment.v1 import (
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services.segment.api import SegmentApi
from services.segment.backfill import Backfills
from services.segment.config import SegmentSettings, attributes_of, events_of
from services.segment.consumer import GROUP, Intake
from services.segment.definitions import Sources
from services.segment.definitions_store import DefinitionsStore
from services.segment.membership import Membership
from services.segment.privacy_api import PrivacyApi
from services.segment.rules import Compiler
from services.segment.segment_definitions import SegmentDefinitions
from services.segment.store import SegmentStore
from services.segment.timers import Timers
from services.segment.trigger_api import TriggerApi
from services.segment.trigger_definitions import TriggerDefinitions
from services.segment.vocabulary import registry

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_SERVICES: Final = ("SegmentService", "TriggerService", "PrivacyService")


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = from_env(SegmentSettings)
    token = settings.api_token.get_secret_value()

    def vocabulary(segments: Iterable[str] | None) -> Registry:
        declared = attributes_of(settings.extra_attributes)
        return registry(events_of(settings.extra_events), declared, segments)

    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("segment", settings))
        compiler = Compiler(vocabulary(None))
        store = SegmentStore(base.pool, base.effects)
        kept = DefinitionsStore(base.pool, base.effects)
        membership = Membership(store, base.clock, compiler, settings.trigger_max_age_s)
        sources = Sources(compiler, vocabulary)
        segments = SegmentDefinitions(kept, base.clock, sources)
        triggers = TriggerDefinitions(kept, base.clock, sources)
        await membership.reload()
        profile = await stack.enter_async_context(channel(settings.profile_target, token))
        backfills = Backfills(
            kept,
            segments,
            membership,
            ProfileServiceStub(profile),
            base.clock,
        )
        consumer = Consumer(base.log, GROUP, ["contact"], Intake(membership).handle)
        own = server("segment", token)
        add_SegmentServiceServicer_to_server(
            SegmentApi(segments, kept, membership, compiler),  # type: ignore[abstract]  # RPCs that do not exist yet answer UNIMPLEMENTED
            own,
        )
        add_TriggerServiceServicer_to_server(
            TriggerApi(triggers, kept, membership),  # type: ignore[abstract]  # as above
            own,
        )
        add_PrivacyServiceServicer_to_server(PrivacyApi(store, kept, base.clock), own)
        await stack.enter_async_context(tasks(consumer.run, Timers(membership).run, backfills.run))
        await stack.enter_async_context(
            serving(own, settings, [f"merhaba.segment.v1.{name}" for name in _SERVICES])
        )
        await stop.wait()

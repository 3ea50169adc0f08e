"""The sender put together."""

import asyncio
import random
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from aiohttp import ClientTimeout

from chassis.answers import Answers
from chassis.app import platform, serving, tasks
from chassis.outbound import outbound
from chassis.privacy import Erasures
from chassis.reads import Reads
from chassis.settings import from_env
from chassis.streams import Consumer, Watch
from chassis.transient import keep_at, transient
from merhaba.audit import v1 as audit
from merhaba.sender.v1 import (
    add_CampaignServiceServicer_to_server,
    add_FileServiceServicer_to_server,
    add_MessageServiceServicer_to_server,
    add_NumberServiceServicer_to_server,
    add_PolicyServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_RateCardServiceServicer_to_server,
    add_TemplateServiceServicer_to_server,
)
from services import POLICY
from services.sender import measuring
from services.sender.api.backlog import Backlog
from services.sender.api.explaining import Explaining
from services.sender.api.files import FileApi
from services.sender.api.intents import Intents
from services.sender.api.messages import MessageApi
from services.sender.api.numbers import NumberApi
from services.sender.api.policies import PolicyApi
from services.sender.api.privacy import PrivacyApi
from services.sender.api.rate_cards import RateCardApi
from services.sender.api.watching import Watching
from services.sender.body import content_of
from services.sender.campaigns.assembly import assembled
from services.sender.campaigns.stopping import Stopping
from services.sender.config import SenderSettings
from services.sender.confirming import Confirming, Words
from services.sender.consumer import (
    AccountConsumer,
    ContactConsumer,
    SignalConsumer,
    StatusConsumer,
)
from services.sender.delivery.dispatch import Dispatcher, Limits
from services.sender.files.downloads import Downloads
from services.sender.files.library import Files
from services.sender.files.store import FileStore
from services.sender.files.uploads import Uploads
from services.sender.in_line import Line
from services.sender.numbers.keeping import Keeping
from services.sender.numbers.store import NumberStore
from services.sender.outside.cloud_api import cloud_api
from services.sender.outside.neighbours import Neighbours
from services.sender.outside.post import Post
from services.sender.rulebook.policy_store import PolicyStore
from services.sender.rulebook.rate_card_store import RateCardStore
from services.sender.rulebook.recalling import Recalling
from services.sender.rulebook.tiers import TierStore
from services.sender.tables.held import Held
from services.sender.tables.naming import Named
from services.sender.tables.outbox import Outbox
from services.sender.tables.people import PeopleStore
from services.sender.templates.api import TemplateApi
from services.sender.templates.registry import Registry
from services.sender.templates.samples import Samples
from services.sender.templates.store import RegistryStore
from services.sender.templates.syncing import Syncing
from services.sender.templates.wire import unsubmitted
from services.sender.throttle import RedisThrottle
from services.sender.vocabulary import Vocabulary
from services.sender.wording.previewing import Previewing

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOOK_EVERY: Final = timedelta(seconds=10)
_PACKAGE: Final = "merhaba.sender.v1"
_SERVICES: Final = (
    *("Message", "Campaign", "Template", "Number", "File", "Policy", "RateCard", "Privacy"),
)
_OUTSIDE: Final = 32  # connections to addresses that callers and Meta name
_LEASE_AFTER_CALL_S: Final = 30  # longer than an outcome waits to be written
_SLOTS: Final = 16  # rows of one count of messages, so that replicas rarely share one
_logger = structlog.get_logger()


async def main(stop: asyncio.Event) -> None:
    """Run the sender until told to stop."""
    settings = from_env(SenderSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("sender", settings, POLICY))
        channels = [
            await stack.enter_async_context(base.mesh.channel(name, target, waits=True))
            for name, target in (
                ("profile", settings.profile_target),
                ("segment", settings.segment_target),
                ("ingest", settings.ingest_target),
            )
        ]
        neighbours = Neighbours(*channels)
        graph = await stack.enter_async_context(
            cloud_api(
                settings.cloud_api_url,
                settings.cloud_api_version,
                settings.tokens(),
                settings.call_timeout_s,
            )
        )
        call_s = settings.call_timeout_s + settings.media_timeout_s
        limits = Limits(
            concurrency=settings.send_concurrency,
            lease_ms=int((call_s + _LEASE_AFTER_CALL_S) * 1000),
            call_ms=int(call_s * 1000),
        )
        outbox = Outbox(base.pool, base.effects, secrets.randbelow(_SLOTS))
        people = PeopleStore(base.effects)
        held = Held(base.pool, base.effects, base.clock)

        async def forget(contact_id: str) -> None:
            await held.erase(Named([contact_id]))

        shelf = RegistryStore(base.pool, base.effects, base.clock)
        numbers = NumberStore(base.pool, base.effects)
        file_store = FileStore(base.pool)
        outside = await stack.enter_async_context(
            outbound(
                ClientTimeout(total=settings.media_timeout_s, sock_connect=5.0),
                _OUTSIDE,
                inside=settings.media_inside,
            )
        )
        files = Files(file_store, outside, base.clock, transient)
        uploads = Uploads(file_store, graph, base.clock, settings.media_timeout_s)
        throttle = RedisThrottle(base.log)
        stopping = Stopping(base.pool, base.clock)
        dispatcher = Dispatcher(
            outbox,
            neighbours,
            Post(graph, numbers, uploads, base.clock, transient),
            throttle,
            base.clock,
            random.random,
            limits,
            transient,
            stopping.stops,
            measuring.waited,
        )
        confirming = Confirming(
            outbox,
            neighbours,
            Words(settings.stopped_text_tr, settings.resumed_text_tr),
            Words(settings.stopped_text_en, settings.resumed_text_en),
            base.clock,
            dispatcher.wake,
        )
        recalling = Recalling(base.pool, base.clock, dispatcher.wake)
        samples = Samples(files, file_store, graph, settings.media_timeout_s)
        every = timedelta(hours=settings.template_sync_hours)
        syncing = Syncing(shelf, graph, base.clock, every, _warn)
        answers = Answers(base.pool, base.clock)
        keeping = Keeping(numbers, graph, base.clock, transient, _warn)
        intents = Intents(outbox, neighbours, numbers, shelf, files, base.clock)
        campaigns = assembled(
            base.pool,
            base.effects,
            neighbours,
            file_store,
            outbox,
            intents.contact,
            throttle,
            base.clock,
            dispatcher.wake,
        )
        explaining = Explaining(outbox, neighbours, campaigns.store, intents, throttle, base.clock)
        previewing = Previewing(
            shelf,
            campaigns.store,
            neighbours,
            Vocabulary(channels[0]),
            file_store,
            unsubmitted,
            lambda body: content_of(body).template,
            base.clock,
        )
        kept = timedelta(days=settings.reads_kept_days)
        reads = Reads(base.pool, base.clock, kept, ("message_id",))
        own = base.mesh.server()
        add_MessageServiceServicer_to_server(
            MessageApi(
                *(outbox, intents, explaining, numbers, graph, dispatcher),
                Watching(Watch(base.log, base.clock), outbox),
                reads,
                Backlog(outbox.waiting, base.clock),
            ),
            own,
        )
        add_CampaignServiceServicer_to_server(campaigns.api, own)
        add_TemplateServiceServicer_to_server(
            TemplateApi(
                Registry(shelf, graph, samples), shelf, syncing, answers, previewing.preview
            ),
            own,
        )
        add_NumberServiceServicer_to_server(
            NumberApi(numbers, keeping, throttle, graph.authorised), own
        )
        add_FileServiceServicer_to_server(
            FileApi(files, file_store, numbers, uploads, Downloads(graph, outside)), own
        )
        add_PolicyServiceServicer_to_server(
            PolicyApi(PolicyStore(base.pool), recalling.call, base.clock), own
        )
        add_RateCardServiceServicer_to_server(
            RateCardApi(RateCardStore(base.pool), recalling.call, base.clock), own
        )
        erasures = Erasures(base.pool, "sender", base.clock)
        add_PrivacyServiceServicer_to_server(PrivacyApi(held, erasures, base.clock), own)
        base.audit.serve(audit, own)
        account = AccountConsumer(shelf, numbers, TierStore(base.effects))
        line = Line(base.pool, outbox.numbers, throttle, base.clock)
        heard = ContactConsumer(outbox, people, forget, confirming.confirm, dispatcher.heard)
        consumers = [
            Consumer(base.log, group, [topic], handle, hurry=hurry)
            for group, topic, handle, hurry in (
                ("sender.status", "inbound.status", StatusConsumer(outbox).handle, True),
                ("sender.signal", "signal", SignalConsumer(campaigns.planner).handle, True),
                ("sender.contact", "contact", heard.handle, True),
                ("sender.account", "inbound.message", account.handle, False),
            )
        ]
        await stack.enter_async_context(
            tasks(
                dispatcher.run,
                campaigns.plan,
                campaigns.keeper.run,
                campaigns.keeper.forget,
                stopping.run,
                recalling.run,
                keeping.run,
                files.run,
                syncing.run,
                answers.run,
                reads.forget,
                partial(keep_at, line.look, base.clock, _LOOK_EVERY, "what waits is not looked at"),
                *(consumer.run for consumer in consumers),
            )
        )
        await stack.enter_async_context(
            serving(own, settings, [f"{_PACKAGE}.{name}Service" for name in _SERVICES])
        )
        await stop.wait()


def _warn(what: str, error: BaseException) -> None:
    _logger.warning(what, error=type(error).__name__)

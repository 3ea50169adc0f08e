"""The composition root of profile."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

from chassis.answers import Answers
from chassis.app import platform, serving, tasks
from chassis.settings import from_env
from chassis.streams import Consumer, Watch
from merhaba.audit import v1 as audit
from merhaba.profile.v1.privacy_service_pb2_grpc import add_PrivacyServiceServicer_to_server
from merhaba.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server
from merhaba.profile.v1.reach_service_pb2_grpc import add_ReachServiceServicer_to_server
from merhaba.profile.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from services import POLICY
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import PrivacyApi, Rights
from services.profile.api.reach import ReachApi
from services.profile.api.registry import RegistryApi
from services.profile.config import ProfileSettings
from services.profile.jobs.consumer import recording
from services.profile.jobs.due import Due
from services.profile.jobs.recompute import Recompute
from services.profile.person import tongue
from services.profile.person.directory import Directory
from services.profile.person.identity import BlindIndex
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.erasing import Erasing
from services.profile.rights.erasures import Erasures
from services.profile.rights.exporting import Exporting
from services.profile.rights.holders import HOLDERS, Holder
from services.profile.rights.ledger import Ledger
from services.profile.rights.records import Records
from services.profile.rights.retention import Retention
from services.profile.tables.contacts import ContactStore
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys, decoded

# A group for each lane, so that however much the business tracks, people do not wait behind it.
LANES = {
    "profile.message": "inbound.message",
    "profile.track": "inbound.track",
    "profile.outcome": "message",
}

AT_ONCE = 2
"""Consumers of each lane, each with its own streams: one waits for Postgres, another thinks."""

SPARE = 2
"""Connections that consumers of large batches may take besides one each, of all lanes together."""


async def main(stop: asyncio.Event) -> None:
    """Run profile until told to stop."""
    settings = from_env(ProfileSettings)
    await asyncio.to_thread(tongue.load)
    async with AsyncExitStack() as stack:
        masters = LocalMasterKeys(settings.master_keys.get_secret_value())
        envelope = Envelope(masters)
        base = await stack.enter_async_context(platform("profile", settings, POLICY, envelope))
        vault = Vault(masters)
        index = BlindIndex(decoded("INDEX_KEY", settings.index_key.get_secret_value()))
        registry = RegistryStore(base.pool, base.clock)
        await registry.current()  # its first expression takes the language most of a second
        store = ContactStore(
            base.pool, base.effects, vault, index, registry, base.clock, new_contact_id
        )
        directory = Directory(store)
        answers = Answers(base.pool, base.clock, envelope)
        categories = CategoryStore(base.pool)
        region = settings.default_region
        reads = Reads(base.pool, base.clock, timedelta(days=settings.reads_kept_days))
        own = base.mesh.server()
        add_ProfileServiceServicer_to_server(
            ProfileApi(
                directory,
                reads,
                answers,
                Watch(base.log, base.clock),
                base.clock,
                region,
                registry,
                categories,
            ),
            own,
        )
        base.audit.serve(audit, own)
        holders: dict[str, Holder] = {}
        for name in HOLDERS:
            target = getattr(settings, f"{name}_target")
            opened = base.mesh.channel(name, target, purpose="rights of the person")
            holders[name] = Holder(name, await stack.enter_async_context(opened))
        erasures = Erasures(
            base.pool, base.effects, vault, envelope, index, base.clock, tuple(holders)
        )
        erasing = Erasing(erasures, holders, base.clock)
        rights = Rights(
            Ledger(base.pool, vault, store),
            Exporting(Records(base.pool, store, reads), holders),
            erasures,
            erasing,
            categories,
            settings.controller,
        )
        add_PrivacyServiceServicer_to_server(
            PrivacyApi(directory, reads, answers, base.clock, region, rights), own
        )
        recompute = Recompute(base.pool, base.effects, vault, registry, base.clock)
        add_ReachServiceServicer_to_server(ReachApi(directory, reads, base.clock), own)
        add_RegistryServiceServicer_to_server(RegistryApi(registry, recompute, answers), own)
        due = Due(base.pool, base.effects, vault, registry, base.clock)
        spare = asyncio.Semaphore(SPARE)
        consumers = [
            Consumer(
                base.log,
                group,
                [topic],
                recording(directory, base.clock, group, spare),
                part,
                AT_ONCE,
            )
            for group, topic in LANES.items()
            for part in range(AT_ONCE)
        ]
        await stack.enter_async_context(
            tasks(
                answers.run,
                reads.run,
                reads.forget,
                registry.run,
                recompute.run,
                due.run,
                erasing.run,
                Retention(base.pool, categories, registry, store, base.clock).run,
                *(consumer.run for consumer in consumers),
            )
        )
        names = [
            "merhaba.profile.v1.ProfileService",
            "merhaba.profile.v1.PrivacyService",
            "merhaba.profile.v1.RegistryService",
            "merhaba.profile.v1.ReachService",
        ]
        await stack.enter_async_context(serving(own, settings, names))
        await stop.wait()


def new_contact_id() -> str:
    """A UUID that sorts by the moment of its making (RFC 9562, version 7), so that new contacts
    stand side by side in tables and indexes."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(raw)))

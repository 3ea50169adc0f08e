"""The composition root of profile."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from uuid import UUID

from chassis.answers import Answers
from chassis.app import platform, serving, tasks
from chassis.rpc import server
from chassis.settings import from_env
from chassis.streams import Consumer
from merhaba.profile.v1.privacy_service_pb2_grpc import add_PrivacyServiceServicer_to_server
from merhaba.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server
from services.profile.api import ProfileApi
from services.profile.config import ProfileSettings
from services.profile.consumer import recording
from services.profile.directory import Directory
from services.profile.privacy_api import PrivacyApi
from services.profile.store import ContactStore

# A group for each lane, so that however much the business tracks, people do not wait behind it.
LANES = {
    "profile.message": "inbound.message",
    "profile.track": "inbound.track",
    "profile.outcome": "message",
}


async def main(stop: asyncio.Event) -> None:
    """Run profile until told to stop."""
    settings = from_env(ProfileSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("profile", settings))
        store = ContactStore(base.pool, base.effects, base.clock, new_contact_id)
        directory = Directory(store)
        answers = Answers(base.pool, base.clock)
        region = settings.default_region
        own = server("profile", settings.api_token.get_secret_value())
        add_ProfileServiceServicer_to_server(
            ProfileApi(directory, answers, base.clock, region),  # type: ignore[abstract]  # RPCs that do not exist yet answer UNIMPLEMENTED
            own,
        )
        add_PrivacyServiceServicer_to_server(
            PrivacyApi(directory, answers, base.clock, region),  # type: ignore[abstract]  # as above
            own,
        )
        consumers = [
            Consumer(base.log, group, [topic], recording(directory, base.clock, group))
            for group, topic in LANES.items()
        ]
        await stack.enter_async_context(
            tasks(answers.run, *(consumer.run for consumer in consumers))
        )
        names = ["merhaba.profile.v1.ProfileService", "merhaba.profile.v1.PrivacyService"]
        await stack.enter_async_context(serving(own, settings, names))
        await stop.wait()


def new_contact_id() -> str:
    """A UUID that sorts by the moment of its making (RFC 9562, version 7), so that new contacts
    stand side by side in tables and indexes."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(raw)))

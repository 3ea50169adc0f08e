"""Every span, metric and attribute name in one place, after OpenTelemetry's conventions.

RPC names follow the release candidate of semantic conventions 1.44, messaging names its
development stage; when they change, they change here.
"""

from typing import Final, Literal

Metric = Literal[
    "merhaba.log.appended",  # {event}: events made durable on the log, by topic
    "merhaba.log.flush.duration",  # s: one write of the log, until durable
    "merhaba.consumer.events",  # {event}: events handled, by group
    "merhaba.consumer.batch.size",  # {event}: events in one handled batch, by group
    "merhaba.consumer.batch.duration",  # s: one batch, until acknowledged, by group
    "merhaba.consumer.dead_letters",  # {event}: events given up on, by group
    "merhaba.consumer.claimed",  # {entry}: entries taken over from a silent consumer, by group
    "merhaba.event.age",  # s: from acceptance to effect, by service
    "merhaba.webhook.requests",  # {request}: webhooks by outcome
    "merhaba.webhook.duration",  # s: webhook answer time
    "merhaba.link.clicks",  # {click}: clicks of tracked links by outcome
    "merhaba.sender.calls",  # {call}: Graph API calls by outcome
    "merhaba.profile.links.refused",  # {link}: evidence that would make one person of too many
    "merhaba.profile.events.deleted",  # {event}: events that were kept long enough
    "rpc.server.call.duration",  # s: gRPC calls served, by method and status
]

Span = Literal[
    "webhook",
    "track",
    "profile process",
    "segment process",
    "sender process",
    "reports process",
    "send message",
    "graph call",
]

RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_BATCH: Final = "messaging.batch.message_count"
SERVICE: Final = "service.name"
INSTANCE: Final = "service.instance.id"
OUTCOME: Final = "merhaba.outcome"

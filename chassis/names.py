"""Every span, metric and attribute name in one place, after OpenTelemetry's conventions.

RPC names follow the release candidate of semantic conventions 1.44, messaging names its
development stage; when they change, they change here.
"""

from collections.abc import Mapping
from typing import Final, Literal

Metric = Literal[
    "merhaba.log.appended",
    "merhaba.log.flush.duration",
    "merhaba.consumer.events",
    "merhaba.consumer.batch.size",
    "merhaba.consumer.batch.duration",
    "merhaba.consumer.dead_letters",
    "merhaba.consumer.claimed",
    "merhaba.consumer.lag",
    "merhaba.consumer.pending",
    "merhaba.event.age",
    "merhaba.log.memory",
    "merhaba.outbox.lag",
    "merhaba.database.pool",
    "merhaba.process.memory",
    "merhaba.process.cpu",
    "merhaba.process.loop.delay",
    "merhaba.certificate.remaining",
    "merhaba.webhook.requests",
    "merhaba.webhook.duration",
    "merhaba.link.clicks",
    "merhaba.sender.calls",
    "merhaba.sender.gate.verdicts",
    "merhaba.sender.limiter.wait",
    "merhaba.sender.waiting",
    "merhaba.sender.oldest",
    "merhaba.sender.unknown",
    "merhaba.sender.circuit",
    "merhaba.sender.cost",
    "merhaba.segment.timer.lateness",
    "merhaba.segment.due",
    "merhaba.reports.freshness",
    "merhaba.profile.links.refused",
    "merhaba.profile.events.deleted",
    "rpc.server.call.duration",
    "rpc.client.call.duration",
]

METRICS: Final[Mapping[Metric, tuple[str, str]]] = {
    "merhaba.log.appended": ("{event}", "events made durable on the log, by topic"),
    "merhaba.log.flush.duration": ("s", "one write of the log, until durable"),
    "merhaba.consumer.events": ("{event}", "events handled, by group"),
    "merhaba.consumer.batch.size": ("{event}", "events in one handled batch, by group"),
    "merhaba.consumer.batch.duration": ("s", "one batch, until acknowledged, by group"),
    "merhaba.consumer.dead_letters": ("{event}", "events given up on, by group"),
    "merhaba.consumer.claimed": ("{entry}", "entries taken over from a silent consumer, by group"),
    "merhaba.consumer.lag": ("s", "age of the oldest entry that a group has not handled, by topic"),
    "merhaba.consumer.pending": ("s", "how long the oldest batch has been in hand, by group"),
    "merhaba.event.age": ("s", "from acceptance to effect, by service"),
    "merhaba.log.memory": ("By", "memory of the log's Redis, used and limit"),
    "merhaba.outbox.lag": ("s", "age of the oldest row that is committed and not published"),
    "merhaba.database.pool": (
        "{connection}",
        "by state: used, idle; exhausted: 1 while none is left",
    ),
    "merhaba.process.memory": ("By", "memory that this process holds"),
    "merhaba.process.cpu": ("s", "processor time that this process has used"),
    "merhaba.process.loop.delay": ("s", "how late the event loop runs what is due"),
    "merhaba.certificate.remaining": ("s", "until this process's certificate ends"),
    "merhaba.webhook.requests": ("{request}", "webhooks by outcome"),
    "merhaba.webhook.duration": ("s", "webhook answer time"),
    "merhaba.link.clicks": ("{click}", "clicks of tracked links by outcome"),
    "merhaba.sender.calls": ("{call}", "Graph API calls by outcome"),
    "merhaba.sender.gate.verdicts": ("{verdict}", "what gates decided, by gate and verdict"),
    "merhaba.sender.limiter.wait": ("s", "how long messages waited for a limiter, by lane"),
    "merhaba.sender.waiting": ("{message}", "messages that wait, by lane"),
    "merhaba.sender.oldest": ("s", "how long the oldest that is due has waited, by lane"),
    "merhaba.sender.unknown": ("{message}", "messages whose outcome nobody knows yet"),
    "merhaba.sender.circuit": ("{number}", "business numbers by the state of their circuit"),
    "merhaba.sender.cost": ("{currency}", "what messages cost, by currency and category"),
    "merhaba.segment.timer.lateness": ("s", "from a timer's moment until it was looked at"),
    "merhaba.segment.due": ("s", "how long the oldest timer that is due has waited"),
    "merhaba.reports.freshness": ("s", "age of what reports have counted last"),
    "merhaba.profile.links.refused": ("{link}", "evidence that would make one person of too many"),
    "merhaba.profile.events.deleted": ("{event}", "events that were kept long enough"),
    "rpc.server.call.duration": ("s", "gRPC calls served, by method and status"),
    "rpc.client.call.duration": ("s", "gRPC calls made, by method and status"),
}
"""Unit and meaning of each."""

Span = Literal[
    "webhook",
    "track",
    "profile process",
    "segment process",
    "sender process",
    "reports process",
    "send message",
    "graph call",
    "give up",
]

RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_TOPIC: Final = "messaging.destination.name"
MESSAGING_BATCH: Final = "messaging.batch.message_count"
SERVICE: Final = "service.name"
INSTANCE: Final = "service.instance.id"
ERROR_TYPE: Final = "error.type"
OUTCOME: Final = "merhaba.outcome"
LANE: Final = "merhaba.lane"
STATE: Final = "merhaba.state"
KIND: Final = "merhaba.kind"
PART: Final = "merhaba.part"
GATE: Final = "merhaba.gate"
VERDICT: Final = "merhaba.verdict"
CATEGORY: Final = "merhaba.category"
CURRENCY: Final = "merhaba.currency"

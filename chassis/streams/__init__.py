"""The event log on Redis Streams: durable before acknowledged, at least once, in batches.

The only code of the suite that touches Redis Streams. It moves events as bytes and knows nothing
of what is inside; `merhaba.event.v1.EventBatch` is the contract of an entry.
"""

from chassis.streams.backlog import Backlog, Memory, backlogs, memory
from chassis.streams.consumer import Consumer
from chassis.streams.dead_letters import DeadLetter, DeadLetters
from chassis.streams.eraser import Eraser
from chassis.streams.log import Done, EventLog, Lag, Position, Record, event_log
from chassis.streams.pace import WriteTimes
from chassis.streams.upkeep import Upkeep
from chassis.streams.watch import Watch, readable

__all__ = [
    "Backlog",
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Done",
    "Eraser",
    "EventLog",
    "Lag",
    "Memory",
    "Position",
    "Record",
    "Upkeep",
    "Watch",
    "WriteTimes",
    "backlogs",
    "event_log",
    "memory",
    "readable",
]

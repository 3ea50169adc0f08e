"""Uses an SDK as its owners' programs do; run apart from everything else that is installed.

Arguments: the package of the SDK, then one JSON object: `host`, `key`, `gzip`, `ahead_s` (how far
this machine's clock is ahead) and `many` (how many calls besides one of each kind). Prints lines
of JSON: each answer of the server, at the end each call as the SDK says it sent it, and last what
the SDK told of errors.
"""

import importlib
import json
import logging
import re
import sys
from datetime import UTC, datetime, timedelta


class Answers(logging.Handler):
    """Tells the status of each answer, as the SDK's own HTTP library notes it."""

    def emit(self, record):
        if found := re.search(r'"POST (\S+) HTTP/1.1" (\d+)', record.getMessage()):
            tell(path=found[1], status=int(found[2]))


def tell(**said):
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


package, given = sys.argv[1], json.loads(sys.argv[2])
ahead = timedelta(seconds=given["ahead_s"])


class Wrong(datetime):
    """What this machine takes for the time."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + ahead

    @classmethod
    def utcnow(cls):
        return cls.now(UTC).replace(tzinfo=None)


if ahead:
    for module in ("client", "request"):
        importlib.import_module(f"{package}.{module}").datetime = Wrong

http = logging.getLogger("urllib3.connectionpool")
http.setLevel(logging.DEBUG)
http.addHandler(Answers())
http.propagate = False

errors = []
client = importlib.import_module(f"{package}.client").Client(
    given["key"],
    host=given["host"] + "/",
    gzip=given["gzip"],
    on_error=lambda error, items: errors.append([str(error), len(items)]),
)
order = {
    "order_id": "o-1",
    "total": 12.5,
    "currency": "TRY",
    "gift": False,
    "note": None,
    "products": [{"sku": "çay", "quantity": 2, "price": 6.25}],
}
context = {"ip": "192.0.2.1", "campaign": {"name": "spring"}}
traits = {"email": "A@example.com", "phone": "+447700900123", "city": "İzmir", "age": 41}
sent = [
    client.identify("c1", traits, context=dict(context)),
    client.track("c1", "Order Completed", order, context=dict(context), anonymous_id="a1"),
    client.track(anonymous_id="a2", event="Product Viewed", properties={"sku": "x"}),
    client.page("c1", "Docs", "Start", {"url": "https://shop.example"}),
    client.screen("c1", "Home", "Cart", {"depth": 3}),
    client.group("c1", "g1", {"plan": "x"}),
    client.alias("c0", "c1"),
    client.track(
        "c1",
        "Order Completed",
        order,
        timestamp=Wrong(2024, 5, 17, 12, 30, 15, 250_000, tzinfo=UTC),
        message_id=f"history-of-{given['key']}-{package}-{given['gzip']}",
    ),
    *(client.track(f"c{n}", "Cart Viewed", {"n": n}) for n in range(given["many"])),
]
client.flush()
client.join()
for _, message in sent:
    tell(sent=message)
tell(errors=errors)

"""The real shop history of `samples/online_retail`, and the tracking events it becomes.

The events are items of the tracking HTTP API (Segment's spec). Their messageIds derive from what
happened, so playing the history again changes nothing.
"""

import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

# What the customers are taken to have agreed to; there is no real form behind it.
CONSENT_TEXT = "online-retail-marketing-v1"


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A product on an invoice. On a cancellation the quantity is negative."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    """In pounds sterling."""


class Invoice(msgspec.Struct, frozen=True):
    """An order, or the cancellation of (part of) an earlier one; the data does not say of which."""

    invoice: str
    """The number; cancellations begin with `C`."""
    kind: Literal["order", "cancellation"]
    time: datetime
    customer: str
    country: str
    lines: tuple[Line, ...]
    total: Decimal
    """The sum over the lines in pounds sterling; negative on a cancellation."""


class Customer(msgspec.Struct, frozen=True):
    """A customer of the shop. The phone number is fictional, from a range reserved for that."""

    customer: str
    country: str
    phone: str
    """E.164 with `+`."""
    since: datetime
    """When the history first has them."""


class Samples(msgspec.Struct, frozen=True):
    """The whole history: customers by id in order of appearance, invoices oldest first."""

    customers: dict[str, Customer]
    invoices: tuple[Invoice, ...]

    def shift_to(self, now: datetime) -> timedelta:
        """By how much to move every time so that the last invoice happens at `now`."""
        return now - self.invoices[-1].time


def load(folder: Path) -> Samples:
    """Read the extract; a missing or broken file raises `OSError` or `msgspec.MsgspecError`."""
    customers = msgspec.json.Decoder(Customer).decode_lines(
        (folder / "customers.ndjson").read_bytes()
    )
    invoices = msgspec.json.Decoder(Invoice).decode_lines(
        gzip.decompress((folder / "invoices.ndjson.gz").read_bytes())
    )
    return Samples({c.customer: c for c in customers}, tuple(invoices))


def invoice_event(invoice: Invoice, shift: timedelta = timedelta(0)) -> dict[str, Any]:
    """`Order Completed` or `Order Cancelled`; quantities and totals are positive in both."""
    order = invoice.kind == "order"
    sign = 1 if order else -1
    return {
        "type": "track",
        "messageId": f"invoice:{invoice.invoice}",
        "userId": invoice.customer,
        "timestamp": timestamp(invoice.time + shift),
        "event": "Order Completed" if order else "Order Cancelled",
        "properties": {
            "order_id": invoice.invoice,
            "total": float(sign * invoice.total),
            "currency": "GBP",
            "products": [
                {
                    "sku": line.sku,
                    "name": line.name,
                    "price": float(line.unit_price),
                    "quantity": sign * line.quantity,
                }
                for line in invoice.lines
            ],
        },
    }


def customer_event(customer: Customer, shift: timedelta = timedelta(0)) -> dict[str, Any]:
    """The `identify` call with all that the data knows of a customer, and the fictional phone."""
    return {
        "type": "identify",
        "messageId": f"customer:{customer.customer}",
        "userId": customer.customer,
        "timestamp": timestamp(customer.since + shift),
        "traits": {"phone": customer.phone, "country": customer.country},
    }


def consent_event(customer: Customer, shift: timedelta = timedelta(0)) -> dict[str, Any]:
    """`Consent Granted` for marketing, as a sign-up form of the shop would have sent it."""
    return {
        "type": "track",
        "messageId": f"consent:{customer.customer}:marketing",
        "userId": customer.customer,
        "timestamp": timestamp(customer.since + shift),
        "event": "Consent Granted",
        "properties": {
            "purpose": "marketing",
            "text_version": CONSENT_TEXT,
            "channel": "web_form",
            "proof": f"signup:{customer.customer}",
        },
    }


def timestamp(time: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds: what trackers send."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

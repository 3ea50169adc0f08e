"""The shipped history is real, whole, licensed, and reaches nobody's phone."""

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import phonenumbers
import pytest

from cli.samples import Samples, consent_event, customer_event, invoice_event, load
from tools import make_samples

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "samples" / "online_retail"
ORIGINAL = ROOT.parent / "shared" / "data" / "uci_online_retail" / "online_retail.csv.gz"


@pytest.fixture(scope="module")
def samples() -> Samples:
    return load(FOLDER)


def test_it_spans_at_least_thirty_days_with_products_prices_and_cancellations(samples):
    first, last = samples.invoices[0].time, samples.invoices[-1].time
    assert last - first >= timedelta(days=30)
    assert len({line.sku for invoice in samples.invoices for line in invoice.lines}) > 1000
    kinds = [invoice.kind for invoice in samples.invoices]
    assert kinds.count("order") > 1000
    assert kinds.count("cancellation") > 100


def test_invoices_are_unique_and_stand_in_order_of_time(samples):
    keys = [(invoice.time, invoice.invoice) for invoice in samples.invoices]
    assert keys == sorted(keys)
    assert len({invoice.invoice for invoice in samples.invoices}) == len(samples.invoices)


def test_totals_are_exactly_the_sum_of_their_lines(samples):
    for invoice in samples.invoices:
        assert invoice.lines, invoice.invoice
        assert invoice.total == sum(
            (line.quantity * line.unit_price for line in invoice.lines), Decimal(0)
        ), invoice.invoice


def test_only_cancellations_have_negative_quantities(samples):
    for invoice in samples.invoices:
        cancelled = invoice.invoice.startswith("C")
        assert (invoice.kind == "cancellation") == cancelled
        assert all((line.quantity < 0) == cancelled for line in invoice.lines)


def test_everyone_who_bought_is_a_customer_since_their_first_invoice(samples):
    first: dict[str, datetime] = {}
    for invoice in samples.invoices:
        first.setdefault(invoice.customer, invoice.time)
    assert first == {c.customer: c.since for c in samples.customers.values()}


def test_every_phone_is_fictional_and_belongs_to_one_customer(samples):
    phones = [customer.phone for customer in samples.customers.values()]
    assert len(set(phones)) == len(phones) <= 1000
    for phone in phones:
        assert phone.startswith("+447700900")
        number = phonenumbers.parse(phone)
        assert phonenumbers.is_possible_number(number)
        assert not phonenumbers.is_valid_number(number), "a real line could have it"


def test_the_source_is_named_and_the_folder_is_small():
    source = (FOLDER / "SOURCE.md").read_text()
    for words in (
        "Daqing Chen",
        "UCI Machine Learning Repository",
        "CC BY 4.0",
        "What was changed",
    ):
        assert words in source
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 1_500_000


def test_an_order_becomes_order_completed_moved_in_time(samples):
    invoice = samples.invoices[0]
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    event = invoice_event(invoice, samples.shift_to(now))
    assert event["event"] == "Order Completed"
    assert event["messageId"] == "invoice:536365"
    assert event["userId"] == "17850"
    assert event["timestamp"].endswith("Z")
    moved = datetime.fromisoformat(event["timestamp"])
    assert now - moved == samples.invoices[-1].time - invoice.time
    assert event["properties"]["total"] == 139.12
    assert event["properties"]["currency"] == "GBP"
    assert event["properties"]["products"][0] == {
        "sku": "85123A",
        "name": "WHITE HANGING HEART T-LIGHT HOLDER",
        "price": 2.55,
        "quantity": 6,
    }


def test_a_cancellation_becomes_order_cancelled_with_positive_amounts(samples):
    cancellation = next(i for i in samples.invoices if i.kind == "cancellation")
    event = invoice_event(cancellation)
    assert event["event"] == "Order Cancelled"
    assert event["properties"]["total"] == -float(cancellation.total) > 0
    assert all(product["quantity"] > 0 for product in event["properties"]["products"])


def test_a_customer_becomes_an_identify_and_a_consent(samples):
    customer = samples.customers["17850"]
    assert customer_event(customer) == {
        "type": "identify",
        "messageId": "customer:17850",
        "userId": "17850",
        "timestamp": "2010-12-01T08:26:00.000Z",
        "traits": {"phone": "+447700900000", "country": "United Kingdom"},
    }
    consent = consent_event(customer)
    assert consent["event"] == "Consent Granted"
    assert consent["properties"]["purpose"] == "marketing"
    assert consent["properties"]["channel"] == "web_form"


def test_every_event_is_json_within_the_32_kib_of_the_contract(samples):
    events = [invoice_event(invoice) for invoice in samples.invoices]
    assert len({event["messageId"] for event in events}) == len(events)
    assert max(len(json.dumps(event)) for event in events) < 32 * 1024


def test_a_fresh_extraction_from_the_original_is_the_same(tmp_path):
    if not ORIGINAL.exists():
        missing = f"the original data set is not at {ORIGINAL}; see samples/online_retail/SOURCE.md"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    make_samples.write(ORIGINAL, tmp_path)
    customers, invoices = "customers.ndjson", "invoices.ndjson.gz"
    assert (tmp_path / customers).read_bytes() == (FOLDER / customers).read_bytes()
    # Unpacked, because how tightly gzip packs depends on the zlib that Python was built with.
    fresh, shipped = ((folder / invoices).read_bytes() for folder in (tmp_path, FOLDER))
    assert gzip.decompress(fresh) == gzip.decompress(shipped)

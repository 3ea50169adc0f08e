"""What rows of files say: records, values, mappings. Pure."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import Failure, FieldInvalid
from merhaba.event.v1.event_pb2 import Event
from services.ingest.api.imports import RowWriter
from services.ingest.imports import values
from services.ingest.imports.kinds import KINDS, Kind
from services.ingest.imports.mapping import Plan, Spec
from services.ingest.imports.records import Record, records, whole

START_MS = 1_763_000_000_000
EVENTS = {"who": "identity.external_id", "at": "event_time", "what": "name"}


def spec(kind: str = "events", columns: dict[str, str] = EVENTS, **more: Any) -> Spec:
    empty = {"constants": {}, "identity_scope": "crm", "zone": "", "event_name": ""}
    return Spec(kind=kind, columns=columns, **{**empty, **more})


def said(kind: str, columns: dict[str, str], row: list[str], **more: Any) -> dict[str, Any]:
    reader = Plan(spec(kind, columns, **more), "TR").of_csv(list(columns))
    return reader.say(Record(2, b"", row, "", 0, 3), START_MS)


def read(piece: bytes, format_: str = "csv", line: int = 1) -> list[Record]:
    return list(records(format_, piece, line, last=True))


# ---- records

# Pieces of CSV, good and bad, that tend to meet badly
_FRAGMENTS = st.sampled_from(
    ["a", "ş", ",", '"', '""', "\n", "\r\n", "\r", "\udc80", '"x\ny"', "\n\n", " ", "1,2,3\n"]
)
_FILES = st.lists(_FRAGMENTS, max_size=60).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogateescape")
)
_LINES = st.sampled_from([b'{"a":1}', b"[1]", b"{", b"", b"  ", b'"x"', b'{"a":"\xff"}', b"null"])
_JSON_FILES = st.lists(_LINES, max_size=20).map(b"\n".join)


@given(st.one_of(st.tuples(st.just("csv"), _FILES), st.tuples(st.just("ndjson"), _JSON_FILES)))
def test_a_file_in_pieces_of_whole_records_has_the_records_of_the_whole(file: Any) -> None:
    format_, content = file
    at_once = read(content, format_)
    assert b"".join(one.raw for one in at_once) == content
    pieces, start, line = [], 0, 1
    for record in at_once:
        # Cut where a record ends
        piece = content[start : record.end]
        pieces += list(records(format_, piece, line, last=record.end == len(content)))
        start, line = record.end, record.next_line
    assert [one._replace(end=0) for one in pieces] == [one._replace(end=0) for one in at_once]


@given(_FILES, st.integers(0, 200))
def test_whatever_was_read_of_a_file_its_whole_records_are_those_of_the_file(
    content: bytes, read_bytes: int
) -> None:
    piece = content[:read_bytes]
    end = whole("csv", piece)
    ends = [one.end for one in read(content)]
    # Where a file ends without a line break, only its last record does not end in the piece
    assert end == max([one for one in ends if one <= end], default=0)
    assert not [one for one in ends if end < one < len(piece)]


def test_a_record_of_csv_may_have_line_breaks_and_says_where_it_begins() -> None:
    found = read(b'who,what\r\n"c\n1","say ""hi"""\n\nc2,x\n')
    assert [(one.line, one.values) for one in found] == [
        (1, ["who", "what"]),
        (2, ["c\n1", 'say "hi"']),
        (4, None),
        (5, ["c2", "x"]),
    ]
    assert found[1].raw == b'"c\n1","say ""hi"""\n'


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b'"a"b,c\n', "is not CSV"),
        (b"a\rb\n", "is not CSV"),
        (b"\xff,b\n", "is not UTF-8"),
        (b'"' + b"x" * 140_000 + b'"\n', "is not CSV: field larger"),
    ],
)
def test_a_record_that_cannot_be_read_costs_no_other(row: bytes, problem: str) -> None:
    before, broken, after = read(b"a,b\n" + row + b"c,d\n")
    assert (before.values, after.values) == (["a", "b"], ["c", "d"])
    assert broken.problem.startswith(problem)
    assert broken.raw == row


def test_a_quotation_mark_that_is_never_closed_is_said() -> None:
    *_, last = read(b'a,b\n"c,d\ne,f\n')
    assert last.problem == "has a quotation mark that is not closed"
    assert (last.line, last.raw) == (2, b'"c,d\ne,f\n')


@pytest.mark.parametrize(
    ("format_", "piece"), [("csv", b'a,b\n"c\n'), ("csv", b"a,b\nc"), ("ndjson", b'{"a":1}\n{')]
)
def test_a_piece_that_ends_within_a_record_is_refused_behind_the_others(
    format_: str, piece: bytes
) -> None:
    found = records(format_, piece, 1, last=False)
    first = next(found)
    with pytest.raises(FieldInvalid, match="ends within a record"):
        next(found)
    assert whole(format_, piece) == first.end == len(first.raw)


def test_what_spreadsheets_write_first_is_no_part_of_the_heading() -> None:
    (heading, _) = read(b"\xef\xbb\xbfwho,what\na,b\n")
    assert heading.values == ["who", "what"]
    (row,) = read(b'\xef\xbb\xbf{"who":"c1"}\n', "ndjson")
    assert row.values == {"who": "c1"}


def test_a_line_of_ndjson_is_an_object() -> None:
    found = read(b'{"a":1}\n[1]\n\n{"a"\n{"a":null}', "ndjson")
    assert [one.problem for one in found] == ["", "is not a JSON object", "", "is not JSON", ""]


# ---- values


@pytest.mark.parametrize(
    ("text", "zone", "ms"),
    [
        ("2024-01-31T12:00:00Z", "Europe/Istanbul", 1_706_702_400_000),
        ("2024-01-31T12:00:00.250", "Europe/Istanbul", 1_706_691_600_250),
        ("2024-01-31 12:00", "UTC", 1_706_702_400_000),
        ("2024-01-31", "Europe/Istanbul", 1_706_648_400_000),
        ("1706702400", "Europe/Istanbul", 1_706_702_400_000),
        ("1706702400250", "UTC", 1_706_702_400_250),
        (1706702400, "UTC", 1_706_702_400_000),
    ],
)
def test_a_time_is_iso_8601_or_epoch(text: Any, zone: str, ms: int) -> None:
    assert values.moment_ms(text, ZoneInfo(zone)) == ms


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (lambda v: values.moment_ms(v, ZoneInfo("UTC")), "31.01.2024"),
        (lambda v: values.moment_ms(v, ZoneInfo("Asia/Tokyo")), "0001-01-01"),
        (lambda v: values.phone(v, "TR"), "nobody"),
        (values.email, "nobody"),
        (values.whole, "1.5"),
        (values.whole, "9223372036854775808"),
        (values.whole, "1e99999999"),
        (values.whole, True),
        (values.number, "12,50"),
        (values.number, "NaN"),
        (values.number, "1e999"),
        (values.micros, "1e30"),
        (values.micros, "0.0000001"),
        (values.boolean, "maybe"),
        (values.mapping, "[1]"),
        (values.mapping, "{"),
        (values.labels, [{}]),
        (values.text, None),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_told(read: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        read(wrong)


def test_values_are_read_as_people_write_them() -> None:
    assert values.phone("0532 123 45 67", "TR") == "905321234567"
    assert values.email(" Ayse@Example.com ") == "ayse@example.com"
    assert [values.number(one) for one in ("12", "12.5", "-0.25", 3)] == [12, 12.5, -0.25, 3]
    assert values.micros("129.90") == 129_900_000
    assert [values.boolean(one) for one in ("Evet", "no", True, "1")] == [True, False, True, True]
    assert values.labels("store; istanbul;") == ["store", "istanbul"]


# ---- what a row says


def test_an_event_says_who_when_what_and_its_properties() -> None:
    columns = EVENTS | {
        "phone": "identity.wa_id",
        "total": "properties.total:number",
        "sku": "properties.sku",
        "lines": "properties.lines:json",
        "empty": "properties.empty",
    }
    row = ["c1", "2024-01-31T12:00Z", "Order Completed", "+905321234567", "12.5", "007", "[1]", ""]
    found = said("events", columns, row)
    assert [(one["kind"], one["scope"], one["value"]) for one in found["identities"]] == [
        (1, "", "905321234567"),
        (3, "crm", "c1"),
    ]
    assert found["event_time"] == {"seconds": 1_706_702_400, "nanos": 0}
    assert found["tracked"]["name"] == "Order Completed"
    properties = json.loads(found["tracked"]["properties_json"])
    assert properties == {"total": 12.5, "sku": "007", "lines": [1]}


def test_a_constant_is_said_by_every_row_that_does_not_say_it_itself() -> None:
    columns = {"phone": "identity.wa_id", "at": "event_time", "agreed": "consent.granted"}
    constants = {"consent.purpose": "marketing", "consent.granted": "no"}
    for cell, granted in (("yes", True), ("", False)):
        row = ["905321234567", "2024-01-31", cell]
        found = said("consents", columns, row, constants=constants)["consent_changed"]
        assert found == {"purpose": "marketing", "granted": granted, "channel": "import"}


def test_a_contact_without_a_time_is_as_when_the_import_began() -> None:
    columns = {"id": "identity.external_id", "city": "attributes.city", "when": "event_time"}
    found = said("contacts", columns, ["c1", "İzmir", ""])
    assert found["event_time"]["seconds"] == START_MS // 1000
    assert json.loads(found["identified"]["traits_json"]) == {"city": "İzmir"}
    found = said("contacts", columns, ["c1", "İzmir", "2024-01-31T12:00Z"])
    assert found["event_time"]["seconds"] == 1_706_702_400


def test_members_of_objects_are_reached_by_name_or_by_path() -> None:
    columns = {"customer.id": "identity.external_id", "at": "event_time", "props": "properties"}
    reader = Plan(spec("events", columns, event_name="seen"), "TR").of_ndjson()
    for row in ({"customer": {"id": 7}}, {"customer.id": "7"}):
        record = Record(1, b"", {"at": 1706702400, "props": {"a": [1]}, **row}, "", 0, 2)
        found = reader.say(record, START_MS)
        assert found["identities"][0]["value"] == "7"
        assert json.loads(found["tracked"]["properties_json"]) == {"a": [1]}


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (spec(columns={"who": "identity.external_id", "at": "event_time"}), "say nothing of name"),
        (spec(columns={**EVENTS, "x": "event_time"}), "say event_time twice"),
        (spec(columns={**EVENTS, "x": "price"}), "price is no field of events"),
        (spec(columns={**EVENTS, "x": "attributes.city"}), "is no field of events"),
        (spec(columns={**EVENTS, "x": "properties.*:"}), None),
        (spec(columns={**EVENTS, "": "properties.x"}), "names"),
        (spec(columns={**EVENTS, "x": "properties." + "x" * 200}), "names"),
        (spec(zone="Mars/Olympus"), "zone"),
        (spec("contacts", {"id": "identity.external_id"}, event_name="x"), "for events only"),
        (spec("consents", EVENTS), "is no field of consents"),
        (
            spec("consents", {"p": "identity.wa_id"}, constants={"consent.granted": "yes"}),
            "say nothing of consent.purpose",
        ),
        (spec(constants={"event_time": "soon"}), "constants.event_time: is not a time"),
    ],
)
def test_a_mapping_by_which_no_row_can_be_read_is_refused(asked: Spec, problem: str | None) -> None:
    if problem is None:
        Plan(asked, "TR")
        return
    with pytest.raises(FieldInvalid, match=problem):
        Plan(asked, "TR")


_DEEP = json.loads("[" * 300 + "]" * 300)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([_DEEP, 2**63, -(2**63) - 1, "1e999", "9" * 400, "0001-01-01", "41", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_whatever_a_row_holds_it_is_taken_or_refused(kind: Kind, data: st.DataObject) -> None:
    fields = [one.replace("*", "x") for one in KINDS[kind].fields]
    reader = Plan(spec(kind, {field: field for field in fields}), "TR").of_ndjson()
    # Some of it as it should be, so that the rest is looked at
    usual = {
        **{"identity.external_id": "c1", "event_time": "2024-01-31", "name": "seen"},
        **{"consent.purpose": "marketing", "consent.granted": True, "catalog_id": "shop"},
        **{"item_id": "tea", "place_id": "moda", "latitude": 41, "longitude": 29},
        **{"radius_meters": 100},
    }
    drawn = data.draw(st.dictionaries(st.sampled_from(fields), _VALUES, max_size=3))
    # Written as anybody may write it: numbers of any size, any nesting
    (record,) = records("ndjson", json.dumps(usual | drawn).encode(), 1, last=True)
    writer = RowWriter(kind, "of", START_MS)
    try:
        taken = writer.record(reader.say(record, START_MS), 1)
    except Failure:
        return
    assert Event.FromString(taken.event).WhichOneof("body")


@pytest.mark.parametrize("heading", [["who", "at"], ["who", "at", "what", "what"]])
def test_a_heading_has_each_column_once(heading: list[str]) -> None:
    with pytest.raises(FieldInvalid, match=r"what is (not|twice) in the heading"):
        Plan(spec(), "TR").of_csv(heading)


def test_a_row_with_another_number_of_fields_is_refused() -> None:
    with pytest.raises(FieldInvalid, match="has 2 fields, the heading 3"):
        said("events", EVENTS, ["c1", "2024-01-31"])

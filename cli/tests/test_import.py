"""`merhaba import` as a person or a script runs it, into a running ingest."""

import asyncio
import csv
import hashlib
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.streams import EventLog
from chassis.testing import wait_until
from cli.imports import mapping, rejects
from cli.imports.source import CHUNK_BYTES
from cli.imports.source import opened as opened_file
from merhaba.ingest.v1 import ImportJob, ImportReject, ItemFailure, ListImportsRequest
from services.ingest.imports.records import records
from services.ingest.tests.conftest import API_TOKEN, Front, opened

MERHABA = Path(sys.executable).parent / "merhaba"
SAMPLES = Path(__file__).parents[2] / "samples" / "imports"
COLUMNS = ("--column", "who=identity.external_id", "--column", "at=event_time")
EVENTS = ("--kind", "events", *COLUMNS, "--column", "n=properties.n", "--event-name", "Seen")


@asynccontextmanager
async def started(
    *arguments: str, output: int = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, running; it is killed when the block ends before it does."""
    target = f"127.0.0.1:{os.environ['GRPC_PORT']}"
    process = await asyncio.create_subprocess_exec(
        *(MERHABA, "import", *arguments),
        env={**os.environ, "INGEST_TARGET": target, "API_TOKEN": API_TOKEN, "COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def merhaba_import(*arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and error output of a whole run."""
    async with started(*arguments) as process:
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def many(folder: Path, rows: int) -> Path:
    """A file that nobody else has."""
    mark = uuid4().hex
    lines = (f"{mark}-{n},2024-01-31T12:00Z,{n}\n" for n in range(rows))
    path = folder / "many.csv"
    path.write_text("who,at,n\n" + "".join(lines))
    return path


def with_marks(folder: Path, sample: str) -> Path:
    """A copy of a sample that no other test imports."""
    path = folder / sample
    path.write_bytes((SAMPLES / sample).read_bytes() + b"\n" * (uuid4().int % 1000 + 1))
    return path


async def import_of(front: Front, path: Path) -> ImportJob:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    jobs = (await front.api.ListImports(ListImportsRequest(page_size=500))).import_jobs
    return next((job for job in jobs if job.sha256 == digest), ImportJob())


# ---- whole runs


async def test_headings_named_like_fields_need_no_mapping(front: Front, tmp_path: Path) -> None:
    path = with_marks(tmp_path, "orders.csv")
    code, out, err = await merhaba_import(
        str(path), "--kind", "events", "--zone", "Europe/Istanbul", "--scope", "shop"
    )
    assert (code, err) == (0, "")
    assert "properties.total:number" in out
    assert "orders.csv: 3 accepted, 0 rejected" in out
    events = {e.identities[-1].value: e for e in await front.events("inbound.track")}
    assert len(events) == 3
    second = events["c-1002"]
    assert second.event_time.ToJsonString() == "2026-11-01T07:20:00Z"
    assert second.identities[0].value == "905321000002"
    properties = json.loads(second.tracked.properties_json)
    assert properties["total"] == 89.5
    assert properties["note"] == 'Gift wrap, please.\nAnd a "happy birthday" card.'
    assert events["c-1003"].tracked.name == "order_cancelled"


async def test_a_mapping_file_says_what_columns_mean(front: Front, tmp_path: Path) -> None:
    path = with_marks(tmp_path, "newsletter.csv")
    code, out, _ = await merhaba_import(
        str(path), "--kind", "consents", "--mapping", str(SAMPLES / "newsletter.toml")
    )
    assert code == 0, out
    assert "left out: Comment" in out
    told = [event.consent_changed for event in await front.events("inbound.track")]
    assert {(one.purpose, one.granted, one.channel) for one in told} == {
        ("marketing", True, "web_form")
    }
    assert {one.proof for one in told} == {"web-7", "web-8"}


async def test_refused_rows_stand_in_a_file_that_can_be_imported_again(
    front: Front, tmp_path: Path
) -> None:
    mark = uuid4().hex
    path = tmp_path / "orders.csv"
    path.write_bytes(
        "who,at,n\n"
        f'{mark},2024-01-31,1\n"{mark}\nb",soon,2\n{mark},2024-01-31\n'
        f'{mark},2024-01-31,ş,extra\n"{mark}"x,2024-01-31,5\n'.encode()
        + f"{mark},2024-01-31,".encode()
        + b"\xff\n"
    )
    code, out, _ = await merhaba_import(str(path), *EVENTS)
    assert code == 3
    assert "1 accepted, 5 rejected" in out
    file = tmp_path / "orders.rejects.csv"
    assert str(file) in out
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        heading, *rows = csv.reader(lines)
    assert heading == ["who", "at", "n", "error"]
    assert rows == [
        [f"{mark}\nb", "soon", "2", "line 3: row.event_time: is not a time of ISO 8601"],
        [mark, "2024-01-31", "", "line 5: row: has 2 fields, the heading 3"],
        [mark, "2024-01-31", "ş", "line 6: row: has 4 fields, the heading 3", "extra"],
        [f'"{mark}"x,2024-01-31,5', "", "", rows[3][3]],
        [f"{mark},2024-01-31,\udcff", "", "", "line 8: row: is not UTF-8"],
    ]
    # What is put right goes in; its own rejects have the reason once
    file.write_text(f"who,at,n,error\n{mark},2024-01-31,7,line 3\n{mark},never,8,line 4\n")
    code, out, _ = await merhaba_import(str(file), *EVENTS, "--rejects", str(path))
    assert code == 3
    assert path.read_text().splitlines()[0] == "who,at,n,error"
    assert len(await front.events("inbound.track")) == 2


async def test_rejects_of_ndjson_are_objects_with_the_row(front: Front, tmp_path: Path) -> None:
    path, refused = tmp_path / "contacts.jsonl", tmp_path / "refused.jsonl"
    rows = [
        {"identity": {"external_id": uuid4().hex, "fax": "1"}, "attributes": {"city": "İzmir"}},
        {"identity": {"wa_id": "nobody"}},
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "{\n")
    code, out, _ = await merhaba_import(str(path), "--kind", "contacts", "--rejects", str(refused))
    assert code == 3
    assert "left out: identity.fax" in out
    assert [json.loads(line) for line in refused.read_text().splitlines()] == [
        {"line": 2, "error": "row.identity.wa_id: is not a phone number", "row": rows[1]},
        {"line": 3, "error": "row: is not JSON", "row": "{"},
    ]
    (event,) = await front.events("inbound.track")
    assert json.loads(event.identified.traits_json) == {"city": "İzmir"}


async def test_a_terminal_shows_a_bar(front: Front, tmp_path: Path) -> None:
    path = many(tmp_path, 100)
    ours, theirs = pty.openpty()
    try:
        async with started(str(path), *EVENTS, output=theirs) as process:
            assert await process.wait() == 0
            shown = await asyncio.to_thread(os.read, ours, 100_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"many.csv" in shown
    assert b"100%" in shown
    assert b"100 accepted  0 rejected" in shown


# ---- interrupted runs


async def test_an_interrupted_import_goes_on_when_it_is_run_again(
    front: Front, tmp_path: Path
) -> None:
    path = many(tmp_path, 60_000)
    async with started(str(path), *EVENTS) as process:
        await wait_until(lambda: has_begun(front, path), timeout_s=30)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in err.decode()
    stood = await import_of(front, path)
    assert 0 < stood.offset_bytes < stood.size_bytes
    code, out, _ = await merhaba_import(str(path), *EVENTS)
    assert code == 0
    assert "many.csv: 60,000 accepted, 0 rejected" in out
    job = await import_of(front, path)
    assert (job.import_id, job.accepted_count) == (stood.import_id, 60_000)


async def has_begun(front: Front, path: Path) -> bool:
    return (await import_of(front, path)).offset_bytes > 0


async def test_an_import_waits_for_a_service_that_is_away(
    environment: dict[str, str], log: EventLog, tmp_path: Path
) -> None:
    path = many(tmp_path, 60_000)
    async with started(str(path), *EVENTS) as process:
        async with opened(environment, log) as front:
            await wait_until(lambda: has_begun(front, path), timeout_s=30)
        assert process.returncode is None
        async with opened(environment, log) as front:
            out, _ = await process.communicate()
            job = await import_of(front, path)
            assert (job.state, job.accepted_count) == (ImportJob.STATE_COMPLETED, 60_000)
            ids = {event.event_id for event in await front.events("inbound.track")}
    assert (process.returncode, len(ids)) == (0, 60_000)
    assert "waits: " in out.decode()


# ---- what cannot be


WRONG: Sequence[tuple[str, str, Sequence[str], str]] = (
    ("a.xls", "x", EVENTS, "is none of *.csv, *.ndjson, *.jsonl"),
    ("b.csv", "", EVENTS, "is empty"),
    ("c.csv", "\n\n", EVENTS, "there is nothing in the file that can be read"),
    ("d.csv", "who;at;n\na;b;1\n", ("--kind", "events"), "is it separated by commas?"),
    ("e.csv", "who,n\na,1\n", EVENTS, "at is not in the heading"),
    ("f.csv", "who,at\n", ("--kind", "events", *COLUMNS), "say nothing of name"),
    ("g.csv", "who,at\n", (*EVENTS, "--column", "who"), "not of the form this=that"),
    ("h.csv", "who,at,n\n" + "x," * 600_000 + "\na\n", EVENTS, "a record over 1 MiB"),
)


async def test_what_cannot_be_imported_is_told_in_one_line(front: Front, tmp_path: Path) -> None:
    for name, content, *_ in WRONG:
        (tmp_path / name).write_text(content)
    runs = [merhaba_import(str(tmp_path / name), *said) for name, _, said, _ in WRONG]
    for (_, _, _, problem), (code, _, err) in zip(WRONG, await asyncio.gather(*runs), strict=True):
        assert (code, err.count("\n")) == (2, 1), err
        assert problem in err


# ---- pure


def test_a_file_comes_in_chunks_of_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    path.write_text("".join(f'"row\n{n}",x\n' for n in range(200_000)))
    content, offset = path.read_bytes(), 0
    with opened_file(path) as source:
        assert source.sha256(lambda done: None) == hashlib.sha256(content).hexdigest()
        while offset < source.size:
            chunk = source.chunk(offset)
            assert len(chunk) <= CHUNK_BYTES
            assert content.startswith(chunk, offset)
            assert chunk.startswith(b'"row')
            offset += len(chunk)


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        (["1", "-2.5", ""], ":number"),
        (["true", "FALSE"], ":boolean"),
        (["007"], ""),
        (["1", "A2"], ""),
        (["1234567890123456"], ""),
        ([""], ""),
    ],
)
def test_a_column_is_typed_by_what_stands_in_it(cells: list[str], type_: str) -> None:
    content = "".join(f"{cell},x\n" for cell in ["properties.a", *cells]).encode()
    rows = list(records("csv", content, 1, last=True))
    found = mapping.found("events", "csv", rows, {})
    assert found.columns == {"properties.a": f"properties.a{type_}"}
    assert found.left_out == ["x"]


async def test_a_row_that_is_larger_than_the_heading_keeps_all_its_fields(tmp_path: Path) -> None:
    async def refused() -> AsyncIterator[ImportReject]:
        yield ImportReject(line=2, row=b"1,2,3", failure=ItemFailure(message="too many"))

    path = tmp_path / "r.csv"
    await rejects.write(path, "csv", ["error", "a"], refused())
    assert path.read_text().split() == ["a,error", "2,line", "2:", "too", "many,3"]

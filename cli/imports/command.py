"""The command, its options, and how it ends."""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import uuid4

import typer
import uvloop

from chassis.clock import SystemClock
from chassis.failures import Misconfigured
from chassis.rpc import Credentials, channel
from cli.imports import mapping, rejects
from cli.imports.mapping import Mapping
from cli.imports.progress import Pace, shown
from cli.imports.source import Source, opened
from cli.imports.upload import Upload
from cli.target import ingest_target
from cli.terminal import Console, echo
from cli.told import told
from merhaba.ingest.v1 import ImportJob, IngestServiceStub, StartImportRequest

Kind = Literal["events", "contacts", "consents", "catalog_items", "places"]

_SOME_REJECTED: Final = 3
_INTERRUPTED: Final = 130
_FORMATS: Final = {"csv": ImportJob.FORMAT_CSV, "ndjson": ImportJob.FORMAT_NDJSON}


def import_file(
    file: Annotated[Path, typer.Argument(help="*.csv with a heading, *.ndjson or *.jsonl.")],
    kind: Annotated[Kind, typer.Option(help="What a row is.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=FIELD, again for each. None: columns named like fields."),
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=VALUE: what every row says, again for each."),
    ] = None,
    mapping_file: Annotated[
        Path | None, typer.Option("--mapping", help="TOML with the same; options overrule it.")
    ] = None,
    scope: Annotated[str, typer.Option(help="The scope of external and anonymous ids.")] = "",
    zone: Annotated[str, typer.Option(help="Of times without an offset: Europe/Istanbul.")] = "",
    event_name: Annotated[str, typer.Option(help="Of every event without a name.")] = "",
    rejects_file: Annotated[
        Path | None,
        typer.Option("--rejects", help="Where refused rows go. None: FILE.rejects.csv."),
    ] = None,
    target: Annotated[str, typer.Option(help="host:port of ingest.")] = "",
) -> None:
    """Import a file; run it again to go on where it was stopped.

    Exit code 0: every row was taken; 3: some were rejected and stand in the file of rejects.
    """
    with told():
        said = mapping.from_file(mapping_file) if mapping_file else Mapping()
        asked = Mapping(
            columns={**said.columns, **mapping.columns(column or ())},
            constants={**said.constants, **mapping.constants(constant or ())},
            scope=scope or said.scope,
            zone=zone or said.zone,
            event_name=event_name or said.event_name,
        )
        door = ingest_target(target)
        console = Console()
        with opened(file) as source:
            job = _asked(console, source, kind, asked)
            path = rejects_file or rejects.default_path(file)
            try:
                rejected = uvloop.run(_import(console, source, job, path, *door))
            except KeyboardInterrupt:
                echo("stopped; the same command goes on where it stood", err=True)
                sys.exit(_INTERRUPTED)
        sys.exit(_SOME_REJECTED if rejected else 0)


def _asked(console: Console, source: Source, kind: Kind, asked: Mapping) -> ImportJob:
    """The import that somebody asks for; says what their words and the headings come to."""
    found = mapping.found(kind, source.format, source.sample(), asked.columns)
    if not found.columns:
        raise Misconfigured(
            f"{source.path}: no column is named like a field of {kind}; say what they mean with"
            " --column COLUMN=FIELD (is it separated by commas?)"
        )
    if found.typed:
        _say(console, f"read as typed: {', '.join(found.typed)}")
    if found.left_out:
        _say(console, f"left out: {', '.join(found.left_out)}")
    return ImportJob(
        name=source.path.name[-200:],
        kind=ImportJob.Kind.Value(f"KIND_{kind.upper()}"),
        format=_FORMATS[source.format],
        size_bytes=source.size,
        columns=found.columns,
        constants=asked.constants,
        identity_scope=asked.scope,
        zone=asked.zone,
        event_name=asked.event_name,
    )


async def _import(
    console: Console,
    source: Source,
    job: ImportJob,
    path: Path,
    target: str,
    credentials: Credentials,
) -> int:
    """Send a file, write down what was refused, and say how it went; returns how much that was."""
    name = source.path.name
    pace = Pace()
    async with channel(target, credentials) as opened_channel:
        api = IngestServiceStub(opened_channel)
        with shown(console, name, source.size, pace) as show:
            job.sha256 = source.sha256(show.hashed)
            upload = Upload(api, SystemClock(), show)
            request = StartImportRequest(request_id=str(uuid4()), import_job=job)
            job = await upload.run(source, request)
            if job.rejected_count:
                await _write(source, path, upload, job)
    rows_s = pace.at(job)
    _say(
        console,
        f"{name}: {job.accepted_count:,} accepted, {job.rejected_count:,} rejected"
        f" in {pace.seconds:,.1f} s ({rows_s:,.0f} rows/s)",
    )
    if job.rejected_count:
        _say(console, f"what was rejected, and why: {path}")
    return job.rejected_count


async def _write(source: Source, path: Path, upload: Upload, job: ImportJob) -> None:
    values = next((one.values for one in source.sample() if one.values is not None), None)
    heading = values if isinstance(values, list) else []
    try:
        await rejects.write(path, source.format, heading, upload.rejects(job.import_id))
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; choose another with --rejects") from None


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)

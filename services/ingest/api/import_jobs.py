"""Import jobs and their rejects, in and out of the contract's form."""

import re
from typing import Any, Final

from chassis.failures import FieldInvalid
from chassis.times import timestamp
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.import_job_pb2 import ImportJob, ImportReject
from merhaba.ingest.v1.item_failure_pb2 import ItemFailure
from services.ingest.imports.job import File, Job, Reject, State
from services.ingest.imports.mapping import Spec

Names = dict[int, str]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 2**53
_LONGEST: Final = 200
# By their names: `KIND_CATALOG_ITEMS` is "catalog_items"
_KINDS: Final[Names] = {
    number: name[5:].lower() for name, number in ImportJob.Kind.items() if number
}
_FORMATS: Final[Names] = {
    number: name[7:].lower() for name, number in ImportJob.Format.items() if number
}
_STATES: Final[Names] = {
    number: name[6:].lower() for name, number in ImportJob.State.items() if number
}


def name(asked: ImportJob) -> str:
    """What an import is called. Raises `FieldInvalid`."""
    _text(asked.name, "name")
    return asked.name


def file(asked: ImportJob) -> File:
    """The file of an import that is asked for. Raises `FieldInvalid`."""
    if not _SHA256.fullmatch(asked.sha256):
        raise FieldInvalid("sha256", "is not 64 hex digits in lower case")
    if not 0 < asked.size_bytes < _LARGEST:
        raise FieldInvalid("size_bytes", "is not the size of a file with something in it")
    return File(_known(_FORMATS, asked.format, "format"), asked.sha256, asked.size_bytes)


def spec(asked: ImportJob) -> Spec:
    """How to read the file. Raises `FieldInvalid`."""
    _text(asked.identity_scope, "identity_scope")
    return Spec(
        _known(_KINDS, asked.kind, "kind"),
        dict(asked.columns),
        dict(asked.constants),
        asked.identity_scope,
        asked.zone,
        asked.event_name,
    )


def state(asked: int) -> State:
    """One state of a filter. Raises `FieldInvalid`."""
    found: State = _known(_STATES, asked, "states")
    return found


def told(job: Job) -> ImportJob:
    """An import as the contract has it."""
    return ImportJob(
        import_id=job.import_id,
        name=job.name,
        kind=ImportJob.Kind.Value(f"KIND_{job.spec.kind.upper()}"),
        format=ImportJob.Format.Value(f"FORMAT_{job.file.format.upper()}"),
        sha256=job.file.sha256,
        size_bytes=job.file.size_bytes,
        columns=job.spec.columns,
        constants=job.spec.constants,
        identity_scope=job.spec.identity_scope,
        zone=job.spec.zone,
        event_name=job.spec.event_name,
        state=ImportJob.State.Value(f"STATE_{job.state.upper()}"),
        offset_bytes=job.offset_bytes,
        accepted_count=job.accepted_count,
        rejected_count=job.rejected_count,
        create_time=timestamp(job.start_ms),
        update_time=timestamp(job.update_ms),
        end_time=timestamp(job.end_ms or None),
    )


def refused(reject: Reject) -> ImportReject:
    """A refused row as the contract has it."""
    return ImportReject(
        line=reject.line,
        row=reject.raw,
        failure=ItemFailure(
            reason=ErrorReason.Value(f"ERROR_REASON_{reject.reason}"),
            message=reject.message,
            metadata=reject.facts,
        ),
    )


def _known(names: Names, number: int, field: str) -> Any:
    if number not in names:
        raise FieldInvalid(field, f"is none of {', '.join(names.values())}")
    return names[number]


def _text(value: str, field: str) -> None:
    if len(value) > _LONGEST:
        raise FieldInvalid(field, f"is longer than {_LONGEST} characters", limit=str(_LONGEST))
    if "\0" in value:
        raise FieldInvalid(field, "has a zero character in it")

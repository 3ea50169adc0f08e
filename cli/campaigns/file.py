"""A campaign as a file: YAML with the fields of the contract, segments by their names."""

import mimetypes
from pathlib import Path
from typing import Final
from uuid import uuid4

import yaml

from chassis.failures import Misconfigured
from cli.apply.filling import Wrong, filled
from cli.apply.kinds import CAMPAIGN, Reference
from merhaba.segment.v1 import ListSegmentsRequest, SegmentServiceStub
from merhaba.sender.v1 import (
    AppendFileRequest,
    Campaign,
    CreateFileRequest,
    File,
    FileServiceStub,
    ListNumbersRequest,
    NumberServiceStub,
)

_MOST_BYTES: Final = 1024 * 1024
_PART: Final = 1024 * 1024
_PAGE: Final = 500


def read(path: Path) -> tuple[Campaign, list[Reference]]:
    """The campaign that a file says, and where it names others. Raises `Misconfigured`, with the
    line."""
    try:
        text = path.read_bytes()[: _MOST_BYTES + 1]
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    if len(text) > _MOST_BYTES:
        raise Misconfigured(f"{path}: over 1 MiB; name people in a file of their own")
    campaign, references = Campaign(), list[Reference]()
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise Misconfigured(f"{path}: write the fields of a campaign: name, audience, variants")
        # As `merhaba apply` takes it
        node.value = [(k, v) for k, v in node.value if (k.value, v.value) != ("kind", "campaign")]
        filled(campaign, node, references, [CAMPAIGN.key, *CAMPAIGN.fields])
    except Wrong as wrong:
        raise Misconfigured(f"{path}:{wrong.line}: {wrong.said}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise Misconfigured(f"{path}:{line}: not YAML in UTF-8") from None
    return campaign, references


async def refer(references: list[Reference], segments: SegmentServiceStub) -> None:
    """Put ids where segments are named."""
    for one in references:
        page = await segments.ListSegments(ListSegmentsRequest(names=[one.name]))
        found = page.segments[0].segment_id if page.segments else one.name
        setattr(one.message, one.field, found)


async def account(campaign: Campaign, numbers: NumberServiceStub) -> None:
    """Fill in the account where there is only one. Raises `Misconfigured`."""
    if campaign.waba_id:
        return
    page = await numbers.ListNumbers(ListNumbersRequest(page_size=_PAGE))
    known = sorted({one.waba_id for one in page.numbers})
    if len(known) != 1:
        said = ", ".join(known) or "none, since no number is registered"
        raise Misconfigured(f"say which account it is for, as waba_id: {said}")
    campaign.waba_id = known[0]


async def upload(campaign: Campaign, beside: Path, files: FileServiceStub) -> None:
    """Bring the people that a file beside this one names, and name it by its id."""
    named = campaign.audience.file.file_id
    path = beside.parent / named
    if campaign.audience.WhichOneof("source") != "file" or not path.is_file():
        return
    size = path.stat().st_size
    begun = await files.CreateFile(
        CreateFileRequest(
            request_id=str(uuid4()),
            file=File(name=path.name, mime_type=mimetypes.guess_type(path.name)[0] or ""),
        )
    )
    file_id, offset = begun.file.file_id, 0
    with path.open("rb") as opened:
        while data := opened.read(_PART):
            last = offset + len(data) >= size
            await files.AppendFile(
                AppendFileRequest(file_id=file_id, offset=offset, data=data, last=last)
            )
            offset += len(data)
    campaign.audience.file.file_id = file_id

"""docs/webhooks.md says what the code does, of everything the code knows."""

from services.ingest import account, payload
from services.ingest.content import KINDS
from services.ingest.tests.webhooks_page import PAGE, renewed, samples


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), "python -m services.ingest.tests.webhooks_page writes it anew"


def test_the_page_tells_of_every_field_and_list_that_the_code_reads() -> None:
    told = {(one.field, one.part) for one in samples()}
    lists = {(field, part) for field, parts in payload.PARTS.items() for part in parts}
    values = {(field, "") for field in account.READERS}
    assert told == lists | values | {("messaging_handovers", ""), ("any other", "")}


def test_the_page_tells_of_every_type_of_message() -> None:
    told = {one.kind.partition(":")[0] for one in samples() if one.part == "messages"}
    assert told >= KINDS | {"edit", "revoke", "any other"}

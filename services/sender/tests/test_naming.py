"""Who a campaign names one by one, however it names them."""

import pytest

from merhaba.event.v1 import Identity
from merhaba.sender.v1 import Audience, Campaign, ContactList, Destination
from services.sender.tables.naming import Named, named, unname

WA_ID = Identity(kind=Identity.KIND_WA_ID, value="905321234567")
SHOP_ID = Identity(kind=Identity.KIND_EXTERNAL_ID, scope="shop", value="ü.7")
ANNE = Named(["anne", "also"], [WA_ID, SHOP_ID])


def naming(*people: Destination) -> Campaign:
    return Campaign(name="Yaz", audience=Audience(contacts=ContactList(contacts=people)))


def by(kind: Identity.Kind, value: str, scope: str = "") -> Destination:
    return Destination(identity=Identity(kind=kind, scope=scope, value=value))


@pytest.mark.parametrize(
    "one",
    [
        Destination(contact_id="anne"),
        Destination(contact_id="also"),
        *(
            by(Identity.KIND_WA_ID, written)
            for written in ("905321234567", "+90 (532) 123-45-67", "0532 123 45 67", "5321234567 ")
        ),
        by(Identity.KIND_EXTERNAL_ID, "ü.7", "shop"),
    ],
)
def test_somebody_is_found_and_named_no_longer(one: Destination) -> None:
    campaign = naming(Destination(contact_id="bob"), one)
    assert len(list(named(campaign, ANNE))) == 1
    assert unname(campaign, ANNE) == 1
    assert list(named(campaign, ANNE)) == []
    bob, nobody = campaign.audience.contacts.contacts
    assert bob.contact_id == "bob"
    assert set(nobody.contact_id) == set("0-"), "the places of the others stay"


@pytest.mark.parametrize(
    "one",
    [
        Destination(contact_id="anne2"),
        by(Identity.KIND_WA_ID, "905321234568"),
        by(Identity.KIND_WA_ID, "9053212345671"),
        by(Identity.KIND_EXTERNAL_ID, "905321234567", "shop"),
        by(Identity.KIND_EXTERNAL_ID, "ü.7", "another"),
        by(Identity.KIND_EXTERNAL_ID, "üx7", "shop"),
    ],
)
def test_somebody_else_stays(one: Destination) -> None:
    campaign = naming(one)
    assert unname(campaign, ANNE) == 0
    assert list(campaign.audience.contacts.contacts) == [one]

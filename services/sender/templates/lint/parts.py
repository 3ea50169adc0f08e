"""What Meta wants of headers with media, of carousels and of offers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from services.sender.templates.draft import Draft
from services.sender.templates.lint import buttons
from services.sender.templates.lint.rules import Broken, Said, broken, error, warning
from services.sender.templates.seen import kind, mapping, mappings, text, texts

RULES: Final = {
    "sample_missing": error(
        Said(
            "A header with media has an example of it.",
            "Upload a file with FileService and give its id as example_file_id.",
        ),
        Said(
            "Medyalı başlığın örneği olmalı.",
            "FileService ile dosya yükleyin, kimliğini example_file_id olarak verin.",
        ),
    ),
    "sample_link": warning(
        Said(
            "The example is an address; for a new submission Meta takes the handle of an upload.",
            "Give example_file_id.",
        ),
        Said(
            "Örnek bir adres; yeni gönderimde Meta yüklemenin tanıtıcısını ister.",
            "example_file_id verin.",
        ),
    ),
    "gif_not_marketing": error(
        Said("Only marketing templates have GIFs.", "Take a picture or a film."),
        Said("GIF yalnız pazarlama şablonlarında olur.", "Resim ya da film koyun."),
    ),
    "cards_count": error(
        Said("There are {count} cards; a carousel has 2 to 10.", "Add some, or take some out."),
        Said("{count} kart var; karuselde 2-10 olur.", "Ekleyin ya da çıkarın."),
    ),
    "cards_differ": error(
        Said(
            "All cards have a header of one format, and the same buttons in the same order.",
            "Make this card like the first.",
        ),
        Said(
            "Bütün kartların başlık biçimi ve düğmeleri, sırasıyla, aynıdır.",
            "Bu kartı ilkine benzetin.",
        ),
    ),
    "card_header": error(
        Said("A card has a header with a picture, a film or a product.", "Give it one."),
        Said("Kartın resim, film ya da ürün başlığı olmalı.", "Ekleyin."),
    ),
    "card_buttons": error(
        Said("A card has one button or two; this one has {count}.", "Add one, or take some out."),
        Said("Kartta bir ya da iki düğme olur; bunda {count} var.", "Ekleyin ya da çıkarın."),
    ),
    "carousel_alone": error(
        Said(
            "Beside its cards a carousel has a body, and no header, footer, buttons or offer.",
            "Move it to the cards, or leave it out.",
        ),
        Said(
            "Karuselde kartlardan başka yalnız gövde olur; başlık, alt bilgi, düğme olmaz.",
            "Kartlara taşıyın ya da çıkarın.",
        ),
    ),
    "offer_text": error(
        Said("The offer has {length} characters; it has 1 to {limit}.", "Write it shorter."),
        Said("Teklif {length} karakter; 1-{limit} olmalı.", "Kısaltın."),
    ),
    "offer_footer": error(
        Said("A limited-time offer has no footer.", "Leave the footer out."),
        Said("Süreli teklifte alt bilgi olmaz.", "Alt bilgiyi çıkarın."),
    ),
    "offer_buttons": error(
        Said(
            "A limited-time offer has a link, and may have a code to copy before it.",
            "Take a URL button, and a copy-code button if there is a code.",
        ),
        Said(
            "Süreli teklifte bağlantı düğmesi, önünde de kod kopyalama düğmesi olabilir.",
            "URL düğmesi koyun; kod varsa kod düğmesi ekleyin.",
        ),
    ),
    "offer_not_marketing": error(
        Said("Only marketing templates have offers.", "Make it MARKETING."),
        Said("Teklif yalnız pazarlama şablonlarında olur.", "MARKETING yapın."),
    ),
}

_MEDIA: Final = frozenset({"IMAGE", "VIDEO", "GIF", "DOCUMENT"})
_OF_CARDS: Final = frozenset({"IMAGE", "VIDEO", "PRODUCT"})
_CARDS: Final = (2, 10)
_CARD_BUTTONS: Final = (1, 2)
_OFFER: Final = 16
_BESIDE_CARDS: Final = {
    "HEADER": "header",
    "FOOTER": "footer",
    "BUTTONS": "buttons",
    "LIMITED_TIME_OFFER": "limited_time_offer",
}


def check(draft: Draft) -> Iterator[Broken]:
    """Of a message and of its cards."""
    parts = mappings(list(draft.components))
    kinds = [kind(part) for part in parts]
    own = [one for part in parts for one in mappings(part.get("buttons"))]
    if draft.category != "AUTHENTICATION":
        yield from (
            one
            for one in buttons.check(own, "components")
            if not draft.library_name or one.rule != "button_text_missing"
        )
    for part in parts:
        match kind(part):
            case "HEADER":
                yield from _header(part, "components.header", draft)
            case "LIMITED_TIME_OFFER":
                yield from _offer(part, own, kinds, draft)
            case "CAROUSEL":
                yield from _carousel(mappings(part.get("cards")), kinds, draft)


def _header(part: Mapping[str, Any], field: str, draft: Draft) -> Iterator[Broken]:
    format_ = kind(part, "format")
    if format_ not in _MEDIA:
        return
    if format_ == "GIF" and draft.category != "MARKETING":
        yield broken("gif_not_marketing", f"{field}.format")
    sample = next(iter(texts(mapping(part.get("example")).get("header_handle"))), "")
    if not sample:
        yield broken("sample_missing", f"{field}.example_file_id")
    elif sample.startswith(("https://", "http://")):
        yield broken("sample_link", f"{field}.example_handle")


def _offer(
    part: Mapping[str, Any],
    own: Sequence[Mapping[str, Any]],
    kinds: Sequence[str],
    draft: Draft,
) -> Iterator[Broken]:
    field = "components.limited_time_offer"
    said = text(mapping(part.get("limited_time_offer")), "text")
    if not 1 <= len(said) <= _OFFER:
        yield broken("offer_text", f"{field}.text", length=len(said), limit=_OFFER)
    if draft.category != "MARKETING":
        yield broken("offer_not_marketing", field)
    if "FOOTER" in kinds:
        yield broken("offer_footer", "components.footer")
    if [kind(one) for one in own] not in (["URL"], ["COPY_CODE", "URL"]):
        yield broken("offer_buttons", "components.buttons")


def _carousel(
    cards: Sequence[Mapping[str, Any]], kinds: Sequence[str], draft: Draft
) -> Iterator[Broken]:
    fewest, most = _CARDS
    if not fewest <= len(cards) <= most:
        yield broken("cards_count", "components.cards", count=len(cards))
    for what in kinds:
        if name := _BESIDE_CARDS.get(what):
            yield broken("carousel_alone", f"components.{name}")
    layouts = [_layout(card) for card in cards]
    for place, card in enumerate(cards):
        field = f"components.cards[{place}]"
        if layouts[place] != layouts[0]:
            yield broken("cards_differ", field)
        inner = mappings(card.get("components"))
        headers = [part for part in inner if kind(part) == "HEADER"]
        if [kind(one, "format") in _OF_CARDS for one in headers] != [True]:
            yield broken("card_header", f"{field}.header")
        for header in headers:
            yield from _header(header, f"{field}.header", draft)
        own = [one for part in inner for one in mappings(part.get("buttons"))]
        fewest, most = _CARD_BUTTONS
        if not fewest <= len(own) <= most:
            yield broken("card_buttons", f"{field}.buttons", count=len(own))
        yield from (b for b in buttons.check(own, field) if b.rule != "desktop_hidden")


def _layout(card: Mapping[str, Any]) -> tuple[object, ...]:
    """What has to be alike on all cards."""
    inner = mappings(card.get("components"))
    return (
        sorted(kind(part) for part in inner),
        [kind(part, "format") for part in inner if kind(part) == "HEADER"],
        [kind(one) for part in inner for one in mappings(part.get("buttons"))],
    )

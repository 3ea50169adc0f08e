"""What Meta wants of headers with media, of carousels and of offers: broken and kept."""

from services.sender.tests.lint_cases.drafts import COPY, Case, utility
from services.sender.tests.templates import (
    body,
    buttons,
    card,
    carousel,
    draft,
    footer,
    link,
    media,
    offer,
    reply,
)

CASES: list[Case] = [
    (
        "sample_missing",
        draft(media(handle=""), body(), footer()),
        "components.header.example_file_id",
        draft(media("LOCATION", ""), body(), footer()),
    ),
    (
        "sample_link",
        draft(media(handle="https://scontent.example/x"), body(), footer()),
        "components.header.example_handle",
        draft(media(), body(), footer()),
    ),
    (
        "gif_not_marketing",
        utility(media("GIF"), body()),
        "components.header.format",
        draft(media("GIF"), body(), footer()),
    ),
    (
        "cards_count",
        draft(body(), carousel(card())),
        "components.cards",
        draft(body(), carousel(*[card()] * 10)),
    ),
    (
        "cards_differ",
        draft(body(), carousel(card(), card(media(), buttons(reply())))),
        "components.cards[1]",
        draft(body(), carousel()),
    ),
    (
        "card_header",
        draft(body(), carousel(*[card(media("DOCUMENT"), buttons(link()))] * 2)),
        "components.cards[0].header",
        draft(body(), carousel(*[card(media("PRODUCT", ""), buttons(link()))] * 2)),
    ),
    (
        "card_buttons",
        draft(body(), carousel(*[card(media(), body())] * 2)),
        "components.cards[0].buttons",
        draft(body(), carousel()),
    ),
    (
        "carousel_alone",
        draft(body(), footer(), carousel()),
        "components.footer",
        draft(body(), carousel()),
    ),
    (
        "offer_text",
        draft(offer("x" * 17), body(), buttons(link())),
        "components.limited_time_offer.text",
        draft(offer("x" * 16), body(), buttons(link())),
    ),
    (
        "offer_footer",
        draft(offer(), body(), footer(), buttons(link())),
        "components.footer",
        draft(offer(), body(), buttons(link())),
    ),
    (
        "offer_buttons",
        draft(offer(), body(), buttons(reply())),
        "components.buttons",
        draft(offer(), body(), buttons(COPY, link())),
    ),
    (
        "offer_not_marketing",
        utility(offer(), body(), buttons(link())),
        "components.limited_time_offer",
        draft(offer(), body(), buttons(link())),
    ),
]

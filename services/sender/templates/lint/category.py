"""What Meta wants of a template as a whole, and of its category. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.sender.templates.draft import MONTH_S, Draft
from services.sender.templates.lint.buttons import check_count
from services.sender.templates.lint.languages import LANGUAGES
from services.sender.templates.lint.rules import Broken, Said, broken, error, warning
from services.sender.templates.seen import kind, mapping, mappings, text

RULES: Final = {
    "name_invalid": error(
        Said(
            "A name has 1 to 512 lower-case letters (a-z), digits and underscores.",
            "Write it like `order_shipped_2`.",
        ),
        Said(
            "Ad, 1-512 küçük harf (a-z), rakam ve alt çizgiden oluşur.",
            "`siparis_yolda_2` gibi yazın.",
        ),
    ),
    "language_unknown": error(
        Said("Meta has no language {code}.", "Take one of its codes, such as tr, en or en_US."),
        Said("Meta'da {code} diye bir dil yok.", "tr, en, en_US gibi bir kod yazın."),
    ),
    "languages_not_authentication": error(
        Said(
            "Only authentication templates are written by Meta in several languages.",
            "Create the template once for each language.",
        ),
        Said(
            "Yalnız kimlik doğrulama şablonlarını Meta birkaç dilde kendisi yazar.",
            "Şablonu her dil için ayrı oluşturun.",
        ),
    ),
    "category_unknown": error(
        Said("There is no category {category}.", "Take MARKETING, UTILITY or AUTHENTICATION."),
        Said("{category} diye bir kategori yok.", "MARKETING, UTILITY ya da AUTHENTICATION yazın."),
    ),
    "ttl_range": error(
        Said(
            "Meta delivers {category} for {shortest} to {longest} seconds, or up to 30 days.",
            "Give a time in this range, or none.",
        ),
        Said(
            "Meta {category} mesajlarını {shortest}-{longest} saniye ya da 30 gün dener.",
            "Bu aralıkta bir süre verin ya da hiç vermeyin.",
        ),
    ),
    "library_fixed": error(
        Said(
            "Meta's library has the texts of the template; only buttons may be one's own.",
            "Leave all components but the buttons out.",
        ),
        Said(
            "Metinler Meta'nın kitaplığından gelir; yalnız düğmeler değiştirilebilir.",
            "Düğmeler dışındaki bileşenleri çıkarın.",
        ),
    ),
    "promotional_utility": warning(
        Said(
            "“{word}” reads like marketing: Meta makes such a template MARKETING, at its price.",
            "Say it without, or make it MARKETING.",
        ),
        Said(
            "“{word}” pazarlama gibi okunuyor: Meta şablonu MARKETING yapar, ücreti de öyle olur.",
            "Onsuz yazın ya da MARKETING yapın.",
        ),
    ),
    "opt_out_missing": warning(
        Said(
            "Nothing says how to stop these messages; people block instead, and quality falls.",
            "Add a quick reply or a footer such as “Reply STOP to end”.",
        ),
        Said(
            "Bu mesajların nasıl durdurulacağı yazmıyor; insanlar engeller, kalite düşer.",
            "“Durdurmak için DUR yazın” gibi bir alt bilgi ya da hızlı yanıt ekleyin.",
        ),
    ),
    "product_not_marketing": warning(
        Said(
            "Meta takes a {kind} button as marketing.",
            "Make it MARKETING, or leave the button out.",
        ),
        Said("Meta {kind} düğmesini pazarlama sayar.", "MARKETING yapın ya da düğmeyi çıkarın."),
    ),
    "authentication_fixed": error(
        Said(
            "Meta writes authentication templates: only the security advice, the expiry and the "
            "one-time-code button are one's own.",
            "Leave it out.",
        ),
        Said(
            "Kimlik doğrulama şablonlarını Meta yazar: yalnız güvenlik uyarısı, geçerlilik süresi "
            "ve kod düğmesi seçilir.",
            "Çıkarın.",
        ),
    ),
    "body_missing_of_code": error(
        Said("An authentication template has a body, without a text.", "Add an empty one."),
        Said("Kimlik doğrulama şablonunun gövdesi olur, metni olmaz.", "Boş bir gövde ekleyin."),
    ),
    "otp_missing": error(
        Said("An authentication template has a one-time-code button.", "Add one."),
        Said("Kimlik doğrulama şablonunda kod düğmesi olmalı.", "Ekleyin."),
    ),
    "otp_not_authentication": error(
        Said("Only authentication templates have a one-time-code button.", "Take a copy-code one."),
        Said("Kod düğmesi yalnız kimlik doğrulama şablonunda olur.", "copy_code kullanın."),
    ),
    "otp_kind_missing": error(
        Said("The button does not say how the code is handed over.", "Give its kind."),
        Said("Kodun nasıl verileceği yazmıyor.", "Türünü verin."),
    ),
    "otp_apps": error(
        Said(
            "One-tap and zero-tap buttons name one to five apps, each with its hash.",
            "Give apps with package_name and signature_hash.",
        ),
        Said(
            "One-tap ve zero-tap düğmeleri imzasıyla birlikte bir-beş uygulama belirtir.",
            "package_name ve signature_hash ile uygulama verin.",
        ),
    ),
    "zero_tap_terms": error(
        Said(
            "Zero-tap codes are for whoever accepted Meta's terms.",
            "Set zero_tap_terms_accepted, if you did.",
        ),
        Said(
            "Zero-tap için Meta'nın koşulları kabul edilmiş olmalı.",
            "Kabul ettiyseniz zero_tap_terms_accepted verin.",
        ),
    ),
    "code_expiration": error(
        Said("A code is good for 1 to 90 whole minutes.", "Give whole minutes in this range."),
        Said("Kod 1-90 tam dakika geçerli olur.", "Bu aralıkta tam dakika verin."),
    ),
    "authentication_only": error(
        Said(
            "Only authentication templates have security advice and an expiry.",
            "Leave it out, or make it AUTHENTICATION.",
        ),
        Said(
            "Güvenlik uyarısı ve geçerlilik süresi yalnız kimlik doğrulamada olur.",
            "Çıkarın ya da AUTHENTICATION yapın.",
        ),
    ),
}

_NAME: Final = re.compile(r"[a-z0-9_]{1,512}")
_TTL_S: Final = {
    "AUTHENTICATION": (30, 900),
    "UTILITY": (30, 43_200),
    "MARKETING": (43_200, MONTH_S),
}
_PRODUCTS: Final = frozenset({"CATALOG", "MPM", "SPM"})
_APPS: Final = range(1, 6)
_MINUTES: Final = range(1, 91)
_PROMOTIONAL: Final = re.compile(
    r"\b(sale|discount\w*|promo\w*|coupons?|deals?|special offer|limited[ -]time|free shipping"
    r"|buy now|shop now|don't miss|\d+ ?% off|indirim\w*|kampanya\w*|f[ıi]rsat\w*|kupon\w*"
    r"|hediye\w*|bedava|ücretsiz kargo|kaç[ıi]rma\w*|son gün|hemen al)\b"
)
_OPT_OUT: Final = re.compile(
    r"\b(stop|unsub\w+|opt[ -]?out|not interested|manage your|durdur\w*|dur|iptal|istemiyorum"
    r"|ç[ıi]kmak|abonelik\w*|parar|sair|cancelar|baja)\b"
)


def check(draft: Draft) -> Iterator[Broken]:
    """Of the whole."""
    if not _NAME.fullmatch(draft.name):
        yield broken("name_invalid", "name")
    field = "languages" if draft.languages else "language"
    for code in draft.in_languages:
        if code not in LANGUAGES:
            yield broken("language_unknown", field, code=code[:20] or "(empty)")
    if draft.languages and draft.category != "AUTHENTICATION":
        yield broken("languages_not_authentication", "languages")
    yield from _ttl(draft)
    parts = mappings(list(draft.components))
    if draft.library_name:
        if any(kind(part) != "BUTTONS" for part in parts):
            yield broken("library_fixed", "components")
        return
    match draft.category:
        case "AUTHENTICATION":
            yield from _authentication(parts, stands=draft.stands)
        case "MARKETING" | "UTILITY":
            yield from _other(draft, parts)
        case other:
            yield broken("category_unknown", "category", category=other[:20] or "(empty)")


def _ttl(draft: Draft) -> Iterator[Broken]:
    if not draft.ttl_s or draft.ttl_s == MONTH_S or draft.category not in _TTL_S:
        return
    shortest, longest = _TTL_S[draft.category]
    if not shortest <= draft.ttl_s <= longest:
        yield broken(
            "ttl_range",
            "message_ttl_duration",
            category=draft.category,
            shortest=shortest,
            longest=longest,
        )


def _authentication(parts: list[Mapping[str, Any]], *, stands: bool) -> Iterator[Broken]:
    otp = False
    if all(kind(part) != "BODY" for part in parts):
        yield broken("body_missing_of_code", "components.body")
    for part in parts:
        match kind(part):
            case "BODY":
                if text(part, "text") and not stands:
                    yield broken("authentication_fixed", "components.body.text")
            case "FOOTER":
                yield from _expiration(part, stands=stands)
            case "BUTTONS":
                own = mappings(part.get("buttons"))
                yield from check_count(own, "components.buttons")
                for place, one in enumerate(own):
                    field = f"components.buttons[{place}]"
                    # Meta lists it as what people see: a link
                    if kind(one) == "OTP" or stands:
                        otp = True
                        yield from () if stands else _otp(one, f"{field}.otp")
                    else:
                        yield broken("authentication_fixed", field)
            case "CAROUSEL":
                yield broken("authentication_fixed", "components.cards")
            case other:
                yield broken("authentication_fixed", f"components.{other.lower()[:40]}")
    if not otp:
        yield broken("otp_missing", "components.buttons")


def _expiration(part: Mapping[str, Any], *, stands: bool) -> Iterator[Broken]:
    if text(part, "text") and not stands:
        yield broken("authentication_fixed", "components.footer.text")
    if "code_expiration_minutes" in part and part["code_expiration_minutes"] not in _MINUTES:
        yield broken("code_expiration", "components.footer.code_expiration_duration")


def _otp(button: Mapping[str, Any], field: str) -> Iterator[Broken]:
    what = kind(button, "otp_type")
    if not what:
        yield broken("otp_kind_missing", f"{field}.kind")
    apps = mappings(button.get("supported_apps")) or ([button] if "package_name" in button else [])
    named = [one for one in apps if text(one, "package_name") and text(one, "signature_hash")]
    wanted = what in {"ONE_TAP", "ZERO_TAP"}
    if wanted and (len(named) not in _APPS or len(named) != len(apps)):
        yield broken("otp_apps", f"{field}.apps")
    if what == "ZERO_TAP" and button.get("zero_tap_terms_accepted") is not True:
        yield broken("zero_tap_terms", f"{field}.zero_tap_terms_accepted")


def _other(draft: Draft, parts: list[Mapping[str, Any]]) -> Iterator[Broken]:
    """Of marketing and utility."""
    said = dict(_said(parts))
    for part in parts:
        if part.get("add_security_recommendation") is True:
            yield broken("authentication_only", "components.body.security_recommendation")
        if "code_expiration_minutes" in part:
            yield broken("authentication_only", "components.footer.code_expiration_duration")
        for place, one in enumerate(mappings(part.get("buttons"))):
            field = f"components.buttons[{place}]"
            if kind(one) == "OTP":
                yield broken("otp_not_authentication", field)
            if kind(one) in _PRODUCTS and draft.category != "MARKETING":
                yield broken("product_not_marketing", field, kind=kind(one))
    if draft.category == "UTILITY":
        for field, words in said.items():
            if found := _PROMOTIONAL.search(words):
                yield broken("promotional_utility", field, word=found[0])
    elif not draft.opt_outs and not any(_OPT_OUT.search(words) for words in said.values()):
        yield broken("opt_out_missing", "components")


def _said(parts: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Every text that people see, in lower case, and where it stands."""
    for part in parts:
        what = kind(part)
        if what in {"HEADER", "BODY", "FOOTER"}:
            yield f"components.{what.lower()}.text", _lower(text(part, "text"))
        elif what == "LIMITED_TIME_OFFER":
            offer = mapping(part.get("limited_time_offer"))
            yield "components.limited_time_offer.text", _lower(text(offer, "text"))
        for place, one in enumerate(mappings(part.get("buttons"))):
            yield f"components.buttons[{place}].text", _lower(text(one, "text"))
        for place, card in enumerate(mappings(part.get("cards"))):
            for field, words in _said(mappings(card.get("components"))):
                yield field.replace("components", f"components.cards[{place}]", 1), words


def _lower(words: str) -> str:
    """Turkish capitals too: İNDİRİM and INDIRIM are both indirim."""
    return words.replace("İ", "i").lower()

"""The segments that marketing teams expect, ready to be made. Data, in English and Turkish."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson


class Words(NamedTuple):
    """A text in each language."""

    en: str
    tr: str

    def of(self, language: str) -> str:
        """In `tr` or `en`; English for any other."""
        return self.tr if language == "tr" else self.en


class Parameter(NamedTuple):
    """A value to be chosen, which stands as `{name}` in the expression."""

    name: str
    type: str
    """`string`, `int`, `double`, `duration`, `distance`, `place` or `attribute`."""
    default: str | int | float | None
    """None: one must be chosen."""
    description: Words


class Ready(NamedTuple):
    """A segment ready to be made."""

    name: str
    category: str
    display_name: Words
    description: Words
    expression: str
    parameters: tuple[Parameter, ...] = ()


def filled(ready: Ready, given: Mapping[str, str | int | float] | None = None) -> str:
    """The expression with these values, or the defaults. Raises ValueError for a name that is no
    parameter's, a value that is missing, and one that is not of its type."""
    values = dict(given or {})
    source = ready.expression
    for one in ready.parameters:
        value = values.pop(one.name, one.default)
        if value is None:
            raise ValueError(f"{one.name} must be chosen: {one.description.en}")
        source = source.replace(f"{{{one.name}}}", _written(one, value))
    if values:
        known = ", ".join(one.name for one in ready.parameters) or "none"
        raise ValueError(f"{min(values)} is no parameter of {ready.name}; known: {known}")
    return source


def _written(parameter: Parameter, value: str | int | float) -> str:
    """As it stands in the expression, between its quotes where it is a text."""
    if parameter.type in ("int", "double"):
        kind = int if parameter.type == "int" else float
        try:
            return repr(kind(value))
        except ValueError:
            raise ValueError(f"{parameter.name}: {value} is no {parameter.type}") from None
    return orjson.dumps(str(value)).decode()[1:-1]


def _days(name: str, default: str, en: str, tr: str) -> Parameter:
    return Parameter(name, "duration", default, Words(en, tr))


def _count(name: str, default: int, en: str, tr: str) -> Parameter:
    return Parameter(name, "int", default, Words(en, tr))


def _amount(name: str, default: float, en: str, tr: str) -> Parameter:
    return Parameter(name, "double", default, Words(en, tr))


def _engagement(level: str, en: str, tr: str, more_en: str, more_tr: str) -> Ready:
    return Ready(
        f"engagement_{level}",
        "engagement",
        Words(f"{en} engagement", f"{tr} etkileşim"),
        Words(more_en, more_tr),
        f'traits.engagement == "{level}"',
    )


def _content(kind: str, en: str, tr: str, more_en: str, more_tr: str) -> Ready:
    return Ready(
        f"prefers_{'visual' if kind == 'media' else kind}",
        "content",
        Words(en, tr),
        Words(more_en, more_tr),
        f'traits.content_preference == "{kind}"',
    )


_RECENT: Final = _days(
    "recency", "30d", "How long ago at most the last order was", "Son sipariş en çok ne kadar önce"
)
_WINDOW: Final = _days("window", "90d", "The time that counts", "Bakılan süre")
_ORDERS: Final = _count("orders", 3, "So many orders at least", "En az bu kadar sipariş")

READY: Final[tuple[Ready, ...]] = (
    _engagement(
        "high",
        "High",
        "Yüksek",
        "The most active fifth of everybody: reads, clicks, answers and buys.",
        "Herkesin en etkin beşte biri: okuyan, tıklayan, yanıtlayan ve alışveriş yapanlar.",
    ),
    _engagement(
        "medium",
        "Medium",
        "Orta",
        "Neither among the most nor among the least active.",
        "Ne en etkin ne de en az etkin olanlar.",
    ),
    _engagement(
        "low",
        "Low",
        "Düşük",
        "Does something now and then, less than most.",
        "Ara sıra bir şey yapan, çoğundan az etkin olanlar.",
    ),
    Ready(
        "active_recently",
        "engagement",
        Words("Active recently", "Yakın zamanda etkin"),
        Words(
            "Wrote to us, read a message or looked at a page within the time given.",
            "Verilen süre içinde bize yazan, mesaj okuyan ya da sayfa görüntüleyenler.",
        ),
        'events("message_received").within("{window}").exists()'
        ' || events("message_read").within("{window}").exists()'
        ' || events("page_viewed").within("{window}").exists()',
        (_days("window", "7d", "The time that counts", "Bakılan süre"),),
    ),
    Ready(
        "buyers_frequent",
        "purchase",
        Words("Frequent buyers", "Sık alışveriş yapanlar"),
        Words(
            "Ordered so many times within the time given.",
            "Verilen süre içinde en az bu kadar sipariş verenler.",
        ),
        'events("order_completed").within("{window}").count() >= {orders}',
        (_WINDOW, _ORDERS),
    ),
    Ready(
        "buyers_occasional",
        "purchase",
        Words("Occasional buyers", "Ara sıra alışveriş yapanlar"),
        Words(
            "Ordered within the time given, but less often than frequent buyers.",
            "Verilen süre içinde sipariş veren, ama sık alışveriş yapmayanlar.",
        ),
        'events("order_completed").within("{window}").exists()'
        ' && events("order_completed").within("{window}").count() < {orders}',
        (
            _days("window", "365d", "The time that counts", "Bakılan süre"),
            _count("orders", 3, "Fewer orders than these", "Bundan az sipariş"),
        ),
    ),
    Ready(
        "buyers_new",
        "purchase",
        Words("New buyers", "Yeni müşteriler"),
        Words(
            "Placed their first order within the time given.",
            "İlk siparişini verilen süre içinde verenler.",
        ),
        'traits.first_order_time > now() - duration("{window}")',
        (_days("window", "30d", "The time that counts", "Bakılan süre"),),
    ),
    Ready(
        "buyers_lapsed",
        "purchase",
        Words("Lapsed buyers", "Uzaklaşan müşteriler"),
        Words(
            "Bought before, and not for the time given.",
            "Daha önce alışveriş yapmış, verilen süredir yapmamış olanlar.",
        ),
        'traits.order_count >= 1 && traits.last_order_time <= now() - duration("{window}")',
        (_days("window", "180d", "Nothing bought for so long", "Bu kadar süredir alışveriş yok"),),
    ),
    Ready(
        "buyers_never",
        "purchase",
        Words("Never bought", "Hiç alışveriş yapmayanlar"),
        Words(
            "Looked at a product, and never placed an order.",
            "Ürün inceleyip hiç sipariş vermemiş olanlar.",
        ),
        'events("product_viewed").exists() && !events("order_completed").exists()',
    ),
    Ready(
        "big_spenders",
        "purchase",
        Words("Big spenders", "Çok harcayanlar"),
        Words(
            "Spent at least so much in all, less what was paid back.",
            "Toplamda, iadeler düşülünce, en az bu kadar harcayanlar.",
        ),
        "traits.net_total >= {total}",
        (_amount("total", 10_000.0, "In the shop's currency", "Mağazanın para biriminde"),),
    ),
    _content(
        "media",
        "Prefers pictures and videos",
        "Görsel içerik tercih edenler",
        "Answers messages with a picture or video more than those of text.",
        "Görsel ya da video içeren mesajlara metin mesajlarından daha çok yanıt verenler.",
    ),
    _content(
        "text",
        "Prefers text",
        "Metin tercih edenler",
        "Answers messages of text more than those with a picture or video.",
        "Metin mesajlarına görsel içeren mesajlardan daha çok yanıt verenler.",
    ),
    Ready(
        "cart_abandoned_24h",
        "cart",
        Words("Cart abandoned in the last 24 hours", "Son 24 saatte sepeti terk edenler"),
        Words(
            "Changed the cart within the last 24 hours, left it for the time given, and has not"
            " ordered since.",
            "Son 24 saat içinde sepetini değiştirip verilen süredir bırakan ve o zamandan beri"
            " sipariş vermeyenler.",
        ),
        'events("cart_updated").within("24h").exists()'
        ' && sequence("cart_updated", "order_completed").notWithin("{wait}")'
        ' && !sequence("cart_updated", "order_completed").within("24h")',
        (_days("wait", "1h", "How long the cart is left", "Sepetin bırakıldığı süre"),),
    ),
    Ready(
        "cart_valuable",
        "cart",
        Words("Valuable open cart", "Değerli açık sepet"),
        Words(
            "Has a cart open of at least this value.",
            "Değeri en az bu kadar olan açık sepeti bulunanlar.",
        ),
        "traits.cart_open && traits.cart_value >= {value}",
        (_amount("value", 1_000.0, "In the shop's currency", "Mağazanın para biriminde"),),
    ),
    Ready(
        "rfm_champions",
        "rfm",
        Words("RFM: champions", "RFM: şampiyonlar"),
        Words(
            "Bought recently, often and for much.",
            "Yakın zamanda, sık ve yüksek tutarda alışveriş yapanlar.",
        ),
        'traits.last_order_time > now() - duration("{recency}")'
        " && traits.order_count >= {orders} && traits.net_total >= {total}",
        (
            _RECENT,
            _count("orders", 5, "So many orders at least", "En az bu kadar sipariş"),
            _amount("total", 5_000.0, "So much spent at least", "En az bu kadar harcama"),
        ),
    ),
    Ready(
        "rfm_loyal",
        "rfm",
        Words("RFM: loyal", "RFM: sadık müşteriler"),
        Words(
            "Buys often, the last time not long ago, whatever for.",
            "Tutarı ne olursa olsun sık ve çok uzak olmayan zamanda alışveriş yapanlar.",
        ),
        'traits.last_order_time > now() - duration("{recency}") && traits.order_count >= {orders}',
        (
            _days("recency", "90d", *_RECENT.description),
            _count("orders", 5, "So many orders at least", "En az bu kadar sipariş"),
        ),
    ),
    Ready(
        "rfm_at_risk",
        "rfm",
        Words("RFM: at risk", "RFM: kaybedilebilecekler"),
        Words(
            "Bought often or for much, and not for a while.",
            "Sık ya da yüksek tutarda alışveriş yapmış, bir süredir yapmamış olanlar.",
        ),
        'traits.last_order_time <= now() - duration("{recency}")'
        " && (traits.order_count >= {orders} || traits.net_total >= {total})",
        (
            _days("recency", "90d", "No order for so long", "Bu kadar süredir sipariş yok"),
            _ORDERS,
            _amount("total", 2_000.0, "So much spent at least", "En az bu kadar harcama"),
        ),
    ),
    Ready(
        "rfm_cell",
        "rfm",
        Words("RFM: one cell", "RFM: tek hücre"),
        Words(
            "One cell of the table of recency, frequency and money, by its borders.",
            "Yenilik, sıklık ve tutar tablosunun, sınırlarıyla verilen bir hücresi.",
        ),
        'traits.last_order_time > now() - duration("{recency_most}")'
        ' && traits.last_order_time <= now() - duration("{recency_least}")'
        " && traits.order_count >= {orders_least} && traits.order_count < {orders_below}"
        " && traits.net_total >= {total_least} && traits.net_total < {total_below}",
        (
            _days(
                "recency_least", "30d", "Last order so long ago", "Son sipariş en az bu kadar önce"
            ),
            _days("recency_most", "90d", "Last order less long ago", "Son sipariş bundan az önce"),
            _count("orders_least", 2, "So many orders at least", "En az bu kadar sipariş"),
            _count("orders_below", 5, "Fewer orders than these", "Bundan az sipariş"),
            _amount("total_least", 500.0, "So much spent at least", "En az bu kadar harcama"),
            _amount("total_below", 2_000.0, "Less spent than this", "Bundan az harcama"),
        ),
    ),
    Ready(
        "birthday_today",
        "profile",
        Words("Birthday today", "Bugün doğum günü olanlar"),
        Words(
            "From midnight to midnight in the person's own time zone. Who was born on 29 February"
            " has it on the 28th in years without that day.",
            "Kişinin kendi saat diliminde gece yarısından gece yarısına. 29 Şubat'ta doğanların"
            " doğum günü, o günün olmadığı yıllarda 28 Şubat'tır.",
        ),
        "profile.birthday.isToday()",
    ),
    Ready(
        "language",
        "profile",
        Words("Speaks a language", "Bir dili konuşanlar"),
        Words(
            "By the language that was told or recognised, whatever the country.",
            "Söylenen ya da anlaşılan dile göre, ülkeye bakılmaksızın.",
        ),
        'profile.language == "{language}" || profile.language.startsWith("{language}-")',
        (Parameter("language", "string", "tr", Words("BCP 47: tr, en", "BCP 47: tr, en")),),
    ),
    Ready(
        "near_place",
        "place",
        Words("Near a place", "Bir yere yakın olanlar"),
        Words(
            "Last seen within the distance of a place, and not too long ago.",
            "Çok uzak olmayan bir zamanda bir yere verilen mesafede görülenler.",
        ),
        'near("{place}", "{distance}") && traits.last_location_time > now() - duration("{window}")',
        (
            Parameter("place", "place", None, Words("Id of the place", "Yerin kimliği")),
            Parameter("distance", "distance", "500m", Words("From its edge", "Kenarından uzaklık")),
            _days(
                "window", "1h", "Seen there so long ago at most", "En çok bu kadar önce görülmüş"
            ),
        ),
    ),
    Ready(
        "journey_stage",
        "stage",
        Words("In a stage of the customer journey", "Müşteri yolculuğunun bir aşamasındakiler"),
        Words(
            "By the business's own rules of stages.",
            "İşletmenin kendi aşama kurallarına göre.",
        ),
        'stage() == "{stage}"',
        (
            Parameter(
                "stage",
                "string",
                "consideration",
                Words(
                    "awareness, consideration, purchase, loyalty, lapsed, or your own",
                    "awareness, consideration, purchase, loyalty, lapsed ya da kendi aşamanız",
                ),
            ),
        ),
    ),
    Ready(
        "stage_reached",
        "stage",
        Words("Reached a stage recently", "Yakın zamanda bir aşamaya geçenler"),
        Words(
            "Moved to a stage within the time given, and is still there.",
            "Verilen süre içinde bir aşamaya geçip hâlâ orada olanlar.",
        ),
        'stage() == "{stage}"'
        ' && events("stage_changed").where(e, e.stage == "{stage}").within("{window}").exists()',
        (
            Parameter("stage", "string", "purchase", Words("The stage", "Aşama")),
            _days("window", "7d", "The time that counts", "Bakılan süre"),
        ),
    ),
    Ready(
        "predicted",
        "prediction",
        Words("Predicted by a score", "Bir puana göre öngörülenler"),
        Words(
            "A score of your model, told to us as an attribute, is at least so high.",
            "Modelinizin bize özellik olarak bildirilen puanı en az bu kadar olanlar.",
        ),
        "profile.{attribute} >= {score}",
        (
            Parameter(
                "attribute", "attribute", None, Words("Where the score stands", "Puanın adı")
            ),
            _amount("score", 0.8, "The lowest score that counts", "Sayılan en düşük puan"),
        ),
    ),
    Ready(
        "unhappy",
        "feedback",
        Words("Unhappy", "Memnun olmayanlar"),
        Words(
            "Has a complaint open, or writes in a bad mood.",
            "Açık şikâyeti olan ya da olumsuz bir dille yazanlar.",
        ),
        "traits.open_complaint || traits.sentiment <= {mood}",
        (_amount("mood", -0.4, "From -1 (bad) to 1 (good)", "-1 (kötü) ile 1 (iyi) arası"),),
    ),
    Ready(
        "no_reply",
        "engagement",
        Words("Read and did not answer", "Okuyup yanıtlamayanlar"),
        Words(
            "The last message that was read got no answer within the time given.",
            "Okunan son mesaja verilen süre içinde yanıt gelmeyenler.",
        ),
        'sequence("message_read", "message_received").notWithin("{wait}")'
        ' && events("message_read").within("{window}").exists()',
        (
            _days("wait", "24h", "The time to answer", "Yanıt süresi"),
            _days("window", "7d", "Read so long ago at most", "En çok bu kadar önce okunmuş"),
        ),
    ),
    Ready(
        "may_be_told",
        "consent",
        Words("May get marketing", "Pazarlama izni olanlar"),
        Words(
            "Agreed to marketing; it is checked again whenever a message is sent.",
            "Pazarlamaya izin verenler; izin her gönderimde yeniden denetlenir.",
        ),
        'consent("marketing")',
    ),
)

BY_NAME: Final = {one.name: one for one in READY}


def listed() -> list[Ready]:
    """By category and name."""
    return sorted(READY, key=lambda one: (one.category, one.name))

"""The pages of the dashboard: reports as HTML. No person appears on them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from services.reports.funnel import Outcome, Tally, rate
from services.reports.ledger import CampaignLine, CampaignReport, Live, VariantFigures
from services.reports.model import Activity, SegmentState
from services.reports.page import Child, Safe, bar, columns, join, table, tag
from services.reports.words import LANGUAGES, Speech

_TODAY: Final = ("sent", "delivered", "read", "clicked", "replied")
_OUTCOMES: Final[tuple[Outcome, ...]] = (
    *("read", "delivered", "sent", "pending", "failed"),
    *("unknown", "suppressed", "held_out", "cancelled"),
)
LIVE: Final = timedelta(minutes=15)
_TOP: Final = 12

SCRIPT: Final = """
const period = 5000;
async function refresh() {
  const main = document.querySelector("main");
  if (document.visibilityState === "visible" && !main.contains(document.activeElement)
      && !String(getSelection())) {
    try {
      const answer = await fetch(location.href, {credentials: "same-origin", redirect: "manual"});
      if (answer.type === "opaqueredirect") location.reload();  // the session ended
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      if (fresh) main.replaceChildren(...fresh.childNodes);
    } catch { /* the figures keep their time; the next turn tries again */ }
  }
  setTimeout(refresh, period);
}
setTimeout(refresh, period);
"""


def frame(
    say: Speech, title: str, body: Safe, style: str, nonce: str, *, path: str, signed_in: bool
) -> str:
    """A whole document around `body`. `path`: where the links of the languages lead."""
    links = [("/", "overview"), ("/campaigns", "campaigns"), ("/segments", "segments")]
    here = "/campaigns" if path.startswith("/campaigns/") else path
    menu = tag(
        "nav",
        tag(
            "ul",
            *(
                tag("li", tag("a", say(k), href=url, aria_current="page" if url == here else None))
                for url, k in links
            ),
        ),
        aria_label=say("main_menu"),
    )
    languages = tag(
        "ul",
        *(
            tag(
                "li",
                tag(
                    "a",
                    name,
                    href=f"{quote(path)}?lang={code}",
                    lang=code,
                    hreflang=code,
                    aria_current="true" if code == say.language else None,
                ),
            )
            for code, name in LANGUAGES.items()
        ),
        class_="languages",
        aria_label=say("language"),
    )
    leave = tag("form", tag("button", say("sign_out")), method="post", action="/sign-out")
    header = tag(
        "header",
        tag("a", say("skip"), href="#main", class_="skip"),
        tag("a", "Merhaba", href="/", class_="brand"),
        menu if signed_in else "",
        tag("div", languages, leave if signed_in else "", class_="side"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Merhaba"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Safe(style), nonce=nonce),
    )
    script = tag("script", Safe(SCRIPT), nonce=nonce) if signed_in else ""
    main = tag("main", body, id="main", tabindex="-1")
    return "<!doctype html>\n" + tag(
        "html", head, tag("body", header, main, script), lang=say.language
    )


def sign_in(say: Speech, wrong: bool) -> Safe:
    """The form that asks for the token."""
    return tag(
        "section",
        tag("h1", say("sign_in")),
        tag("p", say("wrong_token"), role="alert", class_="alert") if wrong else "",
        tag(
            "form",
            tag("label", say("token"), for_="token"),
            tag(
                "input",
                id="token",
                name="token",
                type="password",
                autocomplete="current-password",
                required=True,
                autofocus=True,
                aria_describedby="hint",
            ),
            tag("p", say("token_hint"), id="hint", class_="hint"),
            tag("button", say("sign_in")),
            method="post",
            action="/sign-in",
        ),
        class_="card narrow",
    )


def notice(title: str, hint: str) -> Safe:
    """A page that says why there is nothing on it."""
    return tag("section", tag("h1", title), tag("p", hint), class_="card narrow")


def overview(say: Speech, live: Live, now: datetime) -> Safe:
    """What happens now, what came of today's messages, how many contacts there are."""
    today = live.today
    figures = [_figure(say(k), say.number(getattr(today, k)), _of(say, today, k)) for k in _TODAY]
    figures += [
        _figure(say("failed"), say.number(today.outcomes["failed"]), ""),
        _figure(say("base"), say.number(live.base), ""),
    ]
    counts: Counter[tuple[str, str]] = Counter()
    for one in live.activity:
        counts[one.kind, one.name] += one.events
    rows: list[list[Child]] = [
        [tag("code", name), say.number(n)]
        for (_, name), n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:_TOP]
    ]
    return join(
        tag("h1", say("overview")),
        _fresh(say, live.fold_time, now),
        tag("h2", say("today")),
        tag("p", say("today_hint"), class_="hint"),
        tag("dl", *figures, class_="figures"),
        tag("h2", say("now")),
        tag(
            "div",
            _minutes(say, "message_out", live, now, lambda a: a.name == "message_sent"),
            _minutes(say, "message_in", live, now, lambda a: a.name == "message_received"),
            _minutes(say, "tracked", live, now, lambda a: a.kind == "tracked"),
            class_="grid",
        ),
        _or_nothing(say, rows, say("now"), [say("event"), say("count")]),
    )


def campaigns(
    say: Speech, lines: Sequence[CampaignLine], fold_time: datetime, now: datetime
) -> Safe:
    """The campaigns that changed last, each with its funnel in short."""
    heads = [say(k) for k in ("campaign", "state", "recipients", "sent", "delivered", "read")]
    heads += [say(k) for k in ("clicked", "replied", "failed")]
    rows: list[list[Child]] = [
        [
            tag(
                "a",
                line.state.name or line.state.campaign_id,
                href=f"/campaigns/{quote(line.state.campaign_id, safe='')}",
            ),
            _state(say, line.state.state),
            say.number(line.tally.recipients),
            say.number(line.tally.sent),
            _rated(say, line.tally.delivered, line.tally.sent),
            *(
                _rated(say, n, line.tally.delivered)
                for n in (line.tally.read, line.tally.clicked, line.tally.replied)
            ),
            say.number(line.tally.outcomes["failed"]),
        ]
        for line in lines
    ]
    return join(
        tag("h1", say("campaigns")),
        _fresh(say, fold_time, now),
        _or_nothing(say, rows, say("campaigns"), heads, numbers=2),
    )


def campaign(say: Speech, report: CampaignReport, now: datetime) -> Safe:
    """One campaign: funnel, outcomes, variants, reasons, orders."""
    state, total = report.state, report.total
    tally = total.tally
    about = [
        (say("state"), _state(say, state.state)),
        (say("audience"), say.number(state.audience) if state.audience else "–"),
        (say("launched"), say.moment(state.launch_time)),
        (say("cost"), say.money(tally.costs)),
        (say("orders"), say.number(total.sales.orders)),
        (say("revenue"), say.money(total.sales.revenues)),
    ]
    outcomes: list[list[Child]] = [
        [say(o), say.number(n), _share(say, n, tally.recipients)]
        for o in _OUTCOMES
        if (n := tally.outcomes[o])
    ]
    together = say.number(tally.recipients)
    return join(
        tag("h1", state.name or state.campaign_id),
        _fresh(say, report.fold_time, now),
        tag("dl", *(_figure(k, v, "") for k, v in about), class_="figures about"),
        tag("h2", say("funnel")),
        tag("p", say("funnel_hint"), class_="hint"),
        _funnel(say, total),
        tag("h2", say("variants")),
        _variants(say, report.variants),
        tag("h2", say("outcomes")),
        tag("p", say("outcomes_hint", total=together), class_="hint"),
        _or_nothing(
            say, outcomes, say("outcomes"), [say("outcome"), say("recipients"), say("share")]
        ),
        _reasons(say, "gates", "gate", tally.gates, tally.outcomes["suppressed"]),
        _reasons(say, "codes", "code", tally.codes, tally.outcomes["failed"]),
        tag("h2", say("sales")),
        tag("p", say("sales_hint"), class_="hint"),
        _sales(say, report.variants),
    )


def segments(
    say: Speech, states: Sequence[SegmentState], fold_time: datetime, now: datetime
) -> Safe:
    """Segments with their members now, and who came and went."""
    rows: list[list[Child]] = [
        [_named(s), *(say.number(n) for n in (s.members, s.entered, s.left))] for s in states
    ]
    heads = [say(k) for k in ("segment", "members", "entered", "left")]
    return join(
        tag("h1", say("segments")),
        _fresh(say, fold_time, now),
        _or_nothing(say, rows, say("segments"), heads),
    )


def _named(segment: SegmentState) -> Safe:
    """What people call it, with its id; the id alone where nobody told."""
    told = tag("code", segment.segment_id)
    return join(segment.name, " ", tag("small", told)) if segment.name else told


def _fresh(say: Speech, fold_time: datetime, now: datetime) -> Safe:
    lag = max((now - fold_time).total_seconds(), 0)
    words = say("fresh", time=say.clock(fold_time), lag=say.number(round(lag)))
    return tag("p", tag("time", words, datetime=fold_time.isoformat()), class_="fresh")


def _figure(name: str, value: Child, note: str) -> Safe:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else ""))


def _of(say: Speech, tally: Tally, step: str) -> str:
    """The rate that belongs to a figure."""
    rates = {
        "delivered": ("delivery_rate", tally.delivered, tally.sent),
        "read": ("read_rate", tally.read, tally.delivered),
        "clicked": ("click_rate", tally.clicked, tally.delivered),
        "replied": ("reply_rate", tally.replied, tally.delivered),
    }
    if step not in rates:
        return ""
    name, part, whole = rates[step]
    found = rate(part, whole)
    return f"{say(name)} {say.percent(found.value)}" if found else ""


def _minutes(
    say: Speech, key: str, live: Live, now: datetime, counts: Callable[[Activity], bool]
) -> Safe:
    end = int(now.timestamp()) // 60
    buckets = [0] * (int(LIVE.total_seconds()) // 60)
    for one in live.activity:
        place = len(buckets) - 1 - (end - int(one.minute.timestamp()) // 60)
        if counts(one) and 0 <= place < len(buckets):
            buckets[place] += one.events
    total = say.number(sum(buckets))
    return tag(
        "figure",
        tag("figcaption", say(key), tag("strong", total)),
        columns(buckets, say("per_minute", what=say(key), total=total)),
        class_="card",
    )


def _funnel(say: Speech, figures: VariantFigures) -> Safe:
    tally = figures.tally
    steps = [
        ("planned", tally.recipients),
        ("sent", tally.sent),
        ("delivered", tally.delivered),
        ("read", tally.read),
        ("clicked", tally.clicked),
        ("replied", tally.replied),
        ("converted", figures.sales.converted),
        ("opted_out", figures.opted_out),
    ]
    rows = [
        tag(
            "li",
            tag("span", say(key), class_="name"),
            bar(n / tally.recipients if tally.recipients else 0),
            tag("span", say.number(n), class_="value"),
            tag("span", _percent(say, n, tally.recipients), class_="rate"),
        )
        for key, n in steps
    ]
    return tag("ol", *rows, class_="funnel card")


def _variants(say: Speech, variants: Sequence[VariantFigures]) -> Safe:
    keys = ("variant", "template", "recipients", "sent", "delivered", "read", "clicked", "replied")
    heads = [say(k) for k in (*keys, "failed", "cost")]
    rows: list[list[Child]] = [
        [
            v.variant or say("no_variant"),
            v.template,
            say.number(v.tally.recipients),
            say.number(v.tally.sent),
            _rated(say, v.tally.delivered, v.tally.sent),
            *(
                _rated(say, n, v.tally.delivered)
                for n in (v.tally.read, v.tally.clicked, v.tally.replied)
            ),
            say.number(v.tally.outcomes["failed"]),
            say.money(v.tally.costs),
        ]
        for v in variants
    ]
    return _or_nothing(say, rows, say("variants"), heads, numbers=2)


def _reasons(
    say: Speech, title: str, head: str, counts: Mapping[str, int] | Mapping[int, int], whole: int
) -> Safe:
    if not counts:
        return Safe()
    ranked = sorted(counts.items(), key=lambda c: (-c[1], str(c[0])))
    rows: list[list[Child]] = [
        [tag("code", reason), say.number(n), _share(say, n, whole)] for reason, n in ranked
    ]
    heads = [say(head), say("messages"), say("share")]
    return join(tag("h2", say(title)), table(say(title), heads, rows))


def _sales(say: Speech, variants: Sequence[VariantFigures]) -> Safe:
    rows: list[list[Child]] = [
        [
            v.variant or say("no_variant"),
            v.template,
            say.number(v.sales.orders),
            _rated(say, v.sales.converted, v.tally.delivered),
            say.money(v.sales.revenues),
        ]
        for v in variants
    ]
    heads = [say(k) for k in ("variant", "template", "orders", "converted", "revenue")]
    return _or_nothing(say, rows, say("sales"), heads, numbers=2)


def _or_nothing(
    say: Speech, rows: list[list[Child]], caption: str, heads: list[str], numbers: int = 1
) -> Safe:
    if not rows:
        return tag("p", say("nothing"), class_="hint")
    return table(caption, heads, rows, numbers)


def _state(say: Speech, state: str) -> Safe:
    return tag("span", say.state(state), class_=f"state {state if state.isalpha() else ''}".strip())


def _percent(say: Speech, part: int, whole: int) -> str:
    found = rate(part, whole)
    return say.percent(found.value if found else None)


def _rated(say: Speech, part: int, whole: int) -> Safe:
    return join(say.number(part), tag("small", _percent(say, part, whole)))


def _share(say: Speech, part: int, whole: int) -> Safe:
    return join(bar(part / whole if whole else 0), tag("small", _percent(say, part, whole)))

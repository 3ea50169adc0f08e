"""Whatever a text holds that people write for us to read: it is read, or refused in words, soon."""

import os
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis import cron
from chassis.failures import FieldInvalid
from cli.apply import files
from expressions import ExpressionError, Facts, Registry, compile
from services.ingest.links import Signer
from services.ingest.track import wa_id
from services.ingest.visitor import Visitors, languages
from services.profile.person.phone import parse
from tests.security.anything import HOSTILE

ROOT: Final = Path(__file__).resolve().parents[2]
LONG: Final = os.environ.get("SURVIVE") == "long"
SOON_S: Final = 2.0
"""Of one text, in seconds of a processor: generous, since what blows up takes minutes."""
WALL: Final = datetime(2026, 11, 22, 9)  # noqa: DTZ001 - a clock on a wall
NOW_MS: Final = 1_795_000_000_000

FEW = settings(
    max_examples=20_000 if LONG else 100,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
RANDOM = st.randoms(use_true_random=False)
TEXTS = st.text(max_size=200) | st.sampled_from(HOSTILE)

REGISTRY = Registry(
    {"city": "string", "age": "int", "since": "timestamp", "tags": "list<string>", "vip": "bool"}
    | {"traits.engagement": "double", "weather": {"temperature_c": "double"}},
    {
        "cart_updated": {"total": "double", "sku": "string"},
        "order_completed": {"items": [{"sku": "string"}]},
    },
    purposes=["marketing"],
    segments=["vip"],
    known_places=["kadikoy"],
)
RULES: Final = (
    'events("cart_updated").where(e, e.total > 10.0 && e.sku != "x").within("24h").count() >= 2',
    'profile.city in ["İzmir", "Ankara"] && !(profile.age < 18) || segment("vip")',
    'sequence("cart_updated", "order_completed").notWithin("2h") ? profile.vip : has(profile.city)',
    'profile.tags.exists(t, t.startsWith("a") || t.matches("^(a+)+$")) && consent("marketing")',
    'near("kadikoy", "500m") && localTime().hour in [9, 10] && weather().temperature_c > 30.0',
    'now() - profile.since > duration("24h") && timestamp("2026-01-01T00:00:00Z") < profile.since',
    'events("order_completed").last().items[0].sku == "a" && traits.engagement * 2.0 + 1.0 > 3.0',
)
WORDS: Final = (
    *("(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "!", "&&", "||", "==", "<", "in", "-", "%"),
    *(
        '"',
        "'",
        "\\",
        "\\u",
        "//",
        "/*",
        "\0",
        "\n",
        "0x",
        "1e9",
        "9" * 30,
        "null",
        "true",
        "e",
        "İ",
    ),
    *("events", "profile", "where", "within", "exists", "matches", "now()", "_", "__class__"),
    *("(" * 90, "[" * 90, "!" * 90, "-" * 90, "a." * 90, " + 1" * 90, " ? 1 : 2" * 20, '"a"' * 20),
)


def cut_up(text: str, chance: Random, words: tuple[str, ...]) -> str:
    """A text with a few things wrong in it: a piece left out, said twice or elsewhere, a word put
    in."""
    for _ in range(chance.choice((1, 1, 2, 3, 10))):
        begin, end = sorted(chance.choices(range(len(text) + 1), k=2))
        piece = text[begin : min(end, begin + 30)]
        at = chance.randrange(len(text) + 1)
        text = chance.choice(
            (
                text[:begin] + text[begin + len(piece) :],
                text[:at] + piece + text[at:],
                text[:at] + chance.choice(words) + text[at:],
            )
        )
    return text


def soon(since: float) -> None:
    assert thread_time() - since < SOON_S


@FEW
@given(st.sampled_from(RULES), RANDOM, TEXTS, st.integers(0, 9))
def test_any_expression_is_a_rule_or_a_mistake_at_its_place(
    rule: str, chance: Random, text: str, turn: int
) -> None:
    source = text if turn == 0 else cut_up(rule, chance, WORDS)
    started = thread_time()
    try:
        expression = compile(source, REGISTRY)
    except ExpressionError as error:
        assert str(error)
        assert error.line >= 1 and error.column >= 1 and error.message
    else:
        facts = Facts()
        facts.insert("cart_updated", time=NOW_MS, properties={"total": 1.0, "sku": "a" * 60 + "!"})
        expression.evaluate(facts, NOW_MS)
    soon(started)


@pytest.mark.parametrize(
    "source",
    [
        'profile.tags.exists(t, t.matches("' + "(a+)+" * 50 + '$"))',
        'profile.city.matches("(a{1000}){1000}")',
        'profile.city.matches("' + "(" * 2_000 + ")" * 2_000 + '")',
        " && ".join(['events("cart_updated").within("100w").sum(e, e.total) > 1.0'] * 90),
        " + ".join(["profile.age * 9223372036854775807"] * 50) + " > 0",
        "profile.tags.exists(a, profile.tags.exists(b, a == b + b + b + b))",
    ],
)
def test_what_would_take_long_elsewhere_takes_no_longer_here(source: str) -> None:
    started = thread_time()
    try:
        expression = compile(source, REGISTRY)
    except ExpressionError as error:
        assert error.message
    else:
        said = {"city": "a" * 5_000 + "!", "tags": ["a" * 200] * 200, "age": 2**62}
        facts = Facts(attributes=said)
        expression.evaluate(facts, NOW_MS)
    soon(started)


@FEW
@given(TEXTS, st.sampled_from(("0 9 * * *", "*/5 1-5,7 1 jan mon-fri", "59 23 29 2 *")), RANDOM)
def test_any_timetable_has_a_next_time_or_is_refused(
    text: str, timetable: str, chance: Random
) -> None:
    for source in (text, cut_up(timetable, chance, ("*", "/", ",", "-", "0", "99", "9" * 5_000))):
        started = thread_time()
        try:
            found = cron.parse(source)
        except ValueError as error:
            assert str(error)
        else:
            assert found.after(WALL) is not None
        soon(started)


AGENTS: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80; U; en) Presto/2.5.25 Version/10.54",
)
VISITORS = Visitors()


@FEW
@given(st.sampled_from(AGENTS), RANDOM, TEXTS)
def test_any_browser_is_somebody_or_nobody(agent: str, chance: Random, text: str) -> None:
    said = cut_up(agent, chance, (text, "(", "/", ";", "\udcff", " " * 400, "9." * 200))
    headers = {"User-Agent": said, "Accept-Language": text, "Purpose": text}
    started = thread_time()
    found = VISITORS.visitor(headers)
    assert found is None or all(len(one) <= 64 for one in found)
    assert all(len(one) < 40 for one in languages(cut_up("tr-TR,tr;q=0.9", chance, WORDS)))
    soon(started)


@FEW
@given(TEXTS, RANDOM)
def test_any_phone_number_is_digits_or_none(text: str, chance: Random) -> None:
    written = cut_up("+90 (532) 123-45 67 ext. 8", chance, (text[:40], "+", "٣", "x", ";ext=", "0"))
    for number in (text, written):
        started = thread_time()
        digits = wa_id(number, "TR")
        assert digits == "" or (digits.isascii() and digits.isdigit() and len(digits) <= 17)
        try:
            digits = parse(number, "TR")
        except FieldInvalid as error:
            assert error.message
        else:
            assert digits.isascii() and digits.isdigit()
        soon(started)


SIGNER = Signer([b"a key that signs short links"])


@FEW
@given(TEXTS | st.text("ABCabc019-_", min_size=22, max_size=700))
def test_no_text_that_nobody_signed_is_a_token(text: str) -> None:
    assert SIGNER.read(text) is None


DECLARATIONS: Final = tuple(file.read_text() for file in sorted((ROOT / "samples").rglob("*.yaml")))
YAML: Final = (
    *("- ", ": ", "{", "}", "[", "]", "&a ", "*a", "!!python/object:os.system ", "|", ">", "\t"),
    *("---\n", "\n", "? ", "<<: *a", "[" * 300, "{a: " * 300, "9" * 400, ".nan", "\0", "'", '"'),
    *("kind: segment\n", "name: x\n", "null", "2026-13-45", "0x", "\ufeff", "%YAML 9\n", "é"),
)


def declared(folder: Path, said: str | bytes) -> tuple[list[Any], list[Any]]:
    file = folder / "any.yaml"
    file.write_bytes(said if isinstance(said, bytes) else said.encode("utf-8", "surrogatepass"))
    started = thread_time()
    found = files.read([file])
    soon(started)
    return found


@FEW
@given(st.sampled_from(DECLARATIONS), RANDOM)
def test_any_file_of_declarations_is_read_or_its_mistakes_are_told_at_their_lines(
    tmp_path_factory: pytest.TempPathFactory, text: str, chance: Random
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found, mistakes = declared(folder, cut_up(text, chance, YAML))
    for mistake in mistakes:
        assert mistake.line >= 1 and mistake.said
    for one in found:
        for path in ("a.b", f"{one.kind.name}.name", "x.samples[0].y", "trigger.action.send[9]"):
            assert one.mistake("no", path).line >= 1
        assert one.names("segment") is not None


BOMB: Final = "".join(
    f"      {b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "said",
    [
        "[" * 3_000,
        "{a: " * 3_000,
        "- " * 3_000,
        "kind: segment\nname: &a [*a]\n",
        "kind: trigger\nname: x\naction: &a {send: *a}\n",
        "kind: segment\nname: x\nparameters:\n  a: &a [x, x]\n" + BOMB,
        "kind: trigger\nname: x\nsamples:\n  - properties_json:\n      a: &a [x, x]\n" + BOMB,
        "kind: trigger\nname: x\nsamples:\n  - properties_json: &a [*a]\n",
        "kind: trigger\nname: x\n? [a, b]\n: c\n",
        "kind: trigger\nname: x\n? {a: b}\n: c\n",
        b"\xff\xfe\x00kind",
        b"kind: \xc3\x28",
        "kind: segment\nname: " + "x" * 2_000_000,
    ],
    ids=range(13),
)
def test_files_that_would_never_end_are_refused(tmp_path: Path, said: str | bytes) -> None:
    found, mistakes = declared(tmp_path, said)
    assert mistakes and not found

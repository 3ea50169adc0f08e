"""Text to syntax tree, by the grammar that cel-python maintains.

The grammar file is read from that package without importing it: its `__init__` brings the
interpreter with its calendar and YAML libraries, 7 MB of memory that nothing here needs.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from expressions.errors import ExpressionError
from expressions.syntax import (
    AllOf,
    AnyOf,
    Binary,
    Call,
    Conditional,
    Index,
    ListOf,
    Literal,
    Name,
    Node,
    Select,
    Unary,
)

MAX_SOURCE = 8_000  # characters; a rule of a thousand words is a mistake, or an attack
MAX_DEPTH = 60  # levels of nesting; each costs a few Python frames when compiled and when run

_INT64 = range(-(2**63), 2**63)
_BINARY = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_TRANSPARENT = frozenset(
    {
        "expr",
        "conditionalor",
        "conditionaland",
        "relation",
        "addition",
        "multiplication",
        "unary",
        "member",
        "primary",
        "paren_expr",
    }
)
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\'"`?])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))""",
    re.DOTALL,
)
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CLOSING = {"RPAR": ")", "RSQB": "]", "COLON": ":"}
_WORDS = {
    "and": "&&",
    "AND": "&&",
    "or": "||",
    "OR": "||",
    "not": "!",
    "NOT": "!",
}


def parse(source: str) -> Node:
    """The syntax tree of `source`; raises ExpressionError where it is not CEL."""
    if len(source) > MAX_SOURCE:
        raise ExpressionError(
            source, 0, 1, f"too long: {len(source)} characters, at most {MAX_SOURCE}"
        )
    if not source.strip():
        raise ExpressionError(source, 0, 1, 'empty; write a condition such as `profile.city == ""`')
    try:
        tree = _grammar().parse(source)
    except UnexpectedInput as error:
        _explain_syntax(source, error)
    return _Builder(source).node(tree, 0)


@cache
def _grammar() -> Lark:
    package = find_spec("celpy")
    if package is None or not package.submodule_search_locations:
        raise ImportError("the package cel-python, which holds CEL's grammar, is not installed")
    text = (Path(package.submodule_search_locations[0]) / "cel.lark").read_text()
    return Lark(
        text,
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )


def _explain_syntax(source: str, error: UnexpectedInput) -> NoReturn:
    start = error.pos_in_stream if error.pos_in_stream is not None else 0
    if isinstance(error, UnexpectedToken):
        token = error.token
        if token.type == "$END":
            start = len(source.rstrip())
            problem = "ends too early; something is missing"
            raise ExpressionError(source, start, start + 1, problem, _expected(error.expected))
        text, end = str(token), start + len(token)
        expected = _expected(error.expected)
    else:
        text, end, expected = source[start : start + 1], start + 1, ""
    if text in _WORDS:
        message = f"`{text}` is not an operator here; write `{_WORDS[text]}`"
        expected = _WORDS[text]
    elif text in {"=", "&", "|"}:
        message = f"a single `{text}` means nothing; write `{text * 2}`"
        expected = text * 2
    elif text in {'"', "'"}:
        message = "this text has no end; close the quotation mark"
        expected = text
    elif text in {"“", "”", "‘", "’", "„"}:
        message = f'`{text}` is not a quotation mark of the language; write `"`'
        expected = '"'
    else:
        message = f"did not expect `{text}` here"
    raise ExpressionError(source, start, end, message, expected) from None


def _expected(terminals: Iterable[str]) -> str:
    """What the grammar would take, in words."""
    known = set(terminals)
    if "IDENT" in known:
        return "a value"
    closing = [sign for name, sign in _CLOSING.items() if name in known]
    return f"{closing[0]} or an operator" if len(closing) == 1 else "an operator"


class _Builder:
    def __init__(self, source: str) -> None:
        self.source = source

    def node(self, tree: Tree[Token], depth: int) -> Node:
        while tree.data in _TRANSPARENT and len(tree.children) == 1:
            tree = _tree(tree.children[0])
        start, end = tree.meta.start_pos, tree.meta.end_pos
        if depth > MAX_DEPTH:
            raise ExpressionError(
                self.source, start, end, f"nested too deeply, at most {MAX_DEPTH} levels"
            )
        depth += 1
        children = tree.children
        match tree.data:
            case "expr":
                condition, then, otherwise = (self.node(_tree(c), depth) for c in children)
                return Conditional(start, end, condition, then, otherwise)
            case "conditionalor":
                return AnyOf(start, end, self.parts(tree, AnyOf, depth))
            case "conditionaland":
                return AllOf(start, end, self.parts(tree, AllOf, depth))
            case "relation" | "addition" | "multiplication":
                operation = _tree(children[0])
                return Binary(
                    start,
                    end,
                    _BINARY[operation.data],
                    self.node(_tree(operation.children[0]), depth),
                    self.node(_tree(children[1]), depth),
                )
            case "unary":
                operator = "!" if _tree(children[0]).data == "unary_not" else "-"
                return Unary(start, end, operator, self.node(_tree(children[1]), depth))
            case "member_dot":
                field = _token(children[1])
                operand = self.node(_tree(children[0]), depth)
                return Select(start, end, operand, str(field), _start(field))
            case "member_dot_arg":
                name = _token(children[1])
                receiver = self.node(_tree(children[0]), depth)
                args = self.args(children[2:], depth)
                return Call(start, end, receiver, str(name), _start(name), args)
            case "member_index":
                operand, key = (self.node(_tree(c), depth) for c in children)
                return Index(start, end, operand, key)
            case "ident_arg":
                name = _token(children[0])
                args = self.args(children[1:], depth)
                return Call(start, end, None, str(name), _start(name), args)
            case "ident":
                ident = str(children[0])
                if ident in {"true", "false"}:
                    return Literal(start, end, ident == "true")
                return Name(start, end, ident)
            case "list_lit":
                return ListOf(start, end, self.args(children, depth))
            case "literal":
                return self.literal(_token(children[0]), start, end)
            case _:
                raise ExpressionError(
                    self.source, start, end, "this part of CEL has no use here: maps and messages"
                )

    def parts(self, tree: Tree[Token], kind: type[AllOf | AnyOf], depth: int) -> tuple[Node, ...]:
        # The grammar nests to the left; a loop keeps a rule of hundreds of clauses flat.
        rule, right = tree.data, []
        while tree.data == rule and len(tree.children) == 2:
            right.append(self.node(_tree(tree.children[1]), depth))
            tree = _tree(tree.children[0])
        nodes = [self.node(tree, depth), *reversed(right)]
        return tuple(
            part for node in nodes for part in (node.parts if isinstance(node, kind) else (node,))
        )

    def args(self, children: list[Tree[Token] | Token], depth: int) -> tuple[Node, ...]:
        if not children:
            return ()
        return tuple(self.node(_tree(child), depth) for child in _tree(children[0]).children)

    def literal(self, token: Token, start: int, end: int) -> Literal:
        match token.type:
            case "INT_LIT" | "UINT_LIT":
                number = int(token.rstrip("uU"), 0 if "x" in token else 10)
                if number not in _INT64:
                    raise ExpressionError(self.source, start, end, "a whole number beyond 64 bits")
                return Literal(start, end, number)
            case "FLOAT_LIT":
                return Literal(start, end, float(token))
            case "STRING_LIT" | "MLSTRING_LIT":
                return Literal(start, end, self.text(token, start, end))
            case "NULL_LIT":
                return Literal(start, end, None)
            case _:
                raise ExpressionError(
                    self.source, start, end, 'bytes have no use here; write "text"'
                )

    def text(self, token: str, start: int, end: int) -> str:
        raw = token[0] in "rR"
        body: str = token[1:] if raw else token
        quotes = 3 if body[:3] in {'"""', "'''"} else 1
        body = body[quotes:-quotes]
        return body if raw else _ESCAPE.sub(lambda found: self.escape(found, start, end), body)

    def escape(self, found: re.Match[str], start: int, end: int) -> str:
        simple, two, four, eight, octal, other = found.groups()
        if simple:
            return _SIMPLE_ESCAPES.get(simple, simple)
        if other is not None:
            raise ExpressionError(
                self.source, start, end, f'`\\{other}` is no escape; write `\\\\` or r"…"'
            )
        number = int(octal, 8) if octal else int(two or four or eight, 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise ExpressionError(self.source, start, end, f"no character has the number {number}")
        return chr(number)


def _tree(child: Tree[Token] | Token) -> Tree[Token]:
    assert isinstance(child, Tree)
    return child


def _token(child: Tree[Token] | Token) -> Token:
    assert isinstance(child, Token)
    return child


def _start(token: Token) -> int:
    assert token.start_pos is not None
    return token.start_pos

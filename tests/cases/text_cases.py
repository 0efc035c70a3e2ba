"""Texts as browsers, shells, older clients and other languages send them."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from tests.cases.case import (
    AnyOf,
    Case,
    Count,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
    as_json,
    inputs,
)

SENTIMENT, EMBEDDING, PAIR = "text/sentiment", "text/embedding", "text/paraphrase"
GOOD = "The cast shines and the ending moved me"
BAD = "A tired plot, badly told"
ACCENTS = "Amélie est un film très réussi"
FIRST = "The bridge\twas closed on Monday."
SECOND = "On Monday nobody could cross the bridge."

EXACT = 0.001


def plain(text: object) -> Factory:
    return inputs(text)


def declared(text: str, content_type: str = "text/plain", charset: str = "utf-8") -> Factory:
    return lambda: Sent(text.encode(charset), content_type)


def same(name: str, made: Factory, wanted: Factory, route: str = SENTIMENT) -> Case:
    return Case(f"text: {name}", route, made, SameAs(wanted, EXACT))


def requested(value: object, **others: object) -> str:
    return json.dumps({"inputs": value, **others})


CASES = [
    same("a byte order mark", declared(GOOD, charset="utf-8-sig"), plain(GOOD)),
    same("a text in UTF-16", declared(GOOD, charset="utf-16"), plain(GOOD)),
    same(
        "fields of a form",
        lambda: Sent(
            urlencode({"inputs": GOOD}).encode(), "application/x-www-form-urlencoded"
        ),
        plain(GOOD),
    ),
    same(
        "JSON that is declared as text",
        declared(requested(BAD), "text/plain;charset=UTF-8"),
        plain(BAD),
    ),
    same(
        "JSON of two texts that is declared as text",
        declared(requested([BAD, GOOD]), "text/plain;charset=UTF-8"),
        plain([BAD, GOOD]),
    ),
    same(
        "JSON for an embedding that is declared as text",
        declared(requested([GOOD, BAD])),
        plain([GOOD, BAD]),
        EMBEDDING,
    ),
    same(
        "JSON with a byte order mark",
        declared(requested(GOOD), "application/json", "utf-8-sig"),
        plain(GOOD),
    ),
    same(
        "a declared Windows-1252",
        declared(ACCENTS, 'text/plain; charset="windows-1252"', "cp1252"),
        plain(ACCENTS),
    ),
    same(
        "options of an older client",
        lambda: as_json({"inputs": [GOOD], "options": {"use_cache": False}}),
        plain([GOOD]),
        EMBEDDING,
    ),
    same(
        "a pair whose first line holds a tab",
        declared(f"{FIRST}\n{SECOND}"),
        plain({"text": FIRST, "text_pair": SECOND}),
        PAIR,
    ),
    Case("text: more texts than a batch holds", EMBEDDING, plain([GOOD] * 70), Count(70)),
    Case(
        "text: a review whose end is not read",
        SENTIMENT,
        plain("We waited and then we waited again. " * 200 + GOOD),
        AnyOf([Noted("cut"), Refused("tokens|long")]),
    ),
    Case(
        "text: a plain text whose end is not read",
        EMBEDDING,
        declared("Chapter one, in which nothing happens. " * 150),
        AnyOf([Noted("cut"), Refused("tokens|long")]),
    ),
    Case(
        "text: a long text that must not be cut",
        EMBEDDING,
        inputs("very " * 2500 + "long", truncate=False),
        Refused("tokens|long", statuses=(413, 422), lacks="damaged"),
    ),
    Case(
        "text: a token below the vocabulary",
        "/v2/models/text_sentiment/infer",
        lambda: as_json(
            {
                "inputs": [
                    {"name": "input_ids", "shape": [1, 3], "datatype": "INT32"}
                    | {"data": [101, -7, 102]},
                    *(
                        {"name": name, "shape": [1, 3], "datatype": "INT32", "data": [1, 1, 1]}
                        for name in ("token_type_ids", "attention_mask")
                    ),
                ]
            }
        ),
        Refused("index|below|negative|range", statuses=(400, 422)),
    ),
    Case(
        "text: nothing but signs", SENTIMENT, declared("?! ... ---"), AnyOf([Noted("empty")])
    ),
    Case("text: an unknown sign", SENTIMENT, declared("a 🦖 film"), Noted("unknown_category")),
    Case("text: another text", SENTIMENT, declared(BAD), OtherThan(plain(GOOD), EXACT)),
]  # fmt: skip

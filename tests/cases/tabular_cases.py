"""Tables as spreadsheets, data frames, databases and shells write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.cases.case import (
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
    as_csv,
    as_json,
    inputs,
)
from tests.support.sample_files.workbooks import workbook

INCOME, MARKETING = "tabular/income", "tabular/marketing"
EXACT = 0.001

Rows = Sequence[Mapping[str, Any]]

_COLUMNS = (
    "age workclass education education-num marital-status occupation relationship race sex"
    " capital-gain capital-loss hours-per-week native-country"
)
_NAMES = _COLUMNS.split()
PEOPLE: Rows = [
    dict(zip(_NAMES, row, strict=True))
    for row in (
        (46, "Private", "HS-grad", 9, "Divorced", "Craft-repair", "Not-in-family", "White",
         "Male", 0, 0, 44, "Canada"),
        (33, "Local-gov", "Masters", 14, "Married-civ-spouse", "Prof-specialty", "Wife",
         "Black", "Female", 15_024, 0, 38, "United-States"),
        (61, "Self-emp-inc", "Bachelors", 13, "Widowed", "Sales", "Unmarried", "White",
         "Female", 0, 1_977, 52, "England"),
        (24, "Private", "Some-college", 10, "Never-married", "Other-service", "Own-child",
         "Asian-Pac-Islander", "Male", 0, 0, 21, "China"),
    )
]  # fmt: skip

_CLIENT_COLUMNS = (
    "age job marital education default balance housing loan contact day month duration"
    " campaign pdays previous poutcome"
)
_CLIENT_NAMES = _CLIENT_COLUMNS.split()
CLIENTS: Rows = [
    dict(zip(_CLIENT_NAMES, row, strict=True))
    for row in (
        (41, "technician", "married", "secondary", "no", 1270, "yes", "no", "cellular", 7,
         "jul", 389, 2, -1, 0, "unknown"),
        (29, "student", "single", "tertiary", "no", 640, "no", "no", "cellular", 3, "mar", 811,
         1, 92, 2, "success"),
        (55, "retired", "divorced", "primary", "yes", -80, "no", "yes", "telephone", 9, "nov",
         77, 4, -1, 0, "unknown"),
    )
]  # fmt: skip


def table(rows: Rows, delimiter: str = ",", **options: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, **options)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def changed(rows: Rows, name: str, change: Callable[[Any], Any]) -> Rows:
    return [{**row, name: change(row[name])} for row in rows]


def people() -> Sent:
    return as_csv(table(PEOPLE))


def clients() -> Sent:
    return as_csv(table(CLIENTS))


def columns() -> dict[str, list[Any]]:
    return {name: [row[name] for row in PEOPLE] for name in _NAMES}


def with_hours(rows: Rows) -> Rows:
    return changed(rows, "hours-per-week", lambda hours: hours + 0.5)


def as_parquet() -> bytes:
    file = io.BytesIO()
    reordered = {name: columns()[name] for name in sorted(_NAMES, reverse=True)}
    parquet.write_table(pa.table({"__index_level_0__": [9, 2, 5, 7], **reordered}), file)
    return file.getvalue()


def as_workbook() -> bytes:
    return workbook({"people": [_NAMES, *[list(row.values()) for row in PEOPLE]]})


def json_lines() -> bytes:
    return b"\n".join(as_json(row).content for row in PEOPLE)


def split() -> dict[str, Any]:
    return {
        "columns": _NAMES,
        "index": list("abcd"),
        "data": [list(row.values()) for row in PEOPLE],
    }


def same(name: str, made: Factory, wanted: Factory = people, route: str = INCOME) -> Case:
    return Case(f"tabular: {name}", route, made, SameAs(wanted, EXACT))


def told(name: str, made: Factory, words: str, wanted: Factory, route: str = MARKETING) -> Case:
    expected = AnyOf([SameAs(wanted, EXACT / 4), Noted(words), Refused(words)])
    return Case(f"tabular: {name}", route, made, expected)


CASES = [
    same(
        "quoted cells and Windows' line ends",
        lambda: as_csv(table(PEOPLE, quoting=csv.QUOTE_ALL, lineterminator="\r\n")),
    ),
    same(
        "decimal commas between semicolons",
        lambda: as_csv(table(with_hours(PEOPLE), ";").replace(".5", ",5")),
        lambda: as_csv(table(with_hours(PEOPLE))),
    ),
    same(
        "quoted thousands",
        lambda: as_csv(table(changed(PEOPLE, "capital-gain", "{:,}".format))),
    ),
    same("a data frame in Parquet with row numbers", as_parquet),
    same("a workbook", as_workbook),
    same("one object a line", json_lines),
    same("a table in UTF-16 with tabs", lambda: as_csv(table(PEOPLE, "\t"), "utf-16")),
    same(
        "a declared Latin-1",
        lambda: as_csv(
            table([{**row, "remark": "très bien"} for row in PEOPLE]),
            "latin-1",
            "text/csv; charset=latin1",
        ),
    ),
    same(
        "empty rows of a spreadsheet",
        lambda: as_csv(table(PEOPLE) + ("," * (len(_NAMES) - 1) + "\r\n") * 3),
    ),
    same("a table that is declared as text", lambda: as_csv(table(PEOPLE), declared="text/plain")),
    same("the text of a table in JSON", inputs(table(PEOPLE))),
    same("columns of a data frame", inputs({k: dict(enumerate(v)) for k, v in columns().items()})),
    same("rows of a data frame by index", inputs({f"p{i}": row for i, row in enumerate(PEOPLE)})),
    same("a data frame that is split", inputs(split())),
    same(
        "a data frame as MLflow sends it",
        lambda: as_json({"dataframe_split": {k: v for k, v in split().items() if k != "index"}}),
    ),
    same("instances", lambda: as_json({"instances": PEOPLE})),
    same(
        "a missing number as Excel writes it",
        lambda: as_csv(table(changed(PEOPLE, "age", lambda age: "#N/A" if age > 60 else age))),
        lambda: as_csv(table(changed(PEOPLE, "age", lambda age: "" if age > 60 else age))),
    ),
    told(
        "a day that pandas made a float",
        lambda: as_csv(table(changed(CLIENTS, "day", float))),
        "day",
        clients,
    ),
    told(
        "a day with a zero in front",
        lambda: as_csv(table(changed(CLIENTS, "day", "{:02}".format))),
        "day",
        clients,
    ),
    told(
        "true and false for yes and no",
        lambda: as_csv(table(changed(CLIENTS, "housing", lambda cell: cell == "yes"))),
        "housing",
        clients,
    ),
    told(
        "months in capitals",
        lambda: as_csv(table(changed(CLIENTS, "month", str.upper))),
        "month",
        clients,
    ),
    Case(
        "tabular: an occupation that nobody knows",
        INCOME,
        lambda: as_csv(table(changed(PEOPLE, "occupation", lambda _: "Astronaut"))),
        AnyOf([Noted("unknown_category"), Refused("occupation|Astronaut")]),
    ),
    Case(
        "tabular: a table whose line breaks were lost",
        INCOME,
        lambda: as_csv(table(PEOPLE).replace("\r\n", "")),
        Refused("line ?breaks?|newlines?|--data-binary"),
    ),
    Case(
        "tabular: other people",
        INCOME,
        lambda: as_csv(table(changed(PEOPLE, "education-num", lambda years: 25 - years))),
        OtherThan(people, EXACT),
    ),
]

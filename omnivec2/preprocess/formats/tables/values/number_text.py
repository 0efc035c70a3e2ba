"""Numbers as people and spreadsheets write them: decimal commas, thousands, units, currencies."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatColumn = npt.NDArray[np.float64]
Decimal = Literal[".", ","]

MISSING_TEXTS = frozenset(
    {
        "",
        "?",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "na",
        "n/a",
        "n.a.",
        "nan",
        "-nan",
        "nat",
        "nil",
        "null",
        "none",
        "missing",
        "(null)",
        "(missing)",
        "(blank)",
        "<na>",
        "<null>",
        "\\n",
        "#n/a",
        "#n/a n/a",
        "#na",
        "#nv",
        "#null!",
        "#value!",
        "#div/0!",
        "#num!",
        "#ref!",
        "#name?",
        "1.#qnan",
        "-1.#qnan",
        "1.#ind",
        "-1.#ind",
    }
)
"""The spellings of a missing value in text, in lower case: those of pandas, R, SQL and Excel."""

UNITS = frozenset(
    """
    % ‰ ° °c °f °/s kelvin g mg kg t lb lbs oz m cm mm µm um nm km mi ft in m/s m/s2 m/s²
    m/s^2 cm/s km/h kmh kph mph kn s sec secs ms us µs ns min mins h hr hrs hour hours d day
    days week weeks month months y yr yrs year years w mw kw gw wh kwh mwh gwh j kj mj v mv
    kv a ma ah mah ohm ω hz khz mhz ghz pa hpa kpa mpa bar mbar psi atm mmhg l ml dl m3 m³
    m2 m² ft2 ft² ppm ppb db dba dbm lx lux lm cd rad rad/s mrad deg deg/s dps grad t ut µt
    mt gauss mgauss n kn nm rpm bpm kcal cal px pcs kb kib mib gb pct percent
    """.split()  # noqa: SIM905
)
"""The units that may stand behind a number, in lower case."""

_MULTIPLES = frozenset({"M", "K", "B"})
"""These stand for millions and the like as often as for a unit."""

_CURRENCIES = (
    r"(?:US\$|R\$|A\$|C\$|[€$£¥₹₩₽₺₪฿]|USD|EUR|GBP|JPY|CHF|INR|CNY|RMB|AUD|CAD|NZD|SEK|NOK|DKK|PLN"
    r"|CZK|HUF|BRL|MXN|ZAR|KRW|RUB|TRY)"
)
_SPACES = " \u00a0\u2007\u2009\u202f"
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−]?)\s*(?P<currency>{_CURRENCIES})?\s*(?P<sign2>[-+−]?)"
    rf"(?P<digits>[0-9](?:[0-9.,'’{_SPACES}]*[0-9])?\.?|[.,][0-9]+)(?P<power>[eE][-+]?[0-9]{{1,3}})?"
    r"\s*(?P<unit>[^\W\d_%‰°²³][^\s\d]{0,7}[\d²³]?|[%‰°][^\s\d]{0,3})?\s*(?P<close>\))?"
)
_GROUPS = {mark: re.compile(rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+") for mark in ",.'’ "}
_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
"""One separator before exactly three digits: thousands, or a decimal mark."""

_LONGEST = 48
"""A longer text spells no number."""


@dataclass(frozen=True)
class NumberText:
    """A number's parts.

    Attributes:
        digits: The digits, with at most "." and "," between them.
        scale: The sign, -1 or 1.
        power: The exponent with its "e", or "".
        unit: The unit or currency, or "".
        decimal: The decimal mark if it is clear from this text alone.
    """

    digits: str
    scale: float
    power: str
    unit: str
    decimal: Decimal | None

    def value(self, decimal: Decimal) -> float | None:
        """Return the number for a decimal mark; None if the digits do not fit it."""
        other = "," if decimal == "." else "."
        whole, mark, rest = self.digits.partition(decimal)
        if decimal in rest or other in rest:
            return None
        if other in whole:
            if not _GROUPS[other].fullmatch(whole):
                return None
            whole = whole.replace(other, "")
        return self.scale * float(f"{whole or '0'}{'.' if mark else ''}{rest}{self.power}")


@dataclass(frozen=True)
class NumberTexts:
    """The numbers of a column of texts.

    Attributes:
        values: A float64 array (rows,), NaN where missing; unset from ``wrong`` on.
        wrong: The first row that holds no number, or None.
        reason: The cause, if more is known than that it is no number.
        unit: The unit or currency that stands in every cell, or "".
        guessed: The decimal mark that was guessed, or None if it was clear.
    """

    values: FloatColumn
    wrong: int | None = None
    reason: str = ""
    unit: str = ""
    guessed: Decimal | None = None


def plain_number(cell: Any) -> float | None:
    """Parse a number in its plain form: NaN if missing, None if it is something else."""
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        text = cell.strip()
        # float() accepts Python's digit groups (1_000), which no table uses, and "infinity".
        if "_" not in text:
            try:
                return float(text)
            except ValueError:
                pass
        return math.nan if text.lower() in MISSING_TEXTS else None
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
        return None
    return float(cell)


def split_number(text: str) -> NumberText | None:
    """Take a written number apart; None if the text is no number."""
    if len(text) > _LONGEST or not (found := _NUMBER.fullmatch(text.strip())):
        return None
    parts = found.groupdict(default="")
    unit = (parts["currency"] or parts["unit"]).strip()
    if bool(parts["open"]) != bool(parts["close"]) or (parts["sign"] and parts["sign2"]):
        return None
    if parts["unit"] and not parts["currency"]:
        is_unit = unit.lower() in UNITS and unit not in _MULTIPLES
        if not is_unit and not re.fullmatch(_CURRENCIES, unit):
            return None
    elif parts["unit"]:
        unit += parts["unit"]
    digits = _without_groups(parts["digits"])
    if digits is None:
        return None
    negative = parts["open"] or "-" in parts["sign"] + parts["sign2"]
    negative = negative or "−" in parts["sign"] + parts["sign2"]
    try:
        decimal = _clear_decimal(digits)
    except ValueError:
        return None
    return NumberText(digits, -1.0 if negative else 1.0, parts["power"], unit, decimal)


def is_number_text(text: str) -> bool:
    """Whether a text spells a number in any form; a missing value is none."""
    plain = plain_number(text)
    if plain is not None:
        return text.strip().lower() not in MISSING_TEXTS
    return split_number(text) is not None


def read_numbers(
    cells: Sequence[Any], decimal: Decimal | None = None, guess: Decimal = "."
) -> NumberTexts:
    """Read a column of numbers in any form; all cells must agree on decimal mark and unit.

    Args:
        cells: The texts, numbers and None.
        decimal: The decimal mark if it is stated.
        guess: The mark that is assumed of a column that can be read both ways.
    """
    values = np.full(len(cells), np.nan)
    written: list[tuple[int, NumberText]] = []
    for row, cell in enumerate(cells):
        number = plain_number(cell)
        is_text = isinstance(cell, str) and number is not None and not math.isnan(number)
        parts = (
            split_number(cell) if isinstance(cell, str) and (number is None or is_text) else None
        )
        if parts is not None:
            written.append((row, parts))
        elif number is None or (is_text and not math.isfinite(number)):
            return NumberTexts(values, row)
        if number is not None:
            values[row] = number
    marks = {parts.decimal for _, parts in written} - {None}
    if decimal is None and len(marks) > 1:
        row = next(row for row, parts in written if parts.decimal == ",")
        return NumberTexts(values, row, "the column mixes decimal points and decimal commas")
    units = {parts.unit for _, parts in written}
    if len(units) > 1:
        row = next(row for row, parts in written if parts.unit != written[0][1].unit)
        shown = " and ".join(repr(unit) if unit else "none" for unit in sorted(units)[:3])
        return NumberTexts(values, row, f"the column mixes units: {shown}")
    clear = decimal or next(iter(marks), None)
    mark: Decimal = clear or guess
    # What Python reads as it stands needs no word unless it is read otherwise.
    other = "," if mark == "." else "."
    ambiguous = any(other in parts.digits or "," in parts.digits for _, parts in written)
    for row, parts in written:
        value = parts.value(mark)
        if value is None:
            return NumberTexts(values, row, f"decimals of this table follow {mark!r}")
        values[row] = value
    guessed = mark if clear is None and ambiguous else None
    return NumberTexts(values, unit=next(iter(units), ""), guessed=guessed)


def common_decimal(columns: Iterable[Sequence[Any]], *, otherwise: Decimal) -> Decimal:
    """Return the decimal mark that the columns of numbers of a table show.

    Args:
        columns: The cells of each column.
        otherwise: The mark of a table whose columns show none, or both.
    """
    found: set[Decimal] = set()
    for cells in columns:
        marks: set[Decimal | None] = set()
        for cell in cells:
            if not isinstance(cell, str) or cell.strip().lower() in MISSING_TEXTS:
                continue
            if (parts := split_number(cell)) is None:
                marks.clear()
                break
            marks.add(parts.decimal)
        found |= {mark for mark in marks if mark is not None}
    return found.pop() if len(found) == 1 else otherwise


def _without_groups(digits: str) -> str | None:
    """Drop spaces and apostrophes between groups of three digits; None if they stand elsewhere."""
    for space in _SPACES[1:]:
        digits = digits.replace(space, " ")
    for mark in " '’":
        if mark in digits:
            whole = re.split(r"[.,]", digits, maxsplit=1)[0]
            if not _GROUPS[mark].fullmatch(whole) or mark in digits[len(whole) :]:
                return None
            digits = digits.replace(mark, "")
    return digits


def _clear_decimal(digits: str) -> Decimal | None:
    """Return the decimal mark that digits show, None if they show none or can be read both ways.

    Raises:
        ValueError: The separators stand where no number has them.
    """
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        mark: Decimal = "." if digits.rindex(".") > digits.rindex(",") else ","
    elif points + commas == 1:
        if _AMBIGUOUS.fullmatch(digits):
            return None
        mark = "." if points else ","
    elif points + commas > 1:
        mark = "," if points else "."
    else:
        return None
    if NumberText(digits, 1.0, "", "", None).value(mark) is None:
        raise ValueError(digits)
    return mark

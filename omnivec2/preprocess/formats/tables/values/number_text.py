"""Numbers as people and spreadsheets write them: decimal commas, thousands, units, currencies."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
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
    r"\s*(?P<unit>[^\W\d_%‰°²³][^\s\d]{0,7}[\d²³]?|[%‰°][^\s\d]{0,3}|[€$£¥₹₩₽₺₪฿])?"
    r"\s*(?P<close>\))?"
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


@lru_cache(maxsize=4096)
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


def is_number_text(text: str, *, units: bool = True) -> bool:
    """Whether a text spells a number in any form; a missing value is none.

    Args:
        text: The text.
        units: Whether a unit of letters may stand beside it.
    """
    plain = plain_number(text)
    if plain is not None:
        return text.strip().lower() not in MISSING_TEXTS
    parts = split_number(text)
    return parts is not None and (units or not any(map(str.isalpha, parts.unit)))


def can_be_thousands(text: str, mark: Decimal) -> bool:
    """Whether the mark in a plain number may separate thousands: 1.234 but not 0.5."""
    return mark in text and _AMBIGUOUS.fullmatch(text.strip().lstrip("+-")) is not None


def is_unit(text: str) -> bool:
    """Whether a text is a unit, or a product or quotient of several."""
    parts = re.split(r"[*/·. ^]|(?<=[a-zA-Z])(?=[-\d²³])", text.strip().lower())
    powers = re.compile(r"-?[\d²³]*")
    return text.strip().lower() in UNITS or (
        any(part in UNITS for part in parts)
        and all(part in UNITS or powers.fullmatch(part) for part in parts)
    )


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

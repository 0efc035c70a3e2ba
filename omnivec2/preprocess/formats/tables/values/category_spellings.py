"""Categories as people and programs spell them, found among those of a schema."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from omnivec2.preprocess.formats.tables.values.number_text import MISSING_TEXTS

KeyT = TypeVar("KeyT", str, float)

_TRUE = ("yes", "true", "y", "t", "1", "on", "ja", "oui", "si", "sí", "sim", "da", "wahr", "vrai")
_FALSE = ("no", "false", "n", "f", "0", "off", "nein", "non", "não", "nao", "net", "falsch", "faux")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTEST_ABBREVIATION = 3


@dataclass
class SpelledIds:
    """The ids of a column's texts, and what was found on the way.

    Attributes:
        ids: One id per text.
        missing: The number of texts that stand for a missing value.
        unknown: The texts that no category fits -> how often they stand.
        read_as: The texts that were read by their meaning -> the category.
    """

    ids: list[int]
    missing: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    read_as: dict[str, str] = field(default_factory=dict)


class CategorySpellings:
    """Finds texts among the categories of one column.

    Case, spaces, underscores and hyphens do not matter, nor do the zeros of numbers (5, 05 and 5.0
    are one category), unless two categories differ in nothing else. Truth values, months and days
    of the week are found by their meaning.

    Args:
        categories: The categories, in order.
        first_id: The id of the first one.
        missing_id: The id of a missing value.
        unknown_id: The id of a text that is no category.
    """

    def __init__(
        self, categories: Sequence[str], first_id: int, missing_id: int, unknown_id: int
    ) -> None:
        self._exact: dict[str | None, int] = {
            text: first_id + index for index, text in enumerate(categories)
        }
        self._missing_id, self._unknown_id = missing_id, unknown_id
        self._by_spelling = _unique((spelling(text), text) for text in categories)
        self._by_number = _unique(
            (number, text) for text in categories if (number := _number(text)) is not None
        )
        self._by_meaning = _meanings(self._by_spelling)

    def exact_ids(self, texts: Sequence[str | None]) -> list[int] | None:
        """Return the ids of texts that are spelled as in the schema; None if one is not."""
        try:
            return [self._exact[text] for text in texts]
        except KeyError:
            return None

    def ids(self, texts: Sequence[str | None]) -> SpelledIds:
        """Return the ids of texts; None is missing."""
        result = SpelledIds([])
        # The schema comes first: it may well have a category "none" or "?".
        seen: dict[str | None, int] = {None: self._missing_id, **self._exact}
        for text in texts:
            if text is not None and text not in seen:
                seen[text] = self._find(text, result)
            index = seen[text]
            result.ids.append(index)
            result.missing += index == self._missing_id
            if index == self._unknown_id and text is not None:
                result.unknown[text] += 1
        return result

    def _find(self, text: str, result: SpelledIds) -> int:
        plain = spelling(text)
        if (category := self._by_spelling.get(plain)) is not None:
            return self._exact[category]
        if text.lower() in MISSING_TEXTS:
            return self._missing_id
        number = _number(text)
        if number is not None and (category := self._by_number.get(number)) is not None:
            return self._exact[category]
        meaning = plain if number is None else f"{number:g}"
        if (category := self._by_meaning.get(meaning)) is not None:
            result.read_as[text] = category
            return self._exact[category]
        return self._unknown_id


def spelling(text: str) -> str:
    """Return a text without case, and with one space for each run of spaces, _ and hyphens.

    A sign before a number stays: -1 is not 1.
    """
    text = unicodedata.normalize("NFKC", text).casefold().strip().strip(".'\"").strip()
    return re.sub(r"(?<=\w)[\s_\-–]+(?=\w)", " ", text)


def _number(text: str) -> float | None:
    if "_" in text or not re.match(r"[\s\d.+-]", text):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None


def _unique(pairs: Iterable[tuple[KeyT, str]]) -> dict[KeyT, str]:
    """Return key -> text, without the keys of several texts."""
    found: dict[KeyT, str] = {}
    double: set[KeyT] = set()
    for key, text in pairs:
        if found.setdefault(key, text) != text:
            double.add(key)
    return {key: text for key, text in found.items() if key not in double}


def _meanings(by_spelling: Mapping[str, str]) -> dict[str, str]:
    """Return word -> category of the truth values, months and days that the categories are."""
    found = _truth_values(by_spelling)
    for names in (_MONTHS, _WEEKDAYS):
        ordered = [_abbreviated(name, by_spelling) for name in names]
        if None in ordered:
            continue
        for position, (name, category) in enumerate(zip(names, ordered, strict=True), 1):
            assert category is not None
            for length in range(_SHORTEST_ABBREVIATION, len(name) + 1):
                found[name[:length]] = category
            if names is _MONTHS:
                found[str(position)] = category
    return found


def _truth_values(by_spelling: Mapping[str, str]) -> dict[str, str]:
    if len(by_spelling) > 3:
        return {}
    true = [by_spelling[word] for word in _TRUE if word in by_spelling]
    false = [by_spelling[word] for word in _FALSE if word in by_spelling]
    if len(true) != 1 or len(false) != 1:
        return {}
    return dict.fromkeys(_TRUE, true[0]) | dict.fromkeys(_FALSE, false[0])


def _abbreviated(name: str, by_spelling: Mapping[str, str]) -> str | None:
    lengths = range(_SHORTEST_ABBREVIATION, len(name) + 1)
    return next((by_spelling[name[:n]] for n in lengths if name[:n] in by_spelling), None)

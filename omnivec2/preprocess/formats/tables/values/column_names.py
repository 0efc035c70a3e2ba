"""Names of columns that mean the same: case, spaces, punctuation and units do not matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from omnivec2.preprocess.formats.tables.values.number_text import UNITS

_BRACKETS = re.compile(r"\s*[(\[{]\s*([^()\[\]{}]*?)\s*[)\]}]\s*$")
_SUFFIX = re.compile(r"(\S.*?)(?:[\s_]+in)?[\s_\-.:/,]+([^\s_\-.:,]+)", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return a name without case, spaces and punctuation: Acc_X, acc-x and accx are equal."""
    return re.sub(r"[\W_]+", "", name).casefold()


def split_unit(name: str) -> tuple[str, str]:
    """Split a name and its unit: ``acc_x (m/s²)``, ``speed [km/h]``, ``weight_kg``.

    Returns:
        The name, and its unit; the whole name and ``""`` if it names no known unit.
    """
    if found := _BRACKETS.search(name):
        return name[: found.start()].strip(), found.group(1)
    found = _SUFFIX.fullmatch(name.strip())
    if found and found.group(2).casefold() in UNITS:
        return found.group(1).rstrip("_-.:/, "), found.group(2)
    return name.strip(), ""


def match_names(wanted: Iterable[str], there: Iterable[str]) -> Mapping[str, str]:
    """Find the columns that are wanted among those of a table.

    A name is matched as it is, then plainly, then without units; only if one column fits.

    Args:
        wanted: The names to find.
        there: The names of the table.

    Returns:
        Wanted name -> the table's name, of those that are found.
    """
    wanted, there = list(wanted), list(there)
    found = {name: name for name in wanted if name in there}
    if len(found) == len(wanted):
        return found
    for key in (plain_name, _plain_without_unit):
        free = [name for name in there if name not in found.values()]
        by_key: dict[str, list[str]] = {}
        for name in free:
            by_key.setdefault(key(name), []).append(name)
        open_names = [name for name in wanted if name not in found]
        keys = [key(name) for name in open_names]
        for name, plain in zip(open_names, keys, strict=True):
            if plain and keys.count(plain) == 1 and len(by_key.get(plain, ())) == 1:
                found[name] = by_key[plain][0]
    return found


def _plain_without_unit(name: str) -> str:
    return plain_name(split_unit(name)[0])

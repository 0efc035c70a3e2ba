"""YAML files with the line of every field, so that an error can point at it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from omnivec2.errors import ArtifactError


class Document:
    """A YAML file: its value, and the line of every field.

    Args:
        path: The file.

    Raises:
        ArtifactError: It is not valid YAML, not a mapping, or names a field twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text()
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = f"{path}:{mark.line + 1}" if mark else str(path)
            raise ArtifactError(f"{place}: not valid YAML: {error.problem}") from error
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path}: not valid YAML: {error}") from error
        if not isinstance(self.value, dict):
            raise ArtifactError(f"{path}: expected fields with values, such as 'preset: tiny'")
        self._reject_duplicate_keys(self._root)

    def locate(self, location: Sequence[int | str]) -> str:
        """Return the ``file:line`` of a field, or of its parent where the field is missing."""
        node, line = self._root, 1
        for part in location:
            child = _find_child(node, part)
            if child is None:
                break
            node, line = child
        return f"{self.path}:{line}"

    def explain(self, error: ValidationError, model: type[BaseModel]) -> str:
        """Describe every wrong field with its file and line, and what was probably meant.

        Args:
            error: The error of validating this document.
            model: The model that it was validated with.
        """
        return "; ".join(self._explain(each, model) for each in error.errors())

    def _explain(self, error: ErrorDetails, model: type[BaseModel]) -> str:
        place = (*error["loc"], *error.get("ctx", {}).get("place", ()))
        said = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            said = "unknown field"
        parts = (self.locate(place), ".".join(map(str, place)), said + suggest(error, model))
        return ": ".join(part for part in parts if part)

    def _reject_duplicate_keys(self, node: yaml.Node | None) -> None:
        """Raise where a name is given twice; YAML itself lets the last one win."""
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ArtifactError(f"{self.path}:{line}: {key.value} is given twice")
                seen.add(key.value)
                self._reject_duplicate_keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._reject_duplicate_keys(item)


def _find_child(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, int] | None:
    """Return the node under a name or number, and the line it begins at."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line + 1
    return None


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Return ``; did you mean …?`` with the most similar known word, or nothing."""
    by_text = {str(each).lower(): str(each) for each in known}
    found = difflib.get_close_matches(str(word).lower(), by_text, n=1)
    return f"; did you mean {by_text[found[0]]}?" if found else ""


def suggest(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what was probably meant instead of a wrong field or value, or nothing.

    Args:
        error: One of the errors of validating a document.
        model: The model that it was validated with.
    """
    if error["type"] == "extra_forbidden":
        *place, name = error["loc"]
        return did_you_mean(name, _fields_at(model, place))
    if error["type"] in ("enum", "literal_error", "union_tag_invalid"):
        context = error.get("ctx", {})
        expected = str(context.get("expected") or context.get("expected_tags") or "")
        given = error["input"]
        if error["type"] == "union_tag_invalid":
            given = context.get("tag", given)
        return did_you_mean(given, re.findall(r"'([^']+)'", expected))
    return ""


def located_error(
    place: Sequence[int | str], message: str, word: object, known: Iterable[object]
) -> PydanticCustomError:
    """Make an error for a validator of a whole model, which alone knows the wrong field.

    Args:
        place: The location of the wrong field in the model.
        message: A description of the error.
        word: The wrong word.
        known: The words it was probably meant to be one of.
    """
    context = {"place": tuple(place), "message": message + did_you_mean(word, known)}
    return PydanticCustomError("wrong_field", "{message}", context)


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> set[str]:
    """Return the names of the fields that the models at a place have.

    A part of the place that is no field of the models there is a key of a mapping, a number in a
    list or the tag of a union: the models stay the same.
    """
    models = [model]
    for part in place:
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        tagged = [m for m in models if part in _tags(m)]
        if fields:
            models = [each for field in fields for each in _models_in(field.annotation)]
        elif tagged:
            models = tagged
    return {name for each in models for name in each.model_fields}


def _tags(model: type[BaseModel]) -> set[object]:
    """Return the values of literals with which a union tells a model from others."""
    kind = model.model_fields.get("kind")
    return set(get_args(kind.annotation)) if kind is not None else set()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, such as those in a dict or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]

"""YAML files with the line of every field, so that an error can point at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

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

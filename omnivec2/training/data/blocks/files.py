"""The files that a block names: found below the directory of data, and named in messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivec2.errors import ArtifactError
from omnivec2.spec import Modality
from omnivec2.training.yaml_lines import did_you_mean

_GLOB_SIGNS = frozenset("*?[")
_MOST_LISTED = 12


@dataclass(frozen=True)
class BlockFiles:
    """The directory that a block's paths are relative to, and what is read from it.

    Attributes:
        root: The directory of data, as ``--data`` gives it.
        modality: The modality of the inputs.
    """

    root: Path
    modality: Modality

    def find(self, name: str) -> list[Path]:
        """Return the file or folder of a name, or everything that fits a pattern, sorted.

        Raises:
            ArtifactError: Nothing is there; the message says what lies beside it.
        """
        if _GLOB_SIGNS & set(name) and not (self.root / name).exists():
            found = sorted(self.root.glob(name))
        else:
            found = [self.root / name] if (self.root / name).exists() else []
        if not found:
            raise ArtifactError(
                f"{self.root / name} is not there; paths are relative to --data{self._hint(name)}"
            )
        return found

    def name(self, path: Path) -> str:
        """Return the name of a file in messages: its path below the directory of data."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def _hint(self, name: str) -> str:
        """Return what lies in the closest folder that is there, for a message."""
        path = self.root / name
        folder = next((one for one in path.parents if one.is_dir()), None)
        if folder is None:
            return ""
        there = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
        missing = path.relative_to(folder).parts[0] if path.is_relative_to(folder) else name
        return f"; {folder} has {listed(there)}{did_you_mean(missing, there)}"


def listed(names: list[str]) -> str:
    """Return names for a message, not more than fit into one."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(names[:_MOST_LISTED]) or 'nothing'}{more}"

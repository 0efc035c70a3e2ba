"""Reading the project's documents: their links, and the examples that must run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

ADDRESS = "http://127.0.0.1:8080"
"""Where examples expect the service: the default of ``make serve``."""

TENSOR_ADDRESSES = ("127.0.0.1:8080", "127.0.0.1:8001")
"""Where examples that bring tensors expect HTTP and gRPC."""

_FENCE = re.compile(
    r"^```(?P<language>bash|python) (?P<mark>run(?: tensors| clients| walk)?)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Example:
    """One fenced block marked ``run``.

    It is marked ``run tensors`` if it works against Triton too, and ``run clients`` if it needs
    the clients of other libraries; blocks marked ``run walk`` follow one another.
    """

    document: str
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        """Where to find it, e.g. ``README.md:36``."""
        return f"{self.document}:{self.line}"

    @property
    def routes(self) -> list[str]:
        """The ``<modality>/<task>`` it asks."""
        return re.findall(r"/predict/([a-z]+/[a-z_0-9]+)", self.code)


def examples(path: Path, mark: str = "run") -> list[Example]:
    """The runnable examples of a document that are marked so, in its order."""
    text = path.read_text()
    document = path.relative_to(ROOT).as_posix()
    return [
        Example(document, text.count("\n", 0, m.start()) + 1, m["language"], m["code"])
        for m in _FENCE.finditer(text)
        if m["mark"] == mark
    ]


def links(path: Path) -> list[str]:
    """Targets of a document's links and pictures, outside of fenced blocks."""
    return _LINK.findall(re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}

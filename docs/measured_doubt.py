"""Tables of what heads answer to inputs that show nothing, and how often they doubt good ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs.measured import DOCS, table

DOUBT = DOCS / "doubt.json"


def false_alarms(path: Path = DOUBT) -> str:
    """Return the share of rows of each head's own data that it finds far from training."""
    rows = json.loads(path.read_text())["false_alarms"]
    return table(
        ["head", "rows", "far from training"],
        [[f"`{r['head']}`", f"{r['rows']:,} of {r['split']}", f"{r['far']:.1%}"] for r in rows],
    )


def nonsense(path: Path = DOUBT) -> str:
    """Return the scores of each head for inputs that show nothing, before and after doubt."""
    rows = json.loads(path.read_text())["nonsense"]
    return table(
        ["head", "input", "network", "service", "notes"],
        [
            [
                f"`{r['head']}`",
                r["input"],
                _score(r["before"]),
                _score(r["after"]) if r["status"] == 200 else f"refused ({r['status']})",
                ", ".join(f"`{code}`" for code in r["notes"]),
            ]
            for r in rows
        ],
    )


def _score(score: Any) -> str:
    return "" if score is None else f"{score:.2f}"

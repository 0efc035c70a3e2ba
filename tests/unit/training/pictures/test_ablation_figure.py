from __future__ import annotations

import re
from pathlib import Path

from omnivec2.training.ablation.ablation_table import Cell, Cells
from omnivec2.training.pictures.ablation_figure import draw_ablation


def cell(row: str, seed: int, route: str, value: float) -> Cell:
    return Cell(row=row, seed=seed, route=route, metric="accuracy", value=value, steps=1,
                parameters=1, seconds=1.0)  # fmt: skip


def test_every_network_is_a_point_and_better_ones_lie_further_right(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.json")
    values = {"single": (0.5, 0.6), "multiple": (0.7, 0.8)}
    cells.add(
        [
            cell(row, seed, route, value)
            for row, seeds in values.items()
            for seed, value in enumerate(seeds)
            for route in ("image/classification", "imu/activity")
        ]
    )
    draw_ablation(path := tmp_path / "cells.svg", cells)
    text = path.read_text()

    def points(row: str, route: str) -> list[tuple[float, float]]:
        group = text.split(f'<g id="{row} {route}">')[1].split("\n   </g>")[0]
        places = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)"', group)
        return [(float(x), float(y)) for x, y in places]

    for route in ("image/classification", "imu/activity"):
        single, multiple = (points(row, route) for row in values)
        xs = [x for x, _ in (*single, *multiple)]
        assert len(xs) == 4
        assert xs == sorted(xs)
        assert max(y for _, y in single) < min(y for _, y in multiple)
        assert f"{route}: accuracy" in text
    for row in cells.rows:
        assert f">{row.name}<" in text

"""The engines and precisions that can run graphs on this machine.

::

    OMNIVEC2_ENGINE, OMNIVEC2_PRECISION ─► options that can run here ─► ranked by measured speed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from omnivec2.errors import ArtifactError
from omnivec2.passport import INT8_GRAPH_FILE, EnginePrecision
from service.runtimes.embedded.engines.base import Engine
from service.runtimes.embedded.engines.find_engine import engine_names, find_engine
from service.runtimes.embedded.repository_reader import StoredGraph

AUTO = "auto"
REFERENCE_ENGINE = "onnxruntime"
"""The engine that the exporter compares with PyTorch. A head that has no accuracy gate, or fails
it everywhere else, is run by it in float32."""


@dataclass(frozen=True)
class EngineOption:
    """An engine in one precision.

    Attributes:
        engine: The engine.
        precision: The precision it computes in.
    """

    engine: Engine
    precision: EnginePrecision

    @property
    def name(self) -> str:
        """The name for logs, caches and tables: ``openvino int8``."""
        return f"{self.engine.name} {self.precision}"

    def precision_of(self, stored: StoredGraph) -> EnginePrecision:
        """Return the precision to load a graph in: in ``int8`` only graphs that have such a file.

        The others are loaded in the engine's fastest float precision, which an option of that
        precision then shares.
        """
        if self.precision != "int8" or (stored.directory / INT8_GRAPH_FILE).is_file():
            return self.precision
        return "bf16" if "bf16" in self.engine.precisions else "fp32"


@dataclass(frozen=True)
class AvailableOptions:
    """What can run on this machine.

    Attributes:
        options: The options to choose from; at least one.
        fallback: The option for heads that no accuracy gate vouches for.
        unavailable: The reasons why engines cannot be used here, by name.
    """

    options: tuple[EngineOption, ...]
    fallback: EngineOption
    unavailable: Mapping[str, str]


def available_options(
    engine: str, precision: EnginePrecision | Literal["auto"]
) -> AvailableOptions:
    """Return the options that the settings allow and this machine can run.

    Args:
        engine: The name of an engine; ``auto`` stands for every one that is installed.
        precision: The precision; ``auto`` stands for every one that an engine has here.

    Raises:
        ArtifactError: The engine that is named cannot be used here, or not in this precision.
    """
    engines: list[Engine] = []
    unavailable: dict[str, str] = {}
    for name in engine_names() if engine == AUTO else (engine,):
        try:
            engines.append(find_engine(name))
        except ArtifactError as error:
            if engine != AUTO:
                raise
            unavailable[name] = str(error)
    options = [EngineOption(known, offered) for known in engines for offered in known.precisions]
    fallback = _fallback_of(options)
    if precision != AUTO:
        options = [option for option in options if option.precision == precision]
    if not options:
        names = ", ".join(f"{known.name} ({', '.join(known.precisions)})" for known in engines)
        raise ArtifactError(f"nothing computes in {precision} here; there are {names}")
    return AvailableOptions(tuple(options), fallback, unavailable)


def distinct_options(
    options: Sequence[EngineOption], graphs: Sequence[StoredGraph]
) -> list[EngineOption]:
    """Return the options without those that load all graphs as one before them does.

    ``int8`` differs from a float precision only where a graph has an int8 file.
    """
    distinct: dict[tuple[str, ...], EngineOption] = {}
    for option in options:
        precisions = [option.precision_of(stored) for stored in graphs]
        distinct.setdefault((option.engine.name, *precisions), option)
    return list(distinct.values())


def _fallback_of(options: list[EngineOption]) -> EngineOption:
    """Return the reference engine in float32, or the most exact of what was named instead."""
    for option in options:
        if option.engine.name == REFERENCE_ENGINE and option.precision == "fp32":
            return option
    return options[0]

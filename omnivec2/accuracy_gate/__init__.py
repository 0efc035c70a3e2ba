"""The accuracy gate: real inputs of a head with the answers that an engine must reproduce.

Needs neither torch nor an engine: the exporter writes the files, and a service checks with them.
"""

from __future__ import annotations

from omnivec2.accuracy_gate.answer_distances import TOLERANCES, measure
from omnivec2.accuracy_gate.gate_answers import GateResult, check_gate
from omnivec2.accuracy_gate.gate_file import Gate, read_gate, write_gate

__all__ = [
    "TOLERANCES",
    "Gate",
    "GateResult",
    "check_gate",
    "measure",
    "read_gate",
    "write_gate",
]

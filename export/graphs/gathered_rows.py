"""Tables that are looked up, such as the embedding of words, as the int8 rows of the checkpoint.

::

    rows ─ Cast ─┐                          rows ─ Gather ─ Cast ─┐
                 Mul ─ Gather     ◄──►                            Mul
    scale ───────┘                         scale ─ Gather ────────┘

Runtimes fold a Cast and a Mul of constants when they load a graph, which makes 45 MiB of floats of
11 MiB of words. In the second form the rows stay as they are, mapped from the file, and only those
that a text needs are widened: the same values, as fast.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir


def gather_before_widening(graph: ir.Graph) -> None:
    """Let each Gather of rows read the stored rows, and their scales, in place of floats."""
    for gather in _row_gathers(graph):
        table, indices = gather.inputs
        product = _producer(table, "Mul")
        cast = _producer(product.inputs[0], "Cast") if product else None
        if product is None or cast is None:
            continue
        rows, scale = cast.inputs[0], product.inputs[1]
        if not _is_stored(rows) or not _is_row_scale(scale):
            continue
        found = ir.node("Gather", [rows, indices], {"axis": 0})
        scales = ir.node("Gather", [scale, indices], {"axis": 0})
        floats = ir.node("Cast", [found.outputs[0]], {"to": ir.DataType.FLOAT})
        widened = ir.node("Mul", [floats.outputs[0], scales.outputs[0]])
        _replace(graph, gather, [found, scales, floats, widened])
        _remove_unused(graph, product, cast)


def widen_before_gathering(graph: ir.Graph) -> None:
    """Undo ``gather_before_widening``, for engines that look up floats only."""
    for gather in _row_gathers(graph):
        rows, indices = gather.inputs
        users = [use.node for use in gather.outputs[0].uses()]
        if not _is_stored(rows) or [user.op_type for user in users] != ["Cast"]:
            continue
        cast = users[0]
        (product,) = (use.node for use in cast.outputs[0].uses())
        scales = _producer(product.inputs[1], "Gather")
        assert scales is not None
        floats = ir.node("Cast", [rows], {"to": ir.DataType.FLOAT})
        table = ir.node("Mul", [floats.outputs[0], scales.inputs[0]])
        found = ir.node("Gather", [table.outputs[0], indices], {"axis": 0})
        _replace(graph, product, [floats, table, found])
        _remove_unused(graph, cast, gather, scales)


def _row_gathers(graph: ir.Graph) -> Iterator[ir.Node]:
    for node in list(graph):
        axis = node.attributes.get("axis")
        if node.op_type == "Gather" and (axis is None or axis.as_int() == 0):
            yield node


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def _is_stored(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and value.dtype == ir.DataType.INT8


def _is_row_scale(value: ir.Value | None) -> bool:
    """Whether a scale has one value per row, as wide as a row has axes."""
    if value is None or not value.is_initializer() or value.shape is None:
        return False
    return len(value.shape) > 1 and all(size == 1 for size in list(value.shape)[1:])


def _replace(graph: ir.Graph, node: ir.Node, new: list[ir.Node]) -> None:
    """Put nodes in the place of one; the last one's output takes over its output's name."""
    old, made = node.outputs[0], new[-1].outputs[0]
    made.type, made.shape, name = old.type, old.shape, old.name
    graph.insert_before(node, new)
    old.replace_all_uses_with(made, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    made.name = name


def _remove_unused(graph: ir.Graph, *nodes: ir.Node) -> None:
    """Remove nodes that nothing uses any more; users come before what they use."""
    for node in nodes:
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)

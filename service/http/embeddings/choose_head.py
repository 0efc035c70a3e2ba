"""The head that answers a request for embeddings: named, or chosen by the type of its inputs."""

from __future__ import annotations

from collections.abc import Iterable

from omnivec2.errors import InvalidInputError, UnknownModelError
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import Head


def embedding_heads(served: ServedHeads) -> list[Head]:
    """Return the loaded heads that answer with embeddings, in the order of their names."""
    heads = served.by_name
    return [heads[route] for route in sorted(heads) if heads[route].spec.is_embedding]


def choose_head(served: ServedHeads, model: str, media_types: Iterable[tuple[str, str]]) -> Head:
    """Return the head that answers inputs of some content types.

    Args:
        served: The loaded heads.
        model: A head (``text/retrieval`` or ``text_retrieval``), or a task (``retrieval``): its
            head for each content type is the one of the modality that the type begins with
            (``image/png``), or else the only one that takes the type.
        media_types: The inputs as pairs of the field and the content type; at least one.

    Raises:
        UnknownModelError: No embedding head or task has this name.
        InvalidInputError: No head of the task takes the type, several do, or the inputs belong
            to several heads.
    """
    heads = embedding_heads(served)
    for head in heads:
        if model in (head.spec.route, head.spec.name):
            return head
    of_task = [head for head in heads if head.spec.task == model]
    if not of_task:
        raise _unknown(model, heads)
    chosen: Head | None = None
    for field, media_type in media_types:
        head = _of_type(of_task, media_type, field)
        if chosen is not None and head is not chosen:
            raise InvalidInputError(
                f"{media_type} is for {head.spec.route}, the inputs before it are for "
                f"{chosen.spec.route}: send the inputs of each modality in requests of their own",
                field=field,
            )
        chosen = head
    assert chosen is not None, "a request has at least one input"
    return chosen


def _of_type(heads: list[Head], media_type: str, field: str) -> Head:
    main_type = media_type.partition("/")[0]
    taking = [head for head in heads if media_type in head.preprocessor.media_types]
    # Several modalities take PNG: the plain one is meant unless the model names another.
    named = [head for head in heads if head.spec.modality.value == main_type]
    found = [head for head in named if head in taking] or taking or named
    if len(found) == 1:
        return found[0]
    routes = [head.spec.route for head in found or heads]
    reason = "several models take" if found else "no model of this task takes"
    raise InvalidInputError(
        f"{reason} {media_type[:80]}: name one as the model ({', '.join(routes)})",
        field=field,
        known=routes,
    )


def _unknown(model: str, heads: list[Head]) -> UnknownModelError:
    tasks = sorted({head.spec.task for head in heads})
    known = [*tasks, *(head.spec.route for head in heads)]
    named = ", ".join(known) or "none"
    message = f"no embedding model {model[:80]!r} is loaded; loaded are {named}"
    return UnknownModelError(message, known=known)

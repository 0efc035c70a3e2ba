"""The heads that are served now: made from the runtime's models, and made anew as they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from pydantic import ValidationError

from omnivec2.errors import ArtifactError, UnknownModelError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.pipeline.host_stages import Head
from service.runtimes.base import Model, Runtime

_LOG = logging.getLogger(__name__)


class Heads:
    """Heads of a runtime's models.

    A model whose pre-processor cannot be made is refused; it does not stop the others.

    Args:
        runtime: started.

    Attributes:
        by_route: route -> head, as of now; replaced, never changed.
        refused: name -> why a model of the runtime is not served.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._renewing = asyncio.Lock()
        self.by_route: Mapping[str, Head] = {}
        self.refused: Mapping[str, str] = {}
        self._models = runtime.models()
        self._adopt(self._models)

    async def refresh(self) -> None:
        """Serve what the runtime has by now."""
        async with self._renewing:
            await self._refresh()

    async def successor(self, model: Model) -> Head | None:
        """The head that has taken the place of a model's, if one has."""
        route = model.spec.route
        async with self._renewing:
            # Many requests may fail by one swap; the first of them looks for all.
            known = self.by_route.get(route)
            if known is not None and known.model is model:
                await self._refresh()
        head = self.by_route.get(route)
        return None if head is None or head.model is model else head

    def head(self, modality: str, task: str) -> Head:
        """The head of a route.

        Raises:
            UnknownModelError: it is not loaded; ``known`` says what is.
        """
        if head := self.by_route.get(f"{modality}/{task}"):
            return head
        routes = [head.spec.route for head in self.of(modality)]
        message = f"{modality} has no task {task!r}; loaded are {', '.join(routes)}"
        raise UnknownModelError(message, known=routes)

    def of(self, modality: str) -> list[Head]:
        """The heads of a modality, by their routes; at least one.

        Raises:
            UnknownModelError: none is loaded; ``known`` says what is.
        """
        known = self.by_route
        heads = [known[r] for r in sorted(known) if known[r].spec.modality.value == modality]
        if not heads:
            modalities = sorted({head.spec.modality.value for head in known.values()})
            message = (
                f"no modality {modality!r} is loaded; loaded are {', '.join(modalities) or 'none'}"
            )
            raise UnknownModelError(message, known=sorted(known))
        return heads

    async def _refresh(self) -> None:
        changed = await self._runtime.refresh()
        models = self._runtime.models()
        if changed or models is not self._models:
            # Codecs may be imported here, which takes a while: not in the event loop.
            await asyncio.to_thread(self._adopt, models)
            self._models = models

    def _adopt(self, models: Mapping[str, Model]) -> None:
        """Make the heads of new models; those of known ones stay."""
        known = {id(head.model): head for head in self.by_route.values()}
        by_route: dict[str, Head] = {}
        refused: dict[str, str] = {}
        for name, model in models.items():
            try:
                by_route[model.spec.route] = known.get(id(model)) or _head(model)
            except ArtifactError as error:
                refused[name] = str(error)
                if refused[name] != self.refused.get(name):
                    _LOG.error("%s is not served: %s", name, error)
        self.by_route, self.refused = by_route, refused


def _head(model: Model) -> Head:
    try:
        preprocessor = preprocessor_for(model.spec)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"{model.name}: its pre-processor cannot be made: {where}: {first['msg']}"
        ) from error
    return Head(model, preprocessor, postprocessor_for(model.spec.family))

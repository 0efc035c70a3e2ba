"""The heads that are served now: made from the runtime's models, and made again as they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from pydantic import ValidationError

from omnivec2.canary.canary_state import is_candidate
from omnivec2.errors import ArtifactError, UnknownModelError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.pipeline.host_stages import CandidateHead, Head
from service.runtimes.base import Model, Runtime

_LOG = logging.getLogger(__name__)


class ServedHeads:
    """The heads of a runtime's models.

    A model whose pre-processor cannot be made is refused; it does not stop the others.

    Args:
        runtime: The runtime; started.

    Attributes:
        by_name: A mapping of head names (``<modality>/<task>``) to heads, as of now; replaced,
            never changed.
        candidates: A mapping of head names to the new versions that stand beside these heads; they
            have no routes of their own.
        refused: A mapping of the names of models that are not served to the reasons.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._refreshing = asyncio.Lock()
        self.by_name: Mapping[str, Head] = {}
        self.candidates: Mapping[str, Head] = {}
        self.refused: Mapping[str, str] = {}
        self._models = runtime.models()
        self._adopt(self._models)

    async def refresh(self) -> None:
        """Serve the models that the runtime has by now."""
        async with self._refreshing:
            await self._refresh()

    async def refresh_head(self, head: Head) -> Head | None:
        """Return the current head of the name of one whose model was stale.

        It is the same head if the runtime still has its model, and None if none is served any more.
        """
        name = head.spec.route
        async with self._refreshing:
            # Many requests may fail by one swap; the first of them refreshes for all.
            known = self.by_name.get(name)
            if known is not None and known.model is head.model:
                await self._refresh()
        return self.by_name.get(name)

    def head(self, modality: str, task: str) -> Head:
        """Return the head of a modality and task.

        Raises:
            UnknownModelError: It is not loaded; ``known`` says what is.
        """
        if head := self.by_name.get(f"{modality}/{task}"):
            return head
        names = [head.spec.route for head in self.of_modality(modality)]
        message = f"{modality} has no task {task!r}; loaded are {', '.join(names)}"
        raise UnknownModelError(message, known=names)

    def of_modality(self, modality: str) -> list[Head]:
        """Return the heads of a modality in the order of their names; at least one.

        Raises:
            UnknownModelError: None is loaded; ``known`` says what is.
        """
        known = self.by_name
        heads = [
            known[name] for name in sorted(known) if known[name].spec.modality.value == modality
        ]
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
        """Make the heads of new models; the heads of known models stay."""
        served = (*self.by_name.values(), *self.candidates.values())
        known = {id(head.model): head for head in served}
        by_name: dict[str, Head] = {}
        candidates: dict[str, Head] = {}
        refused: dict[str, str] = {}
        for name, model in models.items():
            try:
                head = known.get(id(model)) or _head(model)
                (candidates if is_candidate(name) else by_name)[head.spec.route] = head
            except ArtifactError as error:
                refused[name] = str(error)
                if refused[name] != self.refused.get(name):
                    _LOG.error("%s is not served: %s", name, error)
        self.by_name, self.candidates, self.refused = by_name, candidates, refused


def _head(model: Model) -> Head:
    """Return the head of a model, or raise ``ArtifactError`` if its spec cannot be served here."""
    try:
        kind = CandidateHead if is_candidate(model.name) else Head
        return kind(model, preprocessor_for(model.spec), postprocessor_for(model.spec.family))
    except ModuleNotFoundError as error:
        # Of a family: libraries of a modality are looked up before anything is imported.
        raise ArtifactError(
            f"{model.name}: {model.spec.family.value} needs {error.name}: "
            "pip install 'omnivec2-serve[all]'"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"{model.name}: its pre-processor cannot be made: {where}: {first['msg']}"
        ) from error

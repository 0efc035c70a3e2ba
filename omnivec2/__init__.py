"""OmniVec2 Serve: one network for thirteen modalities and many tasks, in production.

Importing this package is cheap: it pulls in neither torch nor any codec. The names of the Python
API are imported when they are first used; ``__init__.pyi`` has their types.
"""

from importlib import import_module

__version__ = "0.1.0"

_API = {
    "load": "omnivec2_api.local_model",
    "Model": "omnivec2_api.local_model",
    "Client": "omnivec2_api.client",
    "AsyncClient": "omnivec2_api.async_client",
    "HeadInfo": "omnivec2_api.head_info",
    "Answer": "omnivec2_api.answers.answer",
    "AnswerNote": "omnivec2_api.answers.answer",
    **{
        name: "omnivec2_api.answers.answer_types"
        for name in (
            *("Classification", "Detection", "Embedding", "Forecast", "Regression"),
            *("Segmentation", "Summary"),
        )
    },
    **{
        name: "omnivec2.errors"
        for name in ("OmniVecError", "InputError", "OverloadedError", "ModelNotReadyError")
    },
}
"""Name -> the module that it is imported from."""

__all__ = ["__version__", *_API]  # noqa: PLE0604 -- names of a mapping


def __getattr__(name: str) -> object:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_API[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

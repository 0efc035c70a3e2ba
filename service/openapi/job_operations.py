"""The operations of jobs in the OpenAPI document of a gateway that has a store of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from service.http.forms.content_type import JSON
from service.http.job_submission import APPLIED_HEADER, PREFER_HEADER, RESPOND_ASYNC
from service.jobs.job import WEBHOOK_HEADER, JobState
from service.openapi.schemas import Json, add_schema

PATH = "/jobs/{id}"


class JobProgressDocument(BaseModel):
    """How far a job has come."""

    done: int = Field(description="pieces of the input that are computed")
    total: int | None = Field(description="all pieces; null while that is not known")


class JobModelDocument(BaseModel):
    """A model that answered."""

    name: str
    version: str


class JobDocument(BaseModel):
    """A job, and its answer or its problem once it is over."""

    model_config = ConfigDict(title="Job")

    id: str
    state: JobState
    modality: str
    tasks: list[str]
    created: str = Field(description="RFC 3339")
    started: str | None
    finished: str | None
    expires: str = Field(description="when the job is forgotten")
    attempts: int = Field(description="how often a gateway has begun to work on it")
    progress: JobProgressDocument
    status: int = Field(default=0, description="status that a synchronous request would have had")
    answer: JsonValue = Field(default=None, description="body of a synchronous answer")
    models: list[JobModelDocument] = Field(default=[])
    notes: list[dict[str, JsonValue]] = Field(default=[], description="as in X-Notes")
    problem: dict[str, JsonValue] | None = Field(default=None, description="RFC 9457")


def complete(document: Json, schemas: Json) -> None:
    """Add what makes a request a job, and the schema of jobs.

    Args:
        document: The document, with the operations of heads and the routes that FastAPI found.
        schemas: Its schemas.
    """
    reference = add_schema(schemas, JobDocument)
    content = {JSON: {"schema": reference}}
    retry = {"Retry-After": _header("seconds until the next look; only while it is not over")}
    for operation in document["paths"][PATH].values():
        operation["responses"]["200"]["content"] = content
        operation["responses"]["200"]["headers"] = retry
    accepted = {
        "description": f"The request became a job, because it said {PREFER_HEADER}:"
        f" {RESPOND_ASYNC}.",
        "headers": {
            "Location": _header("path of the job"),
            APPLIED_HEADER: _header(RESPOND_ASYNC),
            **retry,
        },
        "content": content,
    }
    for path, item in document["paths"].items():
        if not path.startswith("/predict/"):
            continue
        operation = item["post"]
        operation["parameters"] = [*operation["parameters"], *_request_headers()]
        operation["responses"]["202"] = accepted


def _request_headers() -> list[Json]:
    meanings = {
        PREFER_HEADER: f"`{RESPOND_ASYNC}` makes a job of the request, which is answered later.",
        WEBHOOK_HEADER: "Address to be told when the job is over; its host must be allowed.",
    }
    return [
        {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    ]


def _header(meaning: str) -> Json:
    return {"description": meaning, "schema": {"type": "string"}}

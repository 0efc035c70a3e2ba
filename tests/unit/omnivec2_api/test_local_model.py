from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import (
    ArtifactError,
    InputError,
    InvalidParameterError,
    ModelNotReadyError,
    NotedInputError,
    UnknownModelError,
)
from omnivec2_api.answers.answer_types import Classification, Detection, Embedding
from omnivec2_api.local_model import Model, load
from service.pipeline.in_process.named_files import NamedFile
from service.pipeline.in_process.predict_in_process import predict_in_process
from service.settings import Settings
from tests.support.documents import ROOT
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

MODALITIES = ("image", "text", "tabular", "graph")
SMEAR = ROOT / "tests/data/image/blood_smear.jpg"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [head for head in tiny_heads() if head.modality in MODALITIES]
    return write_repository(tmp_path_factory.mktemp("repository"), heads)


@pytest.fixture(scope="module")
def model(repository: Path):
    with load(repository, engine="onnxruntime", precision="fp32", threads=1) as loaded:
        yield loaded


def test_an_answer_is_that_of_the_service(model: Model, repository: Path):
    settings = Settings(model_repo=repository, engine="onnxruntime", engine_precision="fp32")
    file = NamedFile("blood_smear.jpg", SMEAR.read_bytes())
    expected = predict_in_process(settings, "image/classification", [file], {"top_k": 2})
    answer = model.predict("image/classification", SMEAR, top_k=2)
    assert isinstance(answer, Classification)
    assert answer.value == expected.value
    assert [note.to_json() for note in answer.notes] == expected.notes


def test_heads_are_described(model: Model):
    head = model.heads["image/classification"]
    assert (head.modality, head.task, head.family) == ("image", "classification", "classification")
    assert head.labels == ("cat", "dog", "horse")
    assert model.heads["graph/solubility"].targets == {"log solubility": "log mol/l"}
    assert model.heads["text/embedding"].embedding_size == 16


def test_only_the_named_heads_are_loaded(repository: Path):
    with load(repository, only="text/sentiment", engine="onnxruntime", precision="fp32") as one:
        assert list(one.heads) == ["text/sentiment"]


def test_several_tasks_answer_one_input(model: Model):
    answers = model.predict_tasks("image", ["detection", "embedding"], SMEAR)
    assert isinstance(answers["detection"], Detection)
    assert isinstance(answers["embedding"], Embedding)
    assert answers["embedding"].value == model.embed("image", SMEAR).value


def test_a_vector_has_length_one(model: Model):
    vector = np.asarray(model.embed("text", "a film"))
    assert vector.shape == (16,)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_only_embedding_heads_embed(model: Model):
    with pytest.raises(InvalidParameterError, match="gives no vectors"):
        model.embed("text", "a film", task="sentiment")


def test_a_record_and_a_file_of_rows_are_answered(model: Model):
    record = {"age": 39, "workclass": "State-gov"}
    answer = model.predict("tabular/income", record)
    assert len(answer.rows) == 1
    file = b"age,workclass\n39,State-gov\n20,Private\n"
    assert model.predict("tabular/income", file).rows[0].value == answer.rows[0].value
    table = model.predict("tabular/income", {"table": {"age": [39], "workclass": ["State-gov"]}})
    assert isinstance(answer, Classification)
    assert table.value == [answer.label]


def test_molecules_of_a_file_are_rows(model: Model):
    answer = model.predict("graph/solubility", ROOT / "tests/data/graph/two_molecules.sdf")
    assert len(answer.rows) == 2


def test_notes_are_on_the_answer_and_refused_by_strict(model: Model):
    record = {"age": 39, "workclass": "State-gov", "unknown": 1}
    assert [note.code for note in model.predict("tabular/income", record).notes] == ["ignored"]
    with pytest.raises(NotedInputError):
        model.predict("tabular/income", record, strict=True)


def test_errors_are_those_of_the_service(model: Model):
    with pytest.raises(InputError, match="not a readable JPEG"):
        model.predict("image/classification", b"\xff\xd8\xff rubbish")
    with pytest.raises(InputError, match="empty"):
        model.predict("image/classification", b"")
    with pytest.raises(InputError, match="larger than"):
        model.predict("image/classification", bytes(21 * 2**20))
    with pytest.raises(UnknownModelError, match="loaded are"):
        model.predict("image/nothing", SMEAR)
    with pytest.raises(InvalidParameterError, match="top_k"):
        model.predict("image/classification", SMEAR, top_k=99)
    with pytest.raises(InvalidParameterError, match="image/classification"):
        model.predict("classification", SMEAR)


def test_a_batch_is_answered_in_order_and_lazily(model: Model):
    texts = [f"film {number}" for number in range(300)]
    taken = []

    def values():
        for text in texts:
            taken.append(text)
            yield text

    answers = model.predict_batch("text/sentiment", values(), concurrency=8)
    first = next(answers)
    assert len(taken) <= 9
    rest = list(answers)
    assert [first, *rest][17].value == model.predict("text/sentiment", texts[17]).value
    assert len(rest) == 299


def test_an_error_ends_a_batch_or_takes_the_place_of_an_answer(model: Model):
    values = ["CCO", "not a molecule", "C"]
    with pytest.raises(InputError, match="SMILES"):
        list(model.predict_batch("graph/solubility", values))
    answers = list(model.predict_batch("graph/solubility", values, return_exceptions=True))
    assert [isinstance(answer, InputError) for answer in answers] == [False, True, False]


def test_progress_is_shown_without_a_terminal(
    model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("omnivec2_api.progress_lines._FIRST_LINE_SECONDS", 0.0)
    list(model.predict_batch("text/sentiment", ["a", "b"], progress=True))
    assert "text/sentiment: 1 of 2" in capsys.readouterr().err


def test_threads_share_a_model(model: Model):
    expected = model.predict("text/sentiment", "a film").value
    answers = []

    def ask():
        answers.extend(model.predict("text/sentiment", "a film").value for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 20


def test_a_model_works_inside_of_a_running_event_loop(model: Model):
    async def ask():
        return model.predict("text/sentiment", "a film").value

    assert asyncio.run(ask()) == model.predict("text/sentiment", "a film").value


def test_a_closed_model_says_so(repository: Path):
    model = load(repository, only=["text/sentiment"], engine="onnxruntime", precision="fp32")
    threads = threading.active_count()
    model.close()
    model.close()
    assert threading.active_count() < threads
    with pytest.raises(ModelNotReadyError, match="closed"):
        model.predict("text/sentiment", "a film")


def test_decoders_may_have_processes_of_their_own(repository: Path):
    with load(
        repository,
        only=["image/classification"],
        engine="onnxruntime",
        precision="fp32",
        isolate_decoders=True,
    ) as model:
        assert model.predict("image/classification", SMEAR).rows


def test_a_directory_without_models_is_refused(tmp_path: Path):
    with pytest.raises(ArtifactError, match="there is no such directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(ArtifactError):
        load(tmp_path)

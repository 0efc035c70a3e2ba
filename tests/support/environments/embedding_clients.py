"""Embeds through the clients of other libraries, unmodified; run in an environment of their own.

Usage: ``python embedding_clients.py URL KEY``. Prints an object of JSON: client -> the vectors of
``TEXTS``, or what the test is to look at.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

TEXTS = ["A quiet film that stays with you.", "The engine does not start in the cold."]


def openai_package(url: str, key: str) -> dict[str, Any]:
    """OpenAI's own client, which asks for base64 unless told otherwise."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    answer = client.embeddings.create(model="text/embedding", input=TEXTS)
    plain = client.embeddings.create(model="embedding", input=TEXTS, encoding_format="float")
    short = client.embeddings.create(model="embedding", input=TEXTS[0], dimensions=8)
    try:
        client.embeddings.create(model="embedding", input=[[1, 2], [3]])
    except openai.BadRequestError as error:
        tokens = error.message
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="sk-wrong", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        wrong_key = error.code
    return {
        "openai": [item.embedding for item in answer.data],
        "openai, as numbers": [item.embedding for item in plain.data],
        "usage": answer.usage.prompt_tokens,
        "dimensions": len(short.data[0].embedding),
        "tokens": tokens,
        "wrong key": wrong_key,
        "models": [model.id for model in client.models.list()],
    }


def langchain(url: str, key: str) -> dict[str, Any]:
    """LangChain's client of servers like OpenAI's."""
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(
        base_url=f"{url}/v1",
        api_key=key,
        model="text/embedding",
        check_embedding_ctx_length=False,  # else it sends ids of OpenAI's vocabulary
    )
    return {
        "LangChain": embeddings.embed_documents(TEXTS),
        "LangChain, query": [embeddings.embed_query(text) for text in TEXTS],
        "LangChain, async": asyncio.run(embeddings.aembed_documents(TEXTS)),
    }


def hugging_face(url: str, key: str) -> dict[str, Any]:
    """Hugging Face's own client, which posts to the address it is given."""
    from huggingface_hub import InferenceClient

    addresses = {"Hugging Face, /": url, "Hugging Face, /embed": f"{url}/embed"}
    return {
        name: InferenceClient(model=address, token=key).feature_extraction(TEXTS).tolist()
        for name, address in addresses.items()
    }


def llama_index(url: str, key: str) -> dict[str, Any]:
    """LlamaIndex's clients of servers like OpenAI's and of TEI."""
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    like = OpenAILikeEmbedding(model_name="text/embedding", api_base=f"{url}/v1", api_key=key)
    tei = TextEmbeddingsInference(model_name="text/embedding", base_url=url, auth_token=key)
    return {
        "LlamaIndex, OpenAI": like.get_text_embedding_batch(TEXTS),
        "LlamaIndex, OpenAI, query": [like.get_query_embedding(text) for text in TEXTS],
        "LlamaIndex, TEI": tei.get_text_embedding_batch(TEXTS),
    }


def haystack(url: str, key: str) -> dict[str, Any]:
    """Haystack's embedders of texts and of documents."""
    from haystack import Document
    from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
    from haystack.utils import Secret

    options: dict[str, Any] = {
        "api_key": Secret.from_token(key),
        "api_base_url": f"{url}/v1",
        "model": "text/embedding",
    }
    text, documents = OpenAITextEmbedder(**options), OpenAIDocumentEmbedder(**options)
    found = documents.run([Document(content=content) for content in TEXTS])["documents"]
    return {
        "Haystack, texts": [text.run(content)["embedding"] for content in TEXTS],
        "Haystack, documents": [document.embedding for document in found],
    }


def main() -> None:
    """Print what every client gets."""
    url, key = sys.argv[1:]
    answers: dict[str, Any] = {}
    for client in (openai_package, langchain, hugging_face, llama_index, haystack):
        answers |= client(url, key)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()

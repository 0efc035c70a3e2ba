"""Embeddings in the forms of OpenAI and of text-embeddings-inference (TEI)."""

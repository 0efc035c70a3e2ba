"""Sampled requests and feedback as CloudEvents, in a file or sent to an HTTP sink."""

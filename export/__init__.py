"""From a checkpoint to graphs a server can run, and the model repository it serves.

``export.export_run`` needs torch and onnx. ``export.repository.assembly`` needs neither:
it assembles the repository from graphs that were exported before.
"""

"""The project's own data sets, one module per modality."""

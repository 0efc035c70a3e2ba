"""Labelled data in any form, read into rows."""

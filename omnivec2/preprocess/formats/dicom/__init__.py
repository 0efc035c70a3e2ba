"""DICOM files: how they begin, what they hold, how they are shown."""

"""What is known of the sources of inputs: what heads assume, and what callers state."""

from omnivec2.preprocess.source_options.known_sources import SOURCES
from omnivec2.preprocess.source_options.source_description import SourceDescription
from omnivec2.preprocess.source_options.stated_options import SourceOptions, state, stated

__all__ = ["SOURCES", "SourceDescription", "SourceOptions", "state", "stated"]

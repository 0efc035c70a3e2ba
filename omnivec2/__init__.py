"""OmniVec2 Serve: one network for thirteen modalities and many tasks, in production.

Importing this package is cheap: it pulls in neither torch nor any codec.
"""

__version__ = "0.1.0"

"""A task of a recipe that brings its data."""

from __future__ import annotations

from omnivec2.training.data.blocks.kinds import AnyBlock
from omnivec2.training.data.blocks.kinds.base import TaskOfBlock


class TaskBlock(TaskOfBlock):
    """A task whose data is a block; it is kept with a trained head, which is measured by it."""

    data: AnyBlock

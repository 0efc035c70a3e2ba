"""What inputs that a head knows look like to the trunk: to tell others, and to see drift.

::

    training rows ─ trunk ─► summaries ─ fit_reference ─► TrainingReference, beside the head
    a request's rows ─ trunk ─► summaries ─ Familiarity ─► distances, coordinates

No torch: the service imports this.
"""

from omnivec2.familiarity.distances import Familiarity
from omnivec2.familiarity.training_reference import (
    REFERENCE_FILE,
    TrainingReference,
    read_training_reference,
)

__all__ = ["REFERENCE_FILE", "Familiarity", "TrainingReference", "read_training_reference"]

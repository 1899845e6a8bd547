"""Training of networks on labelled frames."""

from mimyria.training.committee import join_members
from mimyria.training.loop import Training
from mimyria.training.metrics import prediction_errors
from mimyria.training.parallel import Workers, workers
from mimyria.training.result import (
    ModelText,
    cross_validate,
    finish,
    split_frames,
)
from mimyria.training.settings import TrainingSettings

__all__ = [
    "ModelText",
    "Training",
    "TrainingSettings",
    "Workers",
    "cross_validate",
    "finish",
    "join_members",
    "prediction_errors",
    "split_frames",
    "workers",
]

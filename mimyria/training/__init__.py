"""Training of networks on labelled frames."""

from mimyria.training.loop import Training
from mimyria.training.metrics import prediction_errors
from mimyria.training.result import ModelText, cross_validate, finish
from mimyria.training.settings import TrainingSettings

__all__ = [
    "ModelText",
    "Training",
    "TrainingSettings",
    "cross_validate",
    "finish",
    "prediction_errors",
]

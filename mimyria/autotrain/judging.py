"""Judging: how good a committee of networks is, and whether more data are worth while.

Three conditions, on two successive additions of configurations: the error of the model
is small enough, the spectrum no longer changes, and what the model is off by is small
beside the statistical error of the trajectories. Numbers in, a judgement out; it trains
nothing, reads nothing and has no memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from mimyria.autotrain.claims import Band, BandClaim, Claim, claim_error
from mimyria.autotrain.committeespectra import CommitteeSpectra, committee_spectra
from mimyria.autotrain.components import KINDS
from mimyria.autotrain.learningcurve import LearningCurve, fit_learning_curve
from mimyria.autotrain.testerrors import TestErrors, measure_test_errors

__all__ = [
    "Band",
    "BandClaim",
    "Claim",
    "CommitteeSpectra",
    "Condition",
    "CycleEvidence",
    "Judgement",
    "LearningCurve",
    "Targets",
    "TestErrors",
    "committee_spectra",
    "judge",
    "measure_test_errors",
]

"""Merging: one result from several runs of the same system.

Sums of products and numbers of products add up, so that every pair of samples of every
run counts once and a long run weighs more than a short one. Time between two runs is
unknown: the result is that of one run with a border of segments between the two, to
rounding: stored are means, and mean times count is the sum to one part in 10¹⁶. A run
that was continued in its own folder is not merged but goes on, to the bit.
"""

from mimyria.merging.oneblock import in_one_block
from mimyria.merging.results import Merged, merge_results
from mimyria.merging.states import RunSummary
from mimyria.merging.temperatures import compare_temperatures, measured_temperatures
from mimyria.pooling import merge_correlations

__all__ = [
    "Merged",
    "RunSummary",
    "compare_temperatures",
    "in_one_block",
    "measured_temperatures",
    "merge_correlations",
    "merge_results",
]

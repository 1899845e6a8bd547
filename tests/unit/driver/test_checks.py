"""How far apart frames may be: refused, warned about, and neither."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from mimyria.errors import FrameError
from mimyria_driver.checks import check_description
from mimyria_driver.ipi.client import IpiClient

DEFAULT = 4000.0


def described(numbers: list[int], stride: int) -> IpiClient:
    """As a client of i-PI, with a time step of 0.5 fs, describes its run."""
    return IpiClient("unix:none", np.array(numbers), np.ones(len(numbers)), 0.5, stride)


def check(numbers: list[int], stride: int, max_wavenumber: float = DEFAULT) -> None:
    client = described(numbers, stride)
    client.close()
    check_description(client._description, max_wavenumber)


@pytest.mark.parametrize("numbers", [[8, 1, 1], [8, 8]])
def test_more_than_four_femtoseconds_between_two_frames_are_refused(
    numbers: list[int],
) -> None:
    check(numbers, 8)
    with pytest.raises(
        FrameError, match=r"frame every 4\.5 fs.*at least every 8 steps"
    ):
        check(numbers, 9)


@pytest.mark.parametrize(
    ("numbers", "stride", "text"),
    [
        ([8, 1, 1], 6, ""),
        ([8, 1, 1], 7, "is enough, but not by much"),
        ([8, 1, 1], 8, "is enough, but not by much"),
        ([8, 1, 1], 12, "too few for hydrogen: its stretches lie above 2780 cm"),
        ([8, 8], 12, "is enough, but not by much"),
    ],
)
def test_who_asks_for_less_is_warned_where_hydrogen_would_be_folded_back(
    numbers: list[int], stride: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check(numbers, stride, 2000.0)
    assert (text in caplog.text) if text else not caplog.records

"""How long something takes, for people."""

import pytest

from mimyria.timetext import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (119.4, "119 s"),
        (120.0, "2 min"),
        (1800.0, "30 min"),
        (7199.0, "120 min"),
        (9000.0, "2.5 h"),
        (172_800.0, "2.0 d"),
        (3e6, "34.7 d"),
        (float("nan"), "unknown"),
    ],
)
def test_time_is_told_in_the_unit_that_a_person_would_choose(seconds, text):
    assert duration(seconds) == text

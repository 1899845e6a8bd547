"""Extra strings of our replies, read by i-PI's own reader, and those it cannot bear."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mimyria.errors import SettingsError
from mimyria_driver.driven.extras import KEYS, checked_keys, pack_extras
from mimyria_driver.ipi.audit import audit
from mimyria_driver.ipi.protocol import Connection
from tests.unit.driver.test_ipi_protocol import CONSOLIDATED, REPLY, feed

utils = pytest.importorskip("ipi.interfaces.utils")


def test_what_we_send_is_what_ipi_reads() -> None:
    said = audit(17, 4)
    assert utils.parse_extra(said.decode()) == {
        "mimyria": 1,
        "seq": 17,
        "rid": 4,
        "raw": said.decode(),
    }
    apt = np.random.default_rng(1).normal(size=(3, 3, 3))
    packed = pack_extras(KEYS, apt, np.ones(3)).decode()
    found = utils.parse_extra(packed)
    assert sorted(found) == sorted([*KEYS, "raw"])
    np.testing.assert_array_equal(
        np.reshape(found["dipole_derivative"], (3, 3, 3)), apt
    )


@pytest.mark.parametrize(("step", "rid"), [(-1, 0), (0, 1), (10**15, 2**31 - 1)])
def test_the_keys_of_a_reply_are_the_same_for_any_configuration(
    step: int, rid: int
) -> None:
    """Not those of a force client either: i-PI takes the later of two values."""
    found = json.loads(audit(step, rid))
    assert found == {"mimyria": 1, "seq": step, "rid": rid}
    assert not set(found) & {"raw", "dipole", "BEC", "stress", "polarizability"}


@pytest.mark.parametrize(
    ("said", "error"), [('{"raw": 1}', ValueError), ("[1, 2]", TypeError)]
)
def test_what_hangs_ipi_cannot_be_asked_of_us(
    said: str, error: type[Exception]
) -> None:
    """Its thread for the sockets dies of both; we have no name that would give them."""
    with pytest.raises(error):
        utils.parse_extra(said)
    with pytest.raises(SettingsError, match="Unknown key 'raw'"):
        checked_keys(["BEC", "raw"])


def test_the_length_of_an_extra_string_is_that_of_its_bytes() -> None:
    text = '{"Å": "é"}'
    _, answer = feed(Connection(text.encode()), [CONSOLIDATED])
    before = answer.index(REPLY[:-6]) + len(REPLY) - 6
    assert int.from_bytes(answer[before : before + 4], "little") == len(text) + 2
    assert answer[before + 4 :].decode() == text

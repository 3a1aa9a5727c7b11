"""Chaos on real processes: random operations on thirty services; then world and records agree.

VIRTSUPD_TEST_SEED chooses the operations and VIRTSUPD_TEST_OPERATIONS their number; without them
they are the same ones in each run. `scripts/chaos` runs many seeds.
"""

import os

import pytest
from tests.support.chaos import Chaos
from tests.support.daemon import host

OPERATIONS = int(os.environ.get("VIRTSUPD_TEST_OPERATIONS", "300"))

pytestmark = [pytest.mark.process, pytest.mark.timeout(60 + OPERATIONS)]


def test_world_and_records_agree_whatever_is_done() -> None:
    seed = int(os.environ.get("VIRTSUPD_TEST_SEED", "8"))
    print("VIRTSUPD_TEST_SEED", seed)  # noqa: T201 - to be repeated
    with host() as made, Chaos.begun(made, seed) as chaos:
        chaos.suffer(OPERATIONS)
        print(chaos.figures())  # noqa: T201 - to be repeated

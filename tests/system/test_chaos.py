"""Chaos on real processes: random operations on thirty services; then world and records agree.

VIRTSUPD_TEST_SEEDS ("8 21") chooses the operations and VIRTSUPD_TEST_OPERATIONS their number; without
them they are the same ones in each run. `scripts/chaos` runs many seeds.
"""

import os

import pytest
from tests.support.chaos import Chaos
from tests.support.daemon import host

OPERATIONS = int(os.environ.get("VIRTSUPD_TEST_OPERATIONS", "300"))
SEEDS = [int(seed) for seed in os.environ.get("VIRTSUPD_TEST_SEEDS", "8").split()]

pytestmark = [pytest.mark.process, pytest.mark.timeout(60 + 2 * OPERATIONS)]


@pytest.mark.parametrize("seed", SEEDS)
def test_world_and_records_agree_and_what_nobody_touched_runs_on(seed: int) -> None:
    print(f"VIRTSUPD_TEST_SEEDS={seed}")  # noqa: T201 - to be repeated
    with host() as made, Chaos.begun(made, seed) as chaos:
        chaos.suffer(OPERATIONS)
        if chaos.counts["deep"] > 5:
            assert chaos.counts["left under way"], "virtsupd died between starts and stops alone"
        print(chaos.figures())  # noqa: T201 - to be repeated

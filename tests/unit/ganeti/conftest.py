"""What the tests of Ganeti's files have in common."""

from pathlib import Path

import pytest
from tests.support.ganeti import Etc


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    """Give a test a directory that stands for /etc."""
    return Etc(tmp_path)

"""Fixtures of the configuration's tests."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)

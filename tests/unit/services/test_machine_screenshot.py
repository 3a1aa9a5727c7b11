from pathlib import Path

import pytest

from virtsupd.services.machine_screenshot import main


def test_a_file_that_is_there_is_not_replaced_unasked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    file.symlink_to("elsewhere")
    assert main(["m", "/nowhere/monitor", str(file)]) == 1
    assert capfd.readouterr().err == (
        f"cannot take a picture of m: {file} is there already; --force replaces it\n"
    )
    assert main(["m", "/nowhere/monitor", "--force", str(file)]) == 1
    assert "it is not running" in capfd.readouterr().err
    assert file.is_symlink()

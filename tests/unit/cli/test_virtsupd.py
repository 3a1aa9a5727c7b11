"""The options of virtsupd; what it does with them is tested with the program."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtsupd import __version__
from virtsupd.cli.virtsupd import main


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Turn the collector on again: `main` starts virtsupd without it."""
    yield
    gc.enable()


def test_a_sound_host_file_is_0_and_a_bad_one_2(tmp_path: Path) -> None:
    host = tmp_path / "host.toml"
    host.write_text('[service.web]\ncommand = ["/bin/true"]\n')
    assert main(["--check", "--config", str(host)]) == 0
    host.write_text("[service.web]\ncomand = 1\n")
    assert main(["--check", "-c", str(host)]) == 2
    assert main(["-c", str(host)]) == 2, "nothing of it is run"


def test_the_example_is_a_host_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example"]) == 0
    host = tmp_path / "host.toml"
    host.write_text(capsys.readouterr().out)
    assert host.read_text().startswith("# The complete host file of virtsupd")
    assert main(["--check", "--config", str(host)]) == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--version"], 0, f"virtsupd {__version__}\n"),
        (["--help"], 0, "virtsupctl(1)"),
        (["--daemonize"], 2, "unrecognized arguments: --daemonize"),
    ],
)
def test_help_version_and_mistakes(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == code
    assert said in "".join(capsys.readouterr())

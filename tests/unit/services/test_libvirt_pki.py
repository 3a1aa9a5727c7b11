from pathlib import Path

import pytest

from virtsupd.services.action_program import UsageError
from virtsupd.services.libvirt_pki import main, options


def words(root: Path) -> list[str]:
    """Return what the table says."""
    return [str(root / name) for name in ("key", "cert", "ca.pem")] + ["", "16514", ""]


def test_what_the_system_refuses_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(words(tmp_path / "file")) == 1
    assert (
        capsys.readouterr().err == f"cannot make certificates: {tmp_path}/file: not a directory\n"
    )


def test_hosts_are_several_words_and_several_options() -> None:
    assert options(["--host", "a", "10.0.0.1", "--host", "b"]).host == ["a", "10.0.0.1", "b"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["extra"], "unrecognized arguments: extra; see virtsupctl make-pki libvirtd --help"),
        (["--cl", "a"], "unrecognized arguments: --cl a"),
        (["--client", "alice"], "--client NAME and --to DIR go together"),
        (["--to", "/d"], "--client NAME and --to DIR go together"),
        (["--client", "a", "--to", "/d", "--host", "b"], "--host is for the server's"),
        (["--client", "a,CN=b", "--to", "/d"], "--client: found 'a,CN=b', must be"),
        (["--client", "*", "--to", "/d"], "--client: found"),
        (["--client", "a" * 65, "--to", "/d"], "--client: found"),
        (["--client", "a", "--to", "d"], "--to: found 'd', must be an absolute path"),
        (["--days", "0"], "--days: found 0, must be 1 to 36500"),
        (["--days", "x"], "argument --days: invalid int value: 'x'"),
        (["--host", "a b"], "--host: found 'a b', must be an IP address or a name"),
    ],
)
def test_what_is_not_allowed_is_refused(given: list[str], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(given)
    assert why in str(caught.value)

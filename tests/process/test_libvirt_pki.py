"""make-pki as the program that virtsupd runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

pytestmark = pytest.mark.process

MODULE = [sys.executable, "-I", "-m", "virtsupd.services.libvirt_pki"]
WITHOUT_LIBRARY = (
    "import sys; sys.modules['cryptography'] = None;"
    "from virtsupd.services.libvirt_pki import main; sys.exit(main(sys.argv[1:]))"
)


def words(root: Path) -> list[str]:
    """Return what the table says."""
    return [str(root / name) for name in ("key", "cert", "ca.pem")] + ["", "16514", ""]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_it_is_a_program_that_fails_in_one_line(tmp_path: Path) -> None:
    done = run(*MODULE, *words(tmp_path), "--days", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("made:\n")
    again = run(*MODULE, *words(tmp_path))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("cannot make certificates: all are there: ")
    assert len(again.stderr.splitlines()) == 1


def test_without_the_library_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = run(sys.executable, "-I", "-c", WITHOUT_LIBRARY, *words(tmp_path))
    assert done.returncode == 1
    assert "the Python package cryptography is missing" in done.stderr
    assert f"{sys.executable} -m pip install cryptography" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_is_that_of_virtsupctl() -> None:
    done = run(*MODULE, *words(Path("/none")), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: virtsupctl make-pki libvirtd ")


def test_of_many_at_once_at_most_one_makes_anything_and_then_all_of_it(tmp_path: Path) -> None:
    command = [*MODULE, *words(tmp_path)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    errors = [run.communicate(timeout=60)[1] for run in runs]
    assert not any("Traceback" in error or "left behind" in error for error in errors)
    if not any(run.returncode == 0 for run in runs):  # each was in another's way
        assert list(tmp_path.iterdir()) == []
        return
    assert sorted(run.returncode for run in runs) == [0, 1, 1, 1, 1, 1]
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    for name in ("cert", "client/clientcert.pem", "client/cacert.pem"):
        found = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        found.verify_directly_issued_by(ca)
    key = load_pem_private_key((tmp_path / "private/cakey.pem").read_bytes(), password=None)
    assert key.public_key() == ca.public_key()
    assert len(list(tmp_path.rglob("*"))) == 9

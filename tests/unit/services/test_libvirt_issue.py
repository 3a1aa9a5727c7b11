"""What make-pki makes, in a directory of the test's own."""

from pathlib import Path

import pytest
from cryptography import x509

from virtsupd.errors import VirtsupdError
from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.services.certificates import CertificateError
from virtsupd.services.libvirt_issue import RefusedError, Term, make_all, make_client
from virtsupd.services.libvirt_places import Places

TERM = Term(1_800_000_000.0)


def places(root: Path, *, address: str = "", port: str = "16514", to_set: str = "") -> Places:
    words = [root / "private/server.pem", root / "server.pem", root / "ca.pem", address, port]
    words.append(to_set)
    return Places.of([str(word) for word in words])


def modes(root: Path) -> dict[str, str]:
    """Return the mode of everything below a directory, in octal."""
    return {
        str(path.relative_to(root)): f"{path.lstat().st_mode & 0o7777:o}"
        for path in sorted(root.rglob("*"))
    }


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("pki")
    return root, make_all(places(root, port="16555"), ["vm.example.org"], TERM)


def test_all_is_there_and_keys_are_closed(made: tuple[Path, list[str]]) -> None:
    root, _ = made
    assert modes(root) == {
        "ca.pem": "644",
        "client": "700",
        "client/cacert.pem": "644",
        "client/clientcert.pem": "644",
        "client/clientkey.pem": "600",
        "private": "700",
        "private/cakey.pem": "600",
        "private/server.pem": "600",
        "server.pem": "644",
    }
    for name in ("server.pem", "client/clientcert.pem"):
        certificate(root / name).verify_directly_issued_by(certificate(root / "client/cacert.pem"))


def test_the_ca_comes_last_so_that_nobody_signs_with_one_that_goes_again(
    made: tuple[Path, list[str]],
) -> None:
    root, _ = made
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.pem")}
    assert max(times, key=times.__getitem__) == root / "private/cakey.pem"


def test_it_says_what_is_next(made: tuple[Path, list[str]]) -> None:
    root, lines = made
    text = "\n".join(lines)
    assert f"made:\n  {root}/private/cakey.pem\n" in text
    assert "the server is vm.example.org, " in text
    assert 'the client is "O=virtsupd,CN=root@' in text
    assert "\n  virtsupctl reload && virtsupctl restart libvirtd\n" in text
    uri = f"qemu+tls://vm.example.org:16555/system?pkipath={root}/client"
    assert text.endswith(f"\n  virsh -c '{uri}' list --all")
    assert "PRIVATE" not in text


def test_a_second_time_nothing_is_made(made: tuple[Path, list[str]]) -> None:
    root, _ = made
    before = {path: path.read_bytes() for path in root.rglob("*.pem")}
    with pytest.raises(RefusedError, match="all are there"):
        make_all(places(root), [], TERM)
    assert {path: path.read_bytes() for path in root.rglob("*.pem")} == before


def test_a_server_that_was_moved_away_is_made_anew_by_the_same_ca(tmp_path: Path) -> None:
    make_all(places(tmp_path), [], TERM)
    ca, old = (tmp_path / "ca.pem").read_bytes(), certificate(tmp_path / "server.pem")
    for name in ("server.pem", "private/server.pem"):
        (tmp_path / name).rename(tmp_path / f"{name}.old")
    lines = make_all(places(tmp_path), ["other.example.org"], TERM)
    assert lines[:3] == ["made:", f"  {tmp_path}/private/server.pem", f"  {tmp_path}/server.pem"]
    assert (tmp_path / "ca.pem").read_bytes() == ca
    new = certificate(tmp_path / "server.pem")
    assert new.serial_number != old.serial_number
    new.verify_directly_issued_by(certificate(tmp_path / "ca.pem"))


def test_one_more_client_gets_all_it_needs_and_nothing_else_changes(
    made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, _ = made
    before = modes(root)
    lines = make_client(places(root), "alice", tmp_path / "alice", Term(TERM.now, 30))
    assert modes(root) == before
    expected = {"cacert.pem": "644", "clientcert.pem": "644", "clientkey.pem": "600"}
    assert modes(tmp_path / "alice") == expected
    assert f"{(tmp_path / 'alice').stat().st_mode & 0o777:o}" == "700"
    found = certificate(tmp_path / "alice/clientcert.pem")
    found.verify_directly_issued_by(certificate(root / "ca.pem"))
    assert found.not_valid_after_utc.timestamp() == TERM.now + 30 * 86400
    assert any('"O=virtsupd,CN=alice" in tls_allowed_dn_list' in line for line in lines)
    assert f"?pkipath={tmp_path}/alice" in lines[-1]
    with pytest.raises(RefusedError, match=r"clientcert\.pem is there; name another directory"):
        make_client(places(root), "alice", tmp_path / "alice", TERM)


def test_nothing_is_made_for_a_client_below_what_is_missing_or_open_to_others(
    made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Root would make directories wherever somebody says."""
    root, _ = made
    with pytest.raises(RefusedError, match=f"{tmp_path}/missing is no directory; make it first"):
        make_client(places(root), "bob", tmp_path / "missing/bob", TERM)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    with pytest.raises(UnsafeDirectoryError, match="others can write to it"):
        make_client(places(root), "bob", tmp_path / "open/bob", TERM)
    assert not (tmp_path / "missing").exists()
    assert list((tmp_path / "open").iterdir()) == []


def test_a_client_without_a_ca_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"cakey\.pem is not there; first: virtsupctl make-pki"):
        make_client(places(tmp_path), "alice", tmp_path / "alice", TERM)
    assert list(tmp_path.iterdir()) == []


def test_a_ca_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    found = places(tmp_path)
    found.authority.key.parent.mkdir()
    found.authority.key.write_text("nonsense")
    found.authority.certificate.write_text("nonsense")
    with pytest.raises(CertificateError, match=f"{tmp_path}/ca.pem with key .* cannot be read"):
        make_all(found, [], TERM)
    assert sorted(modes(tmp_path)) == ["ca.pem", "private", "private/cakey.pem"]


def test_a_directory_that_others_write_to_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private").chmod(0o777)
    with pytest.raises(VirtsupdError, match="others can write to it"):
        make_all(places(tmp_path), [], TERM)
    assert list(modes(tmp_path)) == ["private"]


def test_where_the_table_turns_tls_off_what_is_next_begins_with_what_to_set(tmp_path: Path) -> None:
    lines = make_all(places(tmp_path, to_set="listen_tls = true"), [], TERM)
    assert lines[-3].endswith(
        "listens, and to try it: say listen_tls = true in [libvirt] of the host file,"
        " which turns TLS off; then"
    )
    assert lines[-2] == "  virtsupctl reload && virtsupctl restart libvirtd"


def test_the_path_of_a_directory_is_written_as_a_uri_wants_it(tmp_path: Path) -> None:
    make_all(places(tmp_path), [], TERM)
    lines = make_client(places(tmp_path), "alice", tmp_path / "al ice", TERM)
    assert f"?pkipath={tmp_path}/al%20ice" in lines[-1]

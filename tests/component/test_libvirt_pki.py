"""TLS from the first certificate to the last refusal, on a real libvirtd."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.libvirt import COMMANDS, LibvirtHost, libvirt_host
from tests.support.real_herd import herd

from virtsupd.services.certificates import Period, issue_client, new_authority, read_authority

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

PKI_SECONDS = 60.0
PORT = "16514"
OFF = "TLS is off"


@dataclass(frozen=True, slots=True)
class Remote:
    """libvirtd, as somebody on another host sees it, and its operator."""

    host: LibvirtHost

    def make(self, *options: str, is_ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run make-pki."""
        words = ("make-pki", "libvirtd", *options)
        return self.host.control(*words, is_ok=is_ok, seconds=PKI_SECONDS)

    def connect(
        self, uri: str = "qemu+tls://localhost/system", *, pki: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Ask for its version with the certificate in a directory, or in root's own place."""
        where = f"?pkipath={pki}" if pki is not None else ""
        command = ("virsh", "--connect", f"{uri}{where}", "version")
        return self.host.namespaces.run(*command, is_ok=False)

    def set_table(self, table: str) -> None:
        """Write `[libvirt]` anew, reload and restart libvirtd."""
        file = self.host.namespaces.shared / "host.toml"
        head = file.read_text().partition("[libvirt]\n")[0]
        file.write_text(f"{head}[libvirt]\n{table}")
        self.begin_anew()

    def begin_anew(self) -> None:
        """Do what make-pki says is next."""
        self.host.control("reload")
        self.host.control("restart", "libvirtd")

    def is_listening(self) -> bool:
        """Whether the port for TLS is open."""
        return f":{PORT} " in self.host.namespaces.run("ss", "-Hltn").stdout


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A host whose operator turned TLS on with nothing but make-pki, in libvirt's own places."""
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        found = Remote(host)
        assert OFF in host.control("status", "libvirtd").stdout
        assert not found.is_listening()
        found.make("--host", "vm.example.org")
        found.begin_anew()
        yield found


@pytest.fixture(scope="module")
def alice(remote: Remote) -> Path:
    """The directory of one more client."""
    directory = remote.host.namespaces.shared / "alice"
    remote.make("--client", "alice", "--to", str(directory))
    return directory


def test_after_make_pki_libvirtd_listens_for_tls_and_nobody_says_it_is_off(remote: Remote) -> None:
    assert remote.is_listening()
    assert OFF not in remote.host.control("status", "libvirtd").stdout
    config = str(remote.host.namespaces.shared / "host.toml")
    check = remote.host.namespaces.run(str(COMMANDS / "virtsupd"), "--config", config, "--check")
    assert OFF not in check.stdout + check.stderr


def test_root_of_this_host_needs_no_more(remote: Remote) -> None:
    done = remote.connect()
    assert "Running hypervisor: QEMU" in done.stdout, done.stderr


def test_the_files_have_the_modes_and_usages_they_need(remote: Remote) -> None:
    pki = remote.host.namespaces.root / "etc/pki"
    modes = {str(p.relative_to(pki)): f"{p.stat().st_mode & 0o777:o}" for p in pki.rglob("*.pem")}
    assert modes == {
        "CA/cacert.pem": "644",
        "CA/private/cakey.pem": "600",
        "libvirt/clientcert.pem": "644",
        "libvirt/private/clientkey.pem": "600",
        "libvirt/private/serverkey.pem": "600",
        "libvirt/servercert.pem": "644",
    }
    for private in (pki / "CA/private", pki / "libvirt/private"):
        assert private.stat().st_mode & 0o777 == 0o700
    # What GnuTLS, which libvirt uses, reads in them.
    server = seen_by_gnutls(pki / "libvirt/servercert.pem")
    assert {"DNSname: vm.example.org", "DNSname: localhost", "IPAddress: 127.0.0.1"} <= server
    assert {"TLS WWW Server.", "Digital signature.", "Key encipherment."} <= server
    assert "TLS WWW Client." in seen_by_gnutls(pki / "libvirt/clientcert.pem")
    authority = seen_by_gnutls(pki / "CA/cacert.pem")
    assert {"Certificate signing.", "CRL signing.", "Certificate Authority (CA): TRUE"} <= authority


def seen_by_gnutls(certificate: Path) -> set[str]:
    command = ["certtool", "--certificate-info"]
    done = subprocess.run(
        command, input=certificate.read_bytes(), capture_output=True, check=True, timeout=60
    )
    return {line.strip() for line in done.stdout.decode().splitlines()}


def test_a_client_needs_its_own_certificate(remote: Remote, alice: Path) -> None:
    done = remote.connect(pki=alice)
    assert "Running hypervisor: QEMU" in done.stdout, done.stderr
    nobody = remote.host.namespaces.shared / "nobody"
    nobody.mkdir()
    (nobody / "cacert.pem").write_bytes((alice / "cacert.pem").read_bytes())
    assert_refused(remote, nobody, "No certificate was found")


def test_a_second_make_pki_is_refused_and_changes_nothing(remote: Remote, alice: Path) -> None:
    pki = remote.host.namespaces.root / "etc/pki"
    before = {path: path.read_bytes() for path in pki.rglob("*.pem")}
    done = remote.make(is_ok=False)
    assert done.returncode == 1
    assert "cannot make certificates: all are there: /etc/pki/CA/cacert.pem, " in done.stderr
    again = remote.make("--client", "alice", "--to", str(alice), is_ok=False)
    assert "name another directory" in again.stderr
    assert {path: path.read_bytes() for path in pki.rglob("*.pem")} == before


def test_herd_can_ask_for_one_too(remote: Remote) -> None:
    shared = remote.host.namespaces.shared
    words = ("make-pki", "libvirtd", "--", "--client", "bob", "--to", str(shared / "bob"))
    done = herd(shared / "control", *words)
    assert done.code == 0, done.errors
    assert "O=virtsupd,CN=bob" in done.output
    assert remote.connect(pki=shared / "bob").returncode == 0


def test_only_our_ca_vouches_for_a_client_and_only_for_its_time(
    remote: Remote, alice: Path
) -> None:
    place = remote.host.namespaces.root / "etc/pki/CA"
    ours = read_authority(
        (place / "cacert.pem").read_bytes(), (place / "private/cakey.pem").read_bytes()
    )
    now = datetime.now(UTC).replace(microsecond=0)
    valid = Period(now - timedelta(minutes=30), now + timedelta(days=1))
    expired = Period(valid.begin, now - timedelta(minutes=1))
    for name, authority, period, why in (
        ("valid", ours, valid, ""),
        ("expired", ours, expired, "The certificate is not trusted"),
        ("foreign", new_authority("CA of vm", valid), valid, "hasn't got a known issuer"),
    ):
        client = issue_client(authority, "alice", period)
        directory = remote.host.namespaces.shared / name
        directory.mkdir()
        (directory / "cacert.pem").write_bytes((alice / "cacert.pem").read_bytes())
        (directory / "clientcert.pem").write_bytes(client.certificate_pem)
        (directory / "clientkey.pem").write_bytes(client.key_pem)
        if why:
            assert_refused(remote, directory, why)
        else:
            assert remote.connect(pki=directory).returncode == 0


def test_only_names_of_the_list_are_let_in(remote: Remote, alice: Path) -> None:
    """The name is that which make-pki prints, letter by letter."""
    printed = remote.make("--client", "carol", "--to", str(alice.with_name("carol"))).stdout
    [name] = re.findall(r'the client is (".*") in tls_allowed_dn_list', printed)
    remote.set_table(f"tls_allowed_dn_list = [{name}]\n")
    assert remote.connect(pki=alice.with_name("carol")).returncode == 0
    assert_refused(remote, alice, "Name is not on the list of allowed clients")


def test_a_table_with_places_of_its_own_gets_its_certificates_there(remote: Remote) -> None:
    """The last test: this host has another CA from now on."""
    place = remote.host.namespaces.shared / "own"
    files = f'key_file = "{place}/key.pem"\ncert_file = "{place}/cert.pem"\nca_file = "{place}/ca.pem"\n'
    remote.set_table(f'{files}tls_port = "16555"\n')
    assert OFF in remote.host.control("status", "libvirtd").stdout
    printed = remote.make().stdout
    remote.begin_anew()
    *virsh, uri, _, _ = shlex.split(printed.splitlines()[-1])
    assert virsh == ["virsh", "-c"]
    assert remote.connect(uri).returncode == 0


def assert_refused(remote: Remote, pki: Path, why: str) -> None:
    """See that libvirtd, not virsh, lets nobody in with that directory, and logs `why`."""
    log = remote.host.namespaces.shared / "log/libvirtd.log"
    before = len(text_of(log))
    done = remote.connect(f"qemu+tls://localhost/system?pkipath={pki}&no_sanity=1")
    assert done.returncode == 1, done.stdout
    assert "Unable to read TLS confirmation" in done.stderr
    eventually(lambda: why in text_of(log)[before:], f"{why!r} in the log of libvirtd")

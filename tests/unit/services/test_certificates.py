"""What certificates say, read back with the library that made them."""

from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from virtsupd.services.certificates import (
    CertificateError,
    Issued,
    Period,
    dn_text,
    issue_client,
    issue_server,
    new_authority,
    read_authority,
)

NOW = 1_800_000_000.0
TEN_YEARS = Period.starting(NOW, days=3650)
YEAR = Period.starting(NOW, days=365)


@cache
def authority() -> Issued:
    return new_authority("CA of vm", TEN_YEARS)


def usages(issued: Issued) -> set[str]:
    """Return what a key may do, by the names of X.509."""
    usage = issued.certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    names = ("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign")
    others = ("content_commitment", "data_encipherment", "key_agreement")
    return {name for name in (*names, *others) if getattr(usage.value, name)}


def constraints(issued: Issued) -> tuple[bool, int | None]:
    found = issued.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert found.critical
    return found.value.ca, found.value.path_length


def purposes(issued: Issued) -> list[x509.ObjectIdentifier]:
    return list(issued.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_ca_signs_and_does_nothing_else() -> None:
    assert usages(authority()) == {"key_cert_sign", "crl_sign"}
    assert constraints(authority()) == (True, 0)
    authority().certificate.verify_directly_issued_by(authority().certificate)


def test_a_server_has_its_names_and_a_key_that_libvirt_takes() -> None:
    names = ("vm.example.org", "10.0.0.1", "fd00::1")
    server = issue_server(authority(), names, YEAR)
    server.certificate.verify_directly_issued_by(authority().certificate)
    found = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert found.value.get_values_for_type(x509.DNSName) == ["vm.example.org"]
    addresses = [ip_address("10.0.0.1"), ip_address("fd00::1")]
    assert found.value.get_values_for_type(x509.IPAddress) == addresses
    assert usages(server) == {"digital_signature", "key_encipherment"}
    assert constraints(server) == (False, None)
    assert purposes(server) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert server.key.key_size >= 2048


def test_a_name_longer_than_a_common_name_is_a_servers_all_the_same() -> None:
    name = "a" * 60 + ".example.org"
    server = issue_server(authority(), (name,), YEAR)
    found = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert found.value.get_values_for_type(x509.DNSName) == [name]


def test_a_client_is_no_server() -> None:
    client = issue_client(authority(), "alice", YEAR)
    assert purposes(client) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert usages(client) == {"digital_signature", "key_encipherment"}
    # From the front, as libvirt writes it; RFC 4514 goes from the back.
    parts = [name.rfc4514_string() for name in client.certificate.subject.rdns]
    assert ",".join(parts) == dn_text("alice")


def test_serial_numbers_differ_and_names_lead_to_the_ca() -> None:
    one, other = (issue_client(authority(), "alice", YEAR) for _ in range(2))
    assert one.certificate.serial_number != other.certificate.serial_number
    kind = x509.AuthorityKeyIdentifier
    found = one.certificate.extensions.get_extension_for_class(kind).value.key_identifier
    own = authority().certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert found == own.value.digest


def test_a_clock_that_is_behind_takes_a_new_certificate() -> None:
    for issued in (authority(), issue_client(authority(), "alice", YEAR)):
        moment = datetime.fromtimestamp(NOW - 3000, UTC)
        assert issued.certificate.not_valid_before_utc < moment


def test_nothing_is_valid_longer_than_its_ca() -> None:
    with pytest.raises(CertificateError, match="the CA is valid until 2037-01-12 only"):
        issue_client(authority(), "alice", Period.starting(NOW, days=3651))
    later = Period.starting(NOW + 3640 * 86400, days=365)
    client = issue_client(authority(), "alice", later.within(authority()))
    assert client.certificate.not_valid_after_utc == authority().certificate.not_valid_after_utc
    past = Period.starting(NOW + 3660 * 86400, days=365)
    with pytest.raises(CertificateError, match="the CA was valid until 2037-01-12 only"):
        issue_client(authority(), "alice", past.within(authority()))


def test_a_ca_is_read_back_also_out_of_several() -> None:
    other = new_authority("another", TEN_YEARS)
    pem = other.certificate_pem + authority().certificate_pem
    read = read_authority(pem, authority().key_pem)
    assert read.certificate == authority().certificate
    issue_client(read, "alice", YEAR).certificate.verify_directly_issued_by(authority().certificate)


def ec_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def locked_pem() -> bytes:
    return authority().key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def test_what_cannot_sign_is_no_ca() -> None:
    pem, key = authority().certificate_pem, authority().key_pem
    client = issue_client(authority(), "alice", YEAR)
    stranger = Issued(authority().certificate, rsa.generate_private_key(65537, 2048))
    for certificate, private, why in (
        (b"", key, "it cannot be read"),
        (pem, b"", "it cannot be read"),
        (pem, locked_pem(), "it cannot be read: Password was not given"),
        (pem, ec_pem(), "its key is not RSA"),
        (pem, stranger.key_pem, "the certificate is not that of the key"),
        (client.certificate_pem, client.key_pem, "it may not sign certificates"),
    ):
        with pytest.raises(CertificateError, match=why):
            read_authority(certificate, private)


def plain(*extensions: x509.ExtensionType) -> Issued:
    """Return a certificate such as other tools make, with few extensions."""
    own = authority()
    builder = (
        x509.CertificateBuilder()
        .subject_name(own.certificate.subject)
        .issuer_name(own.certificate.subject)
        .public_key(own.key.public_key())
        .serial_number(1)
        .not_valid_before(TEN_YEARS.begin)
        .not_valid_after(TEN_YEARS.end)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return Issued(builder.sign(own.key, hashes.SHA256()), own.key)


def test_a_ca_of_other_tools_that_says_little_signs_too() -> None:
    other = plain(x509.BasicConstraints(ca=True, path_length=None))
    read = read_authority(other.certificate_pem, other.key_pem)
    client = issue_client(read, "alice", YEAR)
    kind = x509.AuthorityKeyIdentifier
    found = client.certificate.extensions.get_extension_for_class(kind).value.key_identifier
    assert found == x509.SubjectKeyIdentifier.from_public_key(other.key.public_key()).digest


def test_a_certificate_that_does_not_say_it_is_a_ca_signs_nothing() -> None:
    other = plain()
    with pytest.raises(CertificateError, match="it may not sign certificates"):
        read_authority(other.certificate_pem, other.key_pem)

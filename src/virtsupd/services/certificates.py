"""Keys and certificates for TLS: a CA, and what it signs for servers and clients.

Everything is RSA: libvirt wants certificates that may encipher keys, which those of elliptic curves
may not. cryptography is imported with this module, which costs 40 ms.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from virtsupd.errors import VirtsupdError

ORGANISATION = "virtsupd"
"""In the name of everybody whom a CA of ours signs a certificate for."""
MAX_NAME_CHARACTERS = 64
"""The most that X.509 allows a common name to have."""
CA_DAYS = 3650
_KEY_BITS = 3072
_SKEW = timedelta(hours=1)
"""How far the clock of a client may be behind when it first sees a new certificate."""


class CertificateError(VirtsupdError):
    """A CA cannot sign what it is asked to; the message says why."""

    code = "certificate"


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when a certificate is valid."""

    begin: datetime
    end: datetime

    @classmethod
    def starting(cls, now: float, *, days: int) -> "Period":
        """Return the period of so many days from `now` (wall clock), valid a while before."""
        moment = datetime.fromtimestamp(int(now), UTC)
        return cls(moment - _SKEW, moment + timedelta(days=days))

    def within(self, authority: "Issued") -> "Period":
        """Return as much of it as the CA is valid."""
        return Period(self.begin, min(self.end, authority.certificate.not_valid_after_utc))


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as a file."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as a file, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_authority(name: str, period: Period) -> Issued:
    """Make a CA that signs certificates and lists of revoked ones, and no further CAs."""
    key = _new_key()
    subject = distinguished_name(name)
    usage = _Usage(key_cert_sign=True, crl_sign=True)
    return Issued(
        _builder(subject, subject, key.public_key(), period)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage.extension(), critical=True)
        .sign(key, hashes.SHA256()),
        key,
    )


def read_authority(certificate_pem: bytes, key_pem: bytes) -> Issued:
    """Return the CA of these files; of several certificates in one, that of the key.

    Raises:
        CertificateError: they are no CA that could sign.
    """
    try:
        certificates = x509.load_pem_x509_certificates(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"it cannot be read: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateError("its key is not RSA")
    of_key = [found for found in certificates if found.public_key() == key.public_key()]
    if not of_key:
        raise CertificateError("the certificate is not that of the key")
    if not _may_sign(of_key[0]):
        raise CertificateError("it may not sign certificates")
    return Issued(of_key[0], key)


def issue_server(authority: Issued, names: tuple[str, ...], period: Period) -> Issued:
    """Make a server's certificate for these host names and IP addresses; the first is its name."""
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    purpose = ExtendedKeyUsageOID.SERVER_AUTH
    return _issue(authority, names[0][:MAX_NAME_CHARACTERS], period, purpose, alternatives)


def issue_client(authority: Issued, name: str, period: Period) -> Issued:
    """Make a client's certificate, whose name is `dn_text(name)`."""
    return _issue(authority, name, period, ExtendedKeyUsageOID.CLIENT_AUTH)


def distinguished_name(name: str) -> x509.Name:
    """Return the name of somebody or something in a certificate."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def dn_text(name: str) -> str:
    """Return that name as libvirt compares it with tls_allowed_dn_list."""
    return f"O={ORGANISATION},CN={name}"


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a key may do, of all that X.509 knows."""

    digital_signature: bool = False
    key_encipherment: bool = False
    key_cert_sign: bool = False
    crl_sign: bool = False

    def extension(self) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=self.digital_signature,
            content_commitment=False,
            key_encipherment=self.key_encipherment,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=self.key_cert_sign,
            crl_sign=self.crl_sign,
            encipher_only=False,
            decipher_only=False,
        )


def _issue(
    authority: Issued,
    name: str,
    period: Period,
    purpose: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None = None,
) -> Issued:
    """Make a certificate that the CA signs.

    Raises:
        CertificateError: the CA is not valid for the whole period.
    """
    ca = authority.certificate
    if period.end > ca.not_valid_after_utc:
        raise CertificateError(f"the CA is valid until {ca.not_valid_after_utc:%Y-%m-%d} only")
    begin = max(period.begin, ca.not_valid_before_utc)
    if begin >= period.end:
        raise CertificateError(f"the CA was valid until {ca.not_valid_after_utc:%Y-%m-%d} only")
    key = _new_key()
    usage = _Usage(digital_signature=True, key_encipherment=True)
    builder = (
        _builder(distinguished_name(name), ca.subject, key.public_key(), Period(begin, period.end))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage.extension(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_key_identifier(authority), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, period: Period
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(period.begin)
        .not_valid_after(period.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_identifier(authority: Issued) -> x509.AuthorityKeyIdentifier:
    """Return what names the CA's key: its own name for it, if it has one."""
    kind = x509.SubjectKeyIdentifier
    try:
        own = authority.certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return constraints.ca
    return constraints.ca and usage.key_cert_sign


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)

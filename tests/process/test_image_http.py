"""Opening a URL: TLS is checked and not left, and refusals say what they are."""

import datetime as dt
import ipaddress
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.image_server import ImageServer, image_server, leading_to, refusing, saying

from virtsupd.machine.image_http import RemoteError, open_at

pytestmark = pytest.mark.process

CONTENT = b"an image"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "images")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    nothing = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, nothing))
    return paths


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[ImageServer]:
    with image_server(CONTENT, certificate) as running:
        yield running


@pytest.fixture
def plain() -> Iterator[ImageServer]:
    with image_server(CONTENT) as running:
        yield running


def content_of(url: str, offset: int = 0) -> bytes:
    answer = open_at(url, offset, None, stall_seconds=2)
    with closing(answer.body):
        return answer.body.read1(1000)


def test_a_certificate_that_nobody_signed_is_refused_for_good(secure: ImageServer) -> None:
    with pytest.raises(RemoteError, match=r"not trusted: self.signed.*SSL_CERT_FILE") as refused:
        content_of(secure.url)
    assert refused.value.is_final
    assert secure.asked == []


def test_a_certificate_that_is_trusted_serves(
    secure: ImageServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert content_of(secure.url) == CONTENT


def test_tls_is_not_left_on_the_way(
    secure: ImageServer,
    plain: ImageServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    secure.acts.append(leading_to(plain.url))
    with pytest.raises(RemoteError, match="from https to http") as refused:
        content_of(secure.url)
    assert refused.value.is_final
    assert plain.asked == []


@pytest.mark.parametrize(
    ("code", "is_final"), [(404, True), (408, False), (429, False), (500, False)]
)
def test_a_refusal_says_whether_asking_again_helps(
    plain: ImageServer, code: int, is_final: bool
) -> None:
    plain.acts.append(refusing(code))
    with pytest.raises(RemoteError, match=f"says {code}") as refused:
        content_of(plain.url)
    assert refused.value.is_final == is_final


def test_a_rest_begins_where_it_was_asked_to(plain: ImageServer) -> None:
    assert content_of(plain.url, 3) == CONTENT[3:]


def test_plain_text_instead_of_tls_is_said_and_may_pass(plain: ImageServer) -> None:
    with pytest.raises(RemoteError, match="TLS failed") as refused:
        content_of(plain.url.replace("http:", "https:"))
    assert not refused.value.is_final


@pytest.mark.parametrize("said", ["bytes 0-7/8", "pages 3-7/8", ""])
def test_a_part_that_was_not_asked_for_is_not_taken_for_the_rest(
    plain: ImageServer, said: str
) -> None:
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {said}\r\nContent-Length: 8\r\n\r\n"
    plain.acts.append(saying(head.encode() + b"AN IMAGE"))
    answer = open_at(plain.url, 3, None, stall_seconds=2)
    with closing(answer.body):
        assert (answer.start, answer.body.read1(100)) == (0, CONTENT)


def test_a_weak_name_of_a_content_is_not_relied_on(plain: ImageServer) -> None:
    plain.etag = 'W/"first"'
    answer = open_at(plain.url, 0, None, stall_seconds=2)
    with closing(answer.body):
        assert answer.validator is None

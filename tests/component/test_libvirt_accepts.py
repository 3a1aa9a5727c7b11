"""What `--check` accepts, libvirt accepts; what it refuses, libvirt refuses, but for a written list.

The list is in docs/libvirt.md. `scripts/ask-libvirt N` asks about N configurations of each sort.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.libvirt_daemons import Daemons, Verdict, libvirt_daemons
from tests.support.libvirt_stricter import RULES, Rule, is_stricter
from tests.support.libvirt_tables import UUID, TableData, naive_conf, table_data

from virtsupd.config.kinds import Built, KindContext
from virtsupd.config.model import KindTable
from virtsupd.config.settings import HostSettings
from virtsupd.config.units import read_unit
from virtsupd.errors import ConfigError
from virtsupd.services.libvirt import LibvirtTable, build
from virtsupd.services.render import conf_text
from virtsupd.services.virconf import parse
from virtsupd.services.virtlock import VirtlockTable
from virtsupd.services.virtlog import VirtlogTable

pytestmark = [pytest.mark.component, pytest.mark.timeout(1800)]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("VIRTSUPD_LIBVIRT_EXAMPLES", "250"))
CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {"libvirtd": read_unit("libvirtd")})
SMALL: Final[dict[str, type[KindTable]]] = {"virtlogd": VirtlogTable, "virtlockd": VirtlockTable}
asking = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


ODD: Final = st.one_of(
    st.sampled_from(["", " ", "x y", "0", "-1", "none", "polkit", "sasl", "nop", "stderr", "+"]),
    st.sampled_from(["/nonexistent/x", "rel", "[::]", "127.1", "192.0.2.1", "70000", "08", "0999"]),
    st.sampled_from(["1:", "5:x", "1:+", "1:a:b", "0:a", "1:a,2:b", "x", "1:file", "1:file:x"]),
    st.sampled_from(["1:syslog:", "1:stderr:", "1:nowhere", "1:file:/nonexistent/x", "1:file:/"]),
    st.sampled_from([UUID[:-1], UUID + "-", "0" * 32, "{" + UUID + "}", "z" * 36]),
    st.sampled_from([True, False, 0, 1, 2, 5, 9, -1, -2, 2**31, 2**32, 2**32 - 1]),
    st.sampled_from([[], [""], ["nop"], ["polkit"], [1], ["a", "b"], ["'\"'\""]]),
    st.text(st.sampled_from("ab\"'#;=[]\\\n\té"), max_size=6),
)


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    with libvirt_daemons(tmp_path_factory.mktemp("accepts")) as daemons:
        yield daemons


def built(data: TableData) -> tuple[Built | None, list[str]]:
    """Return what the table becomes, if anything, and the fields over which it is refused."""
    try:
        made = build(LibvirtTable.model_validate(data), CONTEXT)
    except ValidationError as error:
        return None, [str(details["loc"][0]) for details in error.errors()]
    return made, [str(keys[0]) for keys, _ in (*made.problems, *made.host_faults())]


def flags(made: Built) -> list[str]:
    command = made.changes["libvirtd"]["command"]
    assert isinstance(command, list)
    return [word for word in command if word == "--listen"]


def ask(daemons: Daemons, made: Built) -> Verdict:
    return daemons.verdict("libvirtd", made.files[0].content, flags(made))


@asking
@given(table_data(LibvirtTable, most=20))
@example({})
@example({"listen_tcp": True, "auth_tcp": "none"})
def test_libvirtd_starts_with_whatever_is_accepted(daemons: Daemons, data: TableData) -> None:
    made, refused = built(data)
    if made is not None and not refused:
        note(made.files[0].content)
        verdict = ask(daemons, made)
        assert verdict.is_ready, verdict
        assert verdict.status == 0, verdict


@st.composite
def odd_data(draw: st.DrawFn) -> TableData:
    """Draw a table of which one field or two have a value that may be nonsense for them."""
    fields = sorted(LibvirtTable.model_fields.keys() - NOT_ASKED)
    data: TableData = draw(table_data(LibvirtTable, most=3))
    for name in draw(st.lists(st.sampled_from(fields), min_size=1, max_size=2, unique=True)):
        data[name] = draw(ODD)
    return data


NOT_ASKED: Final = {
    "autostart",
    "activation",
    "libvirt",
    "qemu",
    "dmidecode",
    "requirement",
    "firmwares",
}
THREADS: Final = {"min_workers", "prio_workers", "admin_min_workers"}
"""Not with large numbers: the threads are made, and the host would suffer."""


@asking
@given(odd_data())
@example({"log_outputs": "1:syslog:a:b"})
@example({"max_clients": 5})
@example({"listen_tcp": True, "tcp_port": "nosuch"})
@example({"listen_tcp": True, "listen_addr": "192.0.2.1"})
@example({"unix_sock_group": "nosuch"})
@example({"access_drivers": ["nop"]})
def test_libvirtd_refuses_what_is_refused(daemons: Daemons, data: TableData) -> None:
    made, refused = built(data)
    if made is not None and not refused:
        # Directories that virtsupd would make have no place in a test that shares the root's.
        assume(all(directory.path.is_dir() for directory in made.directories))
        note(made.files[0].content)
        verdict = ask(daemons, made)
        assert verdict.is_ready, verdict
        return
    if any(isinstance(data.get(name), int) and data[name] > 100 for name in THREADS):
        return
    conf = naive_conf(LibvirtTable, data)
    note(conf)
    arguments = ["--listen"] if data.get("listen_tcp") is True else []
    tls = "" if "listen_tls" in data else "listen_tls = 0\n"
    verdict = daemons.verdict("libvirtd", tls + conf, arguments)
    if verdict.is_ready:
        unexplained = [name for name in refused if not is_stricter(name, data)]
        assert unexplained == [], verdict


@asking
@given(table_data(VirtlogTable) | table_data(VirtlockTable))
def test_the_small_daemons_start_with_whatever_is_accepted(
    daemons: Daemons, data: TableData
) -> None:
    for program, model in SMALL.items():
        if data.keys() <= model.model_fields.keys():
            verdict = daemons.verdict(program, conf_text(model.model_validate(data)))
            assert verdict.is_ready, verdict


TOKENS: Final = st.sampled_from(
    [*"+x[]=#;\n \t\\_-'\"\x01é", "a = ", "b=", "c", "1", "-5", '""', '"""', ", ", "\r\n"]
)


def is_read(text: str) -> bool:
    """Whether our own reader takes a file."""
    try:
        parse(text, "f")
    except ConfigError as error:
        note(str(error))
        return False
    return True


@asking
@given(st.lists(TOKENS, max_size=14).map("".join))
@example('a = """"x"""')
@example("a = [\n'x'\n,\n]")
@example("a = 1;# c\n;")
def test_files_are_read_as_libvirt_reads_them(daemons: Daemons, text: str) -> None:
    """But for blank lines at the end of a file without anything after them, which libvirt refuses."""
    text += "\nend = 1\n"
    verdict = daemons.verdict("virtlogd", text)
    assert verdict.is_ready == is_read(text), verdict


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason[:40])
def test_where_we_are_stricter_libvirtd_is_not(daemons: Daemons, rule: Rule) -> None:
    """A rule that libvirt has learned belongs off the list."""
    assert set(built(rule.proof)[1]) <= rule.fields
    assert built(rule.proof)[1]
    tls = "" if "listen_tls" in rule.proof else "listen_tls = 0\n"
    verdict = daemons.verdict(
        "libvirtd", tls + naive_conf(LibvirtTable, rule.proof), rule.arguments
    )
    assert verdict.is_ready, verdict


def test_the_manual_lists_every_rule_with_its_reason() -> None:
    page = " ".join((CHECKOUT / "docs/libvirt.md").read_text().split())
    assert [rule.reason for rule in RULES if rule.reason not in page] == []


CA_TEMPLATE: Final = "cn = T\nca\ncert_signing_key\n"
SERVER_TEMPLATE: Final = (
    "cn = localhost\ndns_name = localhost\ntls_www_server\nencryption_key\nsigning_key\n"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TableData:
    """Make a CA and a server's certificate; return the fields that name them."""
    place = tmp_path_factory.mktemp("pki")

    def certtool(*arguments: str, out: str) -> str:
        command = ["certtool", *arguments, "--outfile", out]
        subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=60)
        return str(place / out)

    def template(name: str, text: str) -> str:
        (place / name).write_text(text)
        return name

    ca = ["--load-ca-certificate", "ca.pem", "--load-ca-privkey", "ca.key"]
    private = ["--generate-privkey", "--key-type", "rsa", "--bits", "2048"]
    certtool(*private, out="ca.key")
    own = ["--load-privkey", "ca.key", "--template", template("ca", CA_TEMPLATE)]
    certificate = certtool("--generate-self-signed", *own, out="ca.pem")
    key = certtool(*private, out="server.key")
    own = ["--load-privkey", "server.key", "--template", template("server", SERVER_TEMPLATE)]
    server = certtool("--generate-certificate", *own, *ca, out="server.pem")
    return {"key_file": key, "cert_file": server, "ca_file": certificate}


def test_with_certificates_libvirtd_listens_for_tls(daemons: Daemons, pki: TableData) -> None:
    made, refused = built(pki)
    assert made is not None
    assert (refused, flags(made)) == ([], ["--listen"])
    assert "listen_tls = 1\n" in made.files[0].content
    assert ask(daemons, made).is_ready


@pytest.mark.parametrize(
    ("field", "of", "refused_for"),
    [
        ("key_file", "ca.key", "cert_file"),
        ("cert_file", "server.key", "cert_file"),
        ("ca_file", "server.key", "ca_file"),
        ("crl_file", "server", "crl_file"),
    ],
)
def test_certificates_that_do_not_fit_are_refused_by_both(
    daemons: Daemons, pki: TableData, field: str, of: str, refused_for: str
) -> None:
    wrong = str(Path(pki["ca_file"]).with_name(of))
    made, refused = built(pki | {field: wrong})
    assert made is not None
    assert refused == [refused_for]
    assert ask(daemons, made).status == 6


def test_without_a_file_libvirtd_starts_without_tls(daemons: Daemons, pki: TableData) -> None:
    made, refused = built(pki | {"crl_file": "/nonexistent/crl", "listen_tcp": True})
    assert made is not None
    assert (refused, flags(made)) == ([], ["--listen"])
    assert ask(daemons, made).is_ready

"""What Debian's providers and Ganeti's own code make of the files that we write, on a copy of /etc/ganeti."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.ganeti import tree_of

from virtsupd.ganeti import (
    DebootstrapConfiguration,
    GanetiOs,
    GanetiOsVariant,
    debootstrap_os,
    debootstrap_variant,
)
from virtsupd.ganeti.configuration_tree import configuration_settings
from virtsupd.ganeti.storage_paths import FORBIDDEN

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

PRIVATE = 'mount --bind "$1" /etc/ganeti && mount -t tmpfs none /srv && shift && exec "$@"'
PROVIDER = "/usr/share/ganeti/os/debootstrap"
SOURCED = f"cd {PROVIDER} && . ./common.sh && "
INSTANCE = {
    "OS_API_VERSION": "20",
    "INSTANCE_NAME": "one.example",
    "HYPERVISOR": "kvm",
    "DISK_COUNT": "1",
    "DISK_0_PATH": "/dev/null",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
GANETI = "import sys, json; sys.path.insert(0, '/usr/share/ganeti/3.0'); "
OFFERED = (
    GANETI + "from ganeti import backend; "
    "print(json.dumps({found[0]: found[4] for found in backend.DiagnoseOS() if found[2]}))"
)
FORBIDDEN_BY_GANETI = (
    GANETI + "from ganeti.storage import filestorage; "
    "print(json.dumps(sorted(filestorage._GetForbiddenFileStoragePaths())))"
)
ACCEPTED = (
    GANETI + "from ganeti.storage import filestorage; from ganeti import errors\n"
    "def is_taken(path):\n"
    "  try:\n    filestorage.CheckFileStoragePathAcceptance(path)\n"
    "  except errors.FileStoragePathError:\n    return False\n"
    "  return True\n"
    "print(json.dumps([path for path in sys.argv[1:] if is_taken(path)]))"
)
HOSTILE = [
    "it's",
    "'; touch /etc/ganeti/hacked; '",
    "$(touch /etc/ganeti/hacked)",
    "`touch /etc/ganeti/hacked`",
    '"$HOME"',
    "a b  c",
    "\\",
    "a\\'b",
    "!! # ~ * ? [x]",
    "é€",
]


@dataclass(frozen=True)
class Node:
    """A host whose /etc/ganeti is a copy, and whose /srv is empty."""

    root: Path

    @property
    def ganeti(self) -> Path:
        return self.root / "ganeti"

    def run(self, *command: str, **variables: str) -> str:
        """Run a command there, with these variables and no others; return what it printed."""
        line = ["unshare", "--mount", "sh", "-c", PRIVATE, "sh", str(self.ganeti), *command]
        done = subprocess.run(
            line, capture_output=True, text=True, check=False, env=variables or None, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def configure(self, *oses: GanetiOs, paths: tuple[str, ...] = ()) -> None:
        settings = configuration_settings(
            oses, record=str(self.root / "record.json"), storage_paths=paths
        )
        (self.root / "settings").write_text(settings.text)
        self._program(str(self.root / "settings"))

    def remove(self) -> None:
        self._program("--remove", str(self.root / "record.json"))

    def _program(self, *words: str) -> None:
        self.run(sys.executable, "-I", "-m", "virtsupd.ganeti.configure", *words)

    def sourced(self, variant: str, *names: str) -> list[str]:
        """Return the values of variables once the provider has sourced a variant."""
        shown = "".join(f'printf "%s\\0" "${name}"; ' for name in names)
        said = self.run("bash", "-c", f"{SOURCED}{shown}", OS_VARIANT=variant, **INSTANCE)
        return said.split("\0")[:-1]

    def python(self, program: str, *words: str) -> list[str] | dict[str, list[str]]:
        """Return what a program prints that uses Ganeti's code, read as JSON."""
        found: list[str] | dict[str, list[str]]
        found = json.loads(self.run("/usr/bin/python3", "-c", program, *words))
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Copy /etc/ganeti, as the packages brought it."""
    subprocess.run(["cp", "-a", "/etc/ganeti", str(tmp_path / "ganeti")], check=True)
    return Node(tmp_path)


@pytest.mark.parametrize("value", HOSTILE)
def test_the_provider_reads_each_value_as_it_was_said(node: Node, value: str) -> None:
    hostile = DebootstrapConfiguration(proxy=value, suite="bookworm")
    node.configure(debootstrap_os([debootstrap_variant("lab", hostile)]))
    assert node.sourced("lab", "PROXY", "SUITE") == [value, "bookworm"]
    assert not (node.ganeti / "hacked").exists()


def test_the_provider_never_cleans_its_cache_where_that_was_said(node: Node) -> None:
    never = debootstrap_variant("never", DebootstrapConfiguration(clean_cache=None))
    node.configure(debootstrap_os([never, debootstrap_variant("default")]))
    assert node.sourced("never", "CLEAN_CACHE", "GENERATE_CACHE") == ["", "yes"]
    assert node.sourced("default", "CLEAN_CACHE", "SUITE") == ["14", "stable"]


def test_run_parts_runs_the_default_hooks_and_they_do_what_they_say(node: Node) -> None:
    node.configure(debootstrap_os([debootstrap_variant("default")]))
    [place] = node.sourced("default", "CUSTOMIZE_DIR")
    assert node.run("run-parts", "--test", place).split() == [
        f"{place}/10-interfaces",
        f"{place}/90-grub",
    ]
    target = node.root / "target"
    (target / "etc").mkdir(parents=True)
    variables = {"TARGET": str(target), "NIC_COUNT": "1", "PATH": "/usr/bin:/bin"}
    node.run(f"{place}/10-interfaces", **variables)
    assert "iface eth0 inet dhcp" in (target / "etc/network/interfaces").read_text()
    node.run("dash", "-n", f"{place}/90-grub")


def test_a_guest_without_grub_is_finished_without_a_boot_loader(node: Node) -> None:
    node.configure(debootstrap_os([debootstrap_variant("default")]))
    [place] = node.sourced("default", "CUSTOMIZE_DIR")
    program = f"chroot() {{ return 1; }}; set -- ; . {shlex.quote(place)}/90-grub"
    node.run("dash", "-c", program, TARGET="/nowhere", BLOCKDEV="/dev/null")


def test_ganeti_offers_the_variants_at_once(node: Node) -> None:
    custom = GanetiOs("custom", ".conf", (GanetiOsVariant("foo", "this is fine"),))
    node.configure(debootstrap_os([debootstrap_variant("lab")]), custom)
    assert node.python(OFFERED) == {"noop": [], "debootstrap": ["lab"]}
    provider = (
        f"mkdir -p /srv/ganeti/os && cp -a {PROVIDER} /srv/ganeti/os/custom && "
        "ln -sf /etc/ganeti/instance-custom/variants.list /srv/ganeti/os/custom/ && "
        f"exec /usr/bin/python3 -c {shlex.quote(OFFERED)}"
    )
    assert json.loads(node.run("sh", "-c", provider))["custom"] == ["foo"]


def test_ganeti_takes_the_storage_paths_and_refuses_what_we_refuse(node: Node) -> None:
    node.configure(paths=("/srv/ganeti/file-storage", "/data"))
    inside = ["/srv/ganeti/file-storage/a", "/data/b"]
    assert node.python(ACCEPTED, *inside, "/srv/other", "/etc/x") == inside
    assert node.python(FORBIDDEN_BY_GANETI) == sorted(FORBIDDEN)


def test_the_packages_files_are_back_after_all_and_the_administrators_were_never_gone(
    node: Node,
) -> None:
    own = node.ganeti / "instance-debootstrap/variants/mine.conf"
    own.write_text("SUITE=sid\n")
    before = tree_of(node.ganeti)
    lab = debootstrap_variant("lab", DebootstrapConfiguration(suite="bookworm"))
    node.configure(debootstrap_os([debootstrap_variant("default"), lab]), paths=("/srv/a",))
    assert node.sourced("default", "PARTITION_STYLE") == ["msdos"]
    assert own.read_text() == "SUITE=sid\n"
    node.remove()
    assert tree_of(node.ganeti) == before

"""The program of a link: through libvirt-python where that is installed, through virsh otherwise."""

import importlib.util
from pathlib import Path

import pytest
from tests.support.fake_virsh import URI, FakeVirsh
from tests.support.linking import link

pytestmark = pytest.mark.process


def test_virsh_is_used_where_it_is_asked_for_or_nothing_else_is_there(tmp_path: Path) -> None:
    virsh = FakeVirsh(tmp_path / "virsh")
    has_library = importlib.util.find_spec("libvirt") is not None
    words = [URI, "virsh"] if has_library else [URI]
    with link(*words, environment={"PATH": virsh.path}) as libvirt:
        libvirt.hear(up="virsh")
    virsh.close()


@pytest.mark.skipif(importlib.util.find_spec("libvirt") is None, reason="no libvirt-python")
def test_the_library_is_used_where_it_is_installed() -> None:
    with link("test:///default") as libvirt:
        libvirt.hear(up="libvirt-python")

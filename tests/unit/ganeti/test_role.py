"""What a node is, from the files that the master hands out."""

import os
from pathlib import Path

import pytest

from virtsupd.ganeti.role import Role, Standing, standing

FILES = {
    "master_node": "node1.lab\n",
    "cluster_name": "cluster.lab\n",
    "master_candidates": "node1.lab\nnode2.lab\n",
}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Give each test the files of a cluster of three."""
    for name, text in FILES.items():
        (tmp_path / f"ssconf_{name}").write_text(text)
    return tmp_path


def as_host(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((found[0], name, *found[2:])))


@pytest.mark.parametrize(
    ("host", "role", "said"),
    [
        ("node1.lab", Role.MASTER, "master of cluster.lab"),
        ("node1", Role.MASTER, "master of cluster.lab"),
        ("node2.lab", Role.CANDIDATE, "master candidate of cluster.lab, whose master is node1.lab"),
        ("node3.lab", Role.MEMBER, "member of cluster.lab, whose master is node1.lab"),
        ("node1.other", Role.MEMBER, "member of cluster.lab, whose master is node1.lab"),
    ],
)
def test_a_node_knows_its_role_and_the_master(
    library: Path, monkeypatch: pytest.MonkeyPatch, host: str, role: Role, said: str
) -> None:
    as_host(monkeypatch, host)
    found = standing(library)
    assert found == Standing(role, "node1.lab", "cluster.lab")
    assert str(found) == said


def test_a_host_without_those_files_is_in_no_cluster(tmp_path: Path) -> None:
    assert standing(tmp_path / "missing") == Standing(Role.NONE)
    assert str(Standing(Role.NONE)) == "in no cluster"
    (tmp_path / "ssconf_master_node").write_text("\n")
    assert standing(tmp_path).role is Role.NONE, "left behind by a node that was removed"


def test_what_is_no_text_is_told_nevertheless(library: Path) -> None:
    (library / "ssconf_cluster_name").write_bytes(b"\xff\n")
    assert standing(library).cluster == "\ufffd"

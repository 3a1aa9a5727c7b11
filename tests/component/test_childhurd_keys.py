"""Several childhurds on a host with a Guix: what it takes for each of them to let the host in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

TABLES = """
[[hurd_vm]]
id = 1
image = "/a.img"
[[hurd_vm]]
id = 2
image = "/b.img"
[[hurd_vm]]
id = 3
image = "/c.img"
secret_root = "/etc/third"
"""
ON_A_HOST_WITH_GUIX = 'mount -t tmpfs none /var && mkdir /var/guix && exec "$@"'
KEYS = """
import json, sys, tomllib
from pathlib import Path
from virtsupd.config.load import load
from virtsupd.services.registry import KINDS
found = {}
for file in load(Path(sys.argv[1]), KINDS).generated:
    settings = tomllib.loads(file.content)
    key = settings.get("offload_key") or settings.get("private_key")
    if key:
        found[file.path.name] = key
print(json.dumps(found))
"""


def test_machines_with_the_same_secrets_let_the_host_in_by_the_same_key(tmp_path: Path) -> None:
    """One file lists the keys that are let in, and no file that is there is ever changed."""
    (tmp_path / "host.toml").write_text(TABLES)
    line = ["unshare", "--mount", "sh", "-c", ON_A_HOST_WITH_GUIX, "sh", sys.executable, "-c", KEYS]
    done = subprocess.run(
        [*line, str(tmp_path / "host.toml")], stdout=subprocess.PIPE, text=True, check=True
    )
    keys = {name: key.rpartition("/")[2] for name, key in json.loads(done.stdout).items()}
    assert keys == {
        f"hurd-vm{number}-{part}.conf": f"childhurd{first}"
        for number, first in ((1, 1), (2, 1), (3, 3))
        for part in ("prepare", "offloading")
    }

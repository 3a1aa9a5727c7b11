"""virtsupd with one kind more: `[pretend]` of tests/support/guest_kind.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.guest_kind import PRETEND

from virtsupd.services import registry

registry.KINDS = {**registry.KINDS, "pretend": PRETEND}

from virtsupd.cli.virtsupd import main  # noqa: E402  (it is to see the kind)

if __name__ == "__main__":
    sys.exit(main())

"""What the extension refuses before it makes anything; the rest is in tests/process/test_spawn.py."""

from typing import Any

import pytest

from virtsupd.process import _spawn
from virtsupd.process.extension import ExtensionSpawner

CALL: dict[str, Any] = {
    "executable": b"/bin/true",
    "argv": (b"true",),
    "environment": (),
    "has_pid_variable": False,
    "directory": b"/",
    "umask": 0,
    "credentials": None,
    "limits": (),
    "capabilities": None,
    "oom_score": None,
    "nice": None,
    "no_new_privileges": False,
    "descriptors": (0, 1, 2),
    "cgroup": -1,
    "keeper": (),
    "status_file": -1,
}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"executable": "text"}, TypeError),
        ({"executable": b"a\0b"}, ValueError),
        ({"argv": (b"a\0b",)}, ValueError),
        ({"argv": [b"a"]}, TypeError),
        ({"argv": ("text",)}, TypeError),
        ({"environment": ("text",)}, TypeError),
        ({"has_pid_variable": True}, ValueError),
        ({"credentials": (1, 2)}, TypeError),
        ({"credentials": (1, 2, ("x",))}, TypeError),
        ({"limits": ((1, 2, 3),) * 17}, ValueError),
        ({"limits": ((1, 2),)}, TypeError),
        ({"descriptors": (0,) * 1025}, ValueError),
        ({"descriptors": ("x",)}, TypeError),
        ({"nice": "x"}, TypeError),
        ({"oom_score": "x"}, TypeError),
        ({"capabilities": "x"}, TypeError),
        ({"capabilities": -1}, OverflowError),
        ({"keeper": [b"a"]}, TypeError),
        ({"keeper": (b"a\0b",)}, ValueError),
        ({"status_file": None}, TypeError),
        ({"surprise": 1}, TypeError),
    ],
)
def test_wrong_arguments_make_no_process(
    changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _spawn.spawn(**{**CALL, **changes})


def test_it_says_why_it_cannot_be_used() -> None:
    assert ExtensionSpawner.why_not() is None
    assert _spawn.is_supported()

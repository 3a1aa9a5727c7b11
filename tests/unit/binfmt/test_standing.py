"""What `status` says of the entries."""

import re

from virtsupd.binfmt.holding import Found
from virtsupd.binfmt.ownership import PutBack
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.standing import status_text

NEVER = PutBack()
HELD = lookup_qemu_platforms("arm", "aarch64")


def test_what_is_registered_is_named() -> None:
    assert status_text(HELD, Found(), {}, NEVER, "") == "registered: arm, aarch64"
    assert status_text((), Found(), {}, NEVER, "") == "registered: nothing"


def test_what_is_in_the_way_is_said_and_what_was_done() -> None:
    found = Found(
        missing={"arm": "is foo's"},
        remarks={"aarch64": "foo takes its programs, too"},
        taken_off=["sh4"],
        counts={"arm": PutBack(2, 1.0), "aarch64": PutBack(1, 5.0)},
    )
    text = status_text(
        HELD, found, {"aarch64": "ended with 1"}, NEVER, "new settings are not in force"
    )
    assert text.startswith("registered: aarch64; aarch64 does not run: ended with 1; ")
    assert "arm is not registered: is foo's; aarch64: foo takes its programs, too" in text
    assert "taken off by an operator: sh4; put back 3 times, last at " in text
    assert re.search(r"last at \d\d:\d\d:05; new settings are not in force$", text)


def test_a_table_that_was_mounted_again_is_counted() -> None:
    text = status_text(HELD, Found(), {}, PutBack(2, 5.0), "")
    assert re.search(r"; mounted again 2 times, last at \d\d:\d\d:05$", text)


def test_a_table_that_is_switched_off_comes_first() -> None:
    text = status_text(HELD, Found(is_on=False, counts={"arm": PutBack(1, 5.0)}), {}, NEVER, "")
    assert text.startswith("binfmt_misc is switched off as a whole; registered: ")
    assert "put back 1 time, last" in text

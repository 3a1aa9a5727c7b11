"""`virtsupctl configuration build-vm` tells what the machine is like."""

import json

import pytest

from virtsupd.services.build_vm_configuration import main

FACTS = ["build-vm", "Haswell", "4", "2048", "2013-07-01T12:00:00"]


def test_it_tells_what_the_guest_takes_for_its_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FACTS) == 0
    assert capsys.readouterr().out == (
        "processors  4, Haswell\nmemory      2048 MiB\ndate        2013-07-01 12:00:00 UTC\n"
    )
    assert main([*FACTS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cpu"], told["cpu_count"], told["memory_mib"]) == ("Haswell", 4, 2048)
    assert told["date"] == "2013-07-01T12:00:00Z"


def test_other_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FACTS, "x"]) != 0
    assert "virtsupctl configuration build-vm --help" in capsys.readouterr().err

from dataclasses import replace

import pytest

from virtsupd.services.libvirt_domains import Domain, main, parsed, table, with_start
from virtsupd.times import ago

UUIDS = [f"0d995d1{i}-aaeb-4106-bd9e-f5c98631400{i}" for i in range(4)]
PRINTED = f"""
{UUIDS[0]} 12 odd  na'me
{UUIDS[1]} -  lead and trail\x20
{UUIDS[2]} 3 Domain: 'x'
{UUIDS[3]} 4 has just ended

Domain: 'odd  na'me'
  state.state=1
  state.reason=1

Domain: ' lead and trail '
  state.state=5
  state.reason=0

Domain: 'Domain: 'x''
  state.state=9
  state.reason=0

"""


def test_every_name_that_libvirt_allows_is_read_as_it_is() -> None:
    assert list(parsed(PRINTED)) == [
        Domain(12, "odd  na'me", UUIDS[0], "running"),
        Domain(None, " lead and trail ", UUIDS[1], "shut off"),
        Domain(3, "Domain: 'x'", UUIDS[2], "state 9"),
    ]


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_what_only_python_takes_for_a_line_end_ends_no_name(odd: str) -> None:
    printed = PRINTED.replace("odd  na'me", f"odd{odd}name")
    assert next(parsed(printed)) == Domain(12, f"odd{odd}name", UUIDS[0], "running")


def test_people_see_since_when_a_guest_runs_as_in_status() -> None:
    domain = Domain(12, "web\t1", UUIDS[0], "running", 4711, 1795395052.0, 93784.5)
    now = 1795395052.0 + 93784.5
    head, line = table([domain], now).splitlines()
    assert head.split() == ["ID", "STATE", "STARTED", "NAME"]
    assert line == f"12  running  {ago(1795395052.0, now)}  web\\t1"
    assert "1 day 2 h ago, 2026-11-2" in line


def test_what_is_not_known_is_not_made_up() -> None:
    domain = Domain(1, "no/such guest", UUIDS[0], "running")
    assert with_start(domain, "qemu:///system", 1e9) == domain
    assert table([replace(domain, id=None)], 1e9).splitlines()[1].split() == [
        *("-", "running", "-"),
        *("no/such", "guest"),
    ]


def test_words_that_it_does_not_know_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["virsh", "qemu:///system", "--nonsense"]) == 64
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err

"""How a process ended, in words and as the number of wait(2)."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.core.exits import ExitStatus, from_wait_status, signal_name


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (ExitStatus(code=3), "exited with code 3"),
        (ExitStatus(code=0), "exited with code 0"),
        (ExitStatus(signal=9), "ended by SIGKILL"),
        (ExitStatus(signal=11, dumped_core=True), "ended by SIGSEGV and dumped core"),
        (ExitStatus(signal=40), "ended by signal 40"),
        (ExitStatus(), "ended in an unknown way"),
    ],
)
def test_an_end_is_said_for_people(status: ExitStatus, text: str) -> None:
    assert str(status) == text


def test_signals_have_the_names_of_linux() -> None:
    assert {signal_name(s): s for s in range(1, 32)} == {
        f"SIG{name}": number
        for number, name in enumerate(
            [*(signal.Signals(n).name.removeprefix("SIG") for n in range(1, 16)), "STKFLT"], 1
        )
    } | {signal.Signals(n).name: n for n in range(17, 32)}


@pytest.mark.parametrize("number", [0, -1, 32, 64])
def test_a_number_without_a_name_stays_a_number(number: int) -> None:
    assert signal_name(number) == f"signal {number}"


@given(st.integers(0, 255))
def test_a_code_survives_the_wire(code: int) -> None:
    status = from_wait_status(code << 8)
    assert (status, status.wait_status) == (ExitStatus(code=code), code << 8)


@given(st.integers(1, 64), st.booleans())
def test_a_signal_survives_the_wire(number: int, dumped: bool) -> None:
    status = from_wait_status(number | (0x80 if dumped else 0))
    assert status == ExitStatus(signal=number, dumped_core=dumped)
    assert from_wait_status(status.wait_status or 0) == status


def test_an_unknown_end_has_no_number() -> None:
    assert ExitStatus().wait_status is None

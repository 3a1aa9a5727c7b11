"""Orders that come too early wait."""

import signal

from virtsupd.process import early_signals


def test_orders_wait_until_they_are_taken_again_and_what_ends_virtsupd_does_not() -> None:
    taken: list[int] = []
    orders = (signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda n, _: taken.append(n)) for number in orders}
    try:
        early_signals.hold()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(orders)
        for number in orders:
            signal.raise_signal(number)
        assert taken == []
        early_signals.release()
        assert sorted(taken) == sorted(orders)
    finally:
        early_signals.release()
        for number, handler in before.items():
            signal.signal(number, handler)

import resource
import signal

import pytest

from virtsupd.cli import verbs
from virtsupd.config.vocabulary import CAPABILITIES, LIMITS, SIGNALS, VERBS, require_known
from virtsupd.core.events import Verb


def test_signals_are_those_of_the_kernel() -> None:
    known = {item.name for item in signal.Signals if item < 32} - {"SIGCLD", "SIGPOLL", "SIGIOT"}
    assert known <= SIGNALS


def test_limits_are_those_of_the_kernel() -> None:
    known = {name.removeprefix("RLIMIT_").lower() for name in dir(resource) if "RLIMIT_" in name}
    assert known - {"ofile"} <= LIMITS


def test_capabilities_are_complete_up_to_the_newest() -> None:
    assert len(CAPABILITIES) == 41
    assert "CAP_CHECKPOINT_RESTORE" in CAPABILITIES


def test_an_unknown_word_brings_the_nearest_known() -> None:
    assert require_known("a", ["a"], "x") == "a"
    with pytest.raises(ValueError, match="a colour; did you mean green"):
        require_known("grean", ["green", "red"], "a colour")
    with pytest.raises(ValueError, match=r"^a colour$"):
        require_known("zzz", ["green", "red"], "a colour")


def test_what_all_words_begin_with_makes_none_of_them_near() -> None:
    capabilities = "a capability"
    with pytest.raises(ValueError, match=r"^a capability$"):
        require_known("CAP_FOO", CAPABILITIES, capabilities, prefix="CAP_")
    with pytest.raises(ValueError, match=r"; did you mean CAP_NET_ADMIN\?$"):
        require_known("CAP_NETADMIN", CAPABILITIES, capabilities, prefix="CAP_")


def test_every_verb_of_the_clients_is_taken() -> None:
    assert {verb.name for verb in verbs.VERBS} <= VERBS
    assert {str(verb.value) for verb in Verb} <= VERBS

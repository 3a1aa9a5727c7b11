import pytest
from tests.support.fake_varlink import service
from tests.support.scripted_client import Answers, Run

from virtsupd.cli.globs import NoMatchError, expand, is_pattern
from virtsupd.cli.problems import UNKNOWN, exit_status

SERVICES = [
    service("child1"),
    service("child2", provides=["child2", "web"]),
    service("childvm", kind="guest"),
    service("libvirtd"),
]


def named(*words: str) -> list[str]:
    """Return the names of a command line, its patterns expanded."""
    answers: Answers = {"Status": [{"services": SERVICES}]}
    run = Run(words, answers)
    expand(run.session)
    return run.session.request.names


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["status", "child*"], ["child1", "child2", "childvm"]),
        (["status", "child?"], ["child1", "child2"]),
        (["log", "libvirtd", "*[1d]"], ["libvirtd", "child1"]),
        (["start", "we*"], ["child2"]),
        (["stop", "child*"], ["child1", "child2"]),
        (["restart", "child*", "childvm"], ["child1", "child2", "childvm"]),
        (["stop", "-g", "child*"], ["child1", "child2", "childvm"]),
    ],
)
def test_a_pattern_stands_for_the_services_it_fits(words: list[str], names: list[str]) -> None:
    assert named(*words) == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "x*"], "no service fits 'x*'; virtsupctl status lists them all"),
        (["stop", "*vm"], "'*vm' fits guests alone; name them, or add --guests"),
    ],
)
def test_a_pattern_that_fits_nothing_is_an_unknown_name(words: list[str], message: str) -> None:
    with pytest.raises(NoMatchError) as caught:
        named(*words)
    assert str(caught.value) == message
    assert exit_status(caught.value) == UNKNOWN


def test_a_name_is_no_pattern() -> None:
    assert [is_pattern(name) for name in ("a.b@c:+/-_", "a*", "a?", "[ab]")] == [False] + [True] * 3

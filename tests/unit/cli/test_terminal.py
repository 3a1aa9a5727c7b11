import pytest
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import inquiries
from virtsupd.cli.terminal import JsonError
from virtsupd.errors import PeerDeniedError

CONSOLE: Answers = {"Act": [{"lines": [], "run": ["/nonexistent/console", "a"]}]}


def test_what_a_stranger_at_the_socket_says_is_not_run() -> None:
    run = Run(["console", "vm"], CONSOLE)
    run.client.peer_uid = 4711
    with pytest.raises(PeerDeniedError, match="account 4711"):
        inquiries.run(run.session)


def test_a_document_cannot_be_had_of_what_runs_on_the_terminal() -> None:
    with pytest.raises(JsonError, match="virtsupctl console vm --json"):
        inquiries.run(Run(["--json", "console", "vm"], CONSOLE).session)

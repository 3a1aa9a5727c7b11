"""A fetch brings what the checksum says, whatever the server and the network do meanwhile."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.image_server import (
    Act,
    ImageServer,
    breaking_off,
    claiming,
    image_server,
    leading_to,
    refusing,
    saying,
    stalling,
)

from virtsupd.machine.fetching import FetchError, Patience, WrongChecksumError, fetch
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_source import UrlImage, parse_checksum
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.process

CONTENT = os.urandom(1 << 20) * 2 + b"the end"


@pytest.fixture
def server() -> Iterator[ImageServer]:
    with image_server(CONTENT) as running:
        yield running


class Fetching:
    """Fetches into a directory, and hears what is said."""

    def __init__(self, directory: Path, server: ImageServer) -> None:
        self.part = directory / "image.part"
        self.server = server
        self.lines: list[str] = []
        self.pauses: list[float] = []

    def fetch(self, path: str = "/image.qcow2", checksum: str = "", url: str = "") -> None:
        wanted = parse_checksum(checksum or self.server.checksum)
        patience = Patience(stall_seconds=0.3, tries=3, wait=self.pauses.append)
        report = Report(OwnNotify(""), log=self.lines.append)
        fetch(UrlImage(url or self.server.url + path, wanted), self.part, report, patience)

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked, _ in self.server.asked]


@pytest.fixture
def fetching(tmp_path: Path, server: ImageServer) -> Fetching:
    return Fetching(tmp_path, server)


def test_what_the_url_gives_is_there_afterwards_and_nothing_else(fetching: Fetching) -> None:
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT
    assert os.listdir(fetching.part.parent) == ["image.part"]  # noqa: PTH208 - names are meant


@pytest.mark.parametrize(
    "act", [breaking_off(700_000), stalling(700_000)], ids=["broken", "stalled"]
)
def test_a_transfer_that_ends_early_is_gone_on_with_where_it_stood(
    fetching: Fetching, act: Act
) -> None:
    fetching.server.acts.append(act)
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.ranges == [None, "bytes=700000-"]
    assert fetching.server.asked[1][2] == '"first"', "the server is asked for the same content"
    assert fetching.pauses == [1.0]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(fetching: Fetching) -> None:
    fetching.server.knows_ranges = False
    fetching.server.acts.append(breaking_off(700_000))
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT


def test_a_content_that_changes_in_between_is_not_mixed_with_the_other(fetching: Fetching) -> None:
    server = fetching.server
    old = server.content
    server.content = bytes(len(old))

    def change(handler: object) -> None:
        breaking_off(700_000)(handler)  # type: ignore[arg-type]
        server.content, server.etag = old, '"second"'

    server.acts.append(change)
    fetching.fetch(checksum=f"sha256:{hashlib.sha256(old).hexdigest()}")
    assert fetching.part.read_bytes() == old
    assert len(server.asked) == 2


def test_pieces_of_two_contents_without_names_are_noticed_and_all_is_fetched_again(
    fetching: Fetching,
) -> None:
    fetching.server.etag = None
    fetching.part.write_bytes(bytes(500_000))
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.ranges == ["bytes=500000-", None]


def test_pieces_that_never_fit_are_given_up_after_one_more_whole_fetch(fetching: Fetching) -> None:
    fetching.server.etag = None
    fetching.server.acts.extend([breaking_off(500_000)] * 2)
    fetching.part.write_bytes(bytes(500_000))
    with pytest.raises(WrongChecksumError):
        fetching.fetch(checksum=f"sha256:{'0' * 64}")
    assert len(fetching.server.asked) <= 6


def test_what_is_whole_already_is_not_asked_for(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT)
    fetching.fetch()
    assert fetching.server.asked == []


def test_more_than_the_server_has_is_thrown_away(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT + b"more")
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT


def test_another_content_is_put_aside_and_both_checksums_are_told(fetching: Fetching) -> None:
    wanted = f"sha256:{'0' * 64}"
    with pytest.raises(WrongChecksumError) as refused:
        fetching.fetch(checksum=wanted)
    assert fetching.server.checksum in str(refused.value)
    assert wanted in str(refused.value)
    assert not fetching.part.exists()
    assert fetching.part.with_name("image.rejected").read_bytes() == CONTENT


def test_sha512_is_reckoned_too(fetching: Fetching) -> None:
    fetching.fetch(checksum=f"sha512:{hashlib.sha512(CONTENT).hexdigest()}")
    assert fetching.part.read_bytes() == CONTENT


def test_a_length_that_is_too_short_is_found_by_the_checksum(fetching: Fetching) -> None:
    fetching.server.acts.append(claiming(1000))
    with pytest.raises(WrongChecksumError):
        fetching.fetch()


def test_a_length_that_is_too_long_does_not_go_on_for_ever(fetching: Fetching) -> None:
    fetching.server.acts.extend([claiming(len(CONTENT) + 50)])
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_refusal_ends_it_at_once_with_the_code(fetching: Fetching, code: int) -> None:
    fetching.server.acts.append(refusing(code))
    with pytest.raises(FetchError, match=str(code)):
        fetching.fetch()
    assert fetching.pauses == []


@pytest.mark.parametrize(
    "act", [refusing(503), refusing(429), saying(b""), saying(b"what?\r\n\r\n")]
)
def test_what_may_pass_is_tried_again_with_growing_pauses(fetching: Fetching, act: Act) -> None:
    fetching.server.acts.extend([act, act])
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.pauses == [1.0, 2.0]


def test_a_server_that_is_not_there_is_given_up_and_what_has_come_is_kept(tmp_path: Path) -> None:
    with image_server(CONTENT) as gone:
        pass
    fetching = Fetching(tmp_path, gone)
    fetching.part.write_bytes(CONTENT[:5000])
    with pytest.raises(FetchError, match=r"refused.*5 KiB that have come are kept"):
        fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT[:5000]
    assert fetching.pauses == [1.0, 2.0]


def test_progress_starts_the_count_of_tries_anew(fetching: Fetching) -> None:
    fetching.server.acts.extend([breaking_off(100_000)] * 8)
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.pauses == [1.0] * 8


def test_a_redirect_is_followed_and_keeps_the_range(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT[:1000])
    fetching.server.acts.append(leading_to("/elsewhere"))
    fetching.fetch()
    assert [path for path, _, _ in fetching.server.asked] == ["/image.qcow2", "/elsewhere"]
    assert fetching.ranges == ["bytes=1000-"] * 2


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_anything_else_is_refused(fetching: Fetching, target: str) -> None:
    fetching.server.acts.append(leading_to(target))
    with pytest.raises(FetchError):
        fetching.fetch()
    assert fetching.pauses == []


def test_redirects_in_a_circle_end(fetching: Fetching) -> None:
    fetching.server.acts.extend([leading_to("/again")] * 40)
    with pytest.raises(FetchError, match="302"):
        fetching.fetch()


def test_a_query_is_not_in_what_is_logged(fetching: Fetching) -> None:
    fetching.server.acts.append(refusing(404))
    with pytest.raises(FetchError) as refused:
        fetching.fetch("/image.img?token=hunter2")
    assert "hunter2" not in str(refused.value)
    fetching.fetch("/image.img?token=hunter2")
    assert "hunter2" not in "\n".join(fetching.lines)
    assert fetching.server.asked[-1][0].endswith("token=hunter2"), "the server gets it"


def test_a_file_is_copied_and_gone_on_with(fetching: Fetching, tmp_path: Path) -> None:
    image = tmp_path / "an image.img"
    image.write_bytes(CONTENT)
    fetching.fetch(url=f"file://{tmp_path}/an%20image.img")
    assert fetching.part.read_bytes() == CONTENT
    with pytest.raises(FetchError, match="no such file"):
        fetching.fetch(url=f"file://{tmp_path}/none", checksum=f"sha256:{'0' * 64}")


def test_a_proxy_of_the_environment_is_asked(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", fetching.server.url)
    monkeypatch.setenv("no_proxy", "")
    fetching.fetch(url="http://images.example/hurd.img")
    assert [path for path, _, _ in fetching.server.asked] == ["http://images.example/hurd.img"]


PROGRAM = """
import sys
from pathlib import Path
from virtsupd.machine.fetching import fetch
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_source import UrlImage, parse_checksum
from virtsupd.process.own_notify import OwnNotify
url, checksum, part = sys.argv[1:]
fetch(UrlImage(url, parse_checksum(checksum)), Path(part), Report(OwnNotify()))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_fetch_that_is_killed_is_gone_on_with_by_the_next(
    fetching: Fetching, number: signal.Signals
) -> None:
    server = fetching.server
    server.acts.append(stalling(1_200_000))
    words = [server.url + "/image", server.checksum, str(fetching.part)]
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: size_of(fetching.part) == 1_200_000, "what was sent in the file")
    finally:
        child.send_signal(number)
        assert child.wait(5) == -number
    server.released.set()
    fetching.fetch("/image")
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.ranges == [None, "bytes=1200000-"]


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_validator_of_another_server_is_not_sent(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT[:1000])
    said = json.dumps({"url": "http://other.example/", "validator": '"other"'})
    fetching.part.with_name("image.part.json").write_text(said)
    fetching.fetch()
    assert fetching.server.asked == [("/image.qcow2", "bytes=1000-", None)]


@pytest.mark.parametrize("damaged", [b"", b"[]", b"\xff", b'{"url": 5}'])
def test_a_damaged_validator_costs_nothing(fetching: Fetching, damaged: bytes) -> None:
    fetching.part.write_bytes(CONTENT[:1000])
    fetching.part.with_name("image.part.json").write_bytes(damaged)
    fetching.fetch()
    assert fetching.part.read_bytes() == CONTENT

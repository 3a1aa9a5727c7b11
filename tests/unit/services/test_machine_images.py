"""What the image of a machine is in the graph."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.core.names import Name
from virtsupd.core.spec import ExitProbe
from virtsupd.machine.image_settings import Settings
from virtsupd.services.machine_images import ImageParts, image_faults

SUM = f"sha256:{'0' * 64}"
FETCHED = Settings("hurd-vm", "/images", "https://x.example/h.qcow2?key=hush", SUM)
BUILT = Settings("hurd-vm", "/images", os="/etc/hurd.scm")
PATH = Settings("hurd-vm", "/images", "/srv/hurd.img")


def parts(settings: Settings) -> ImageParts:
    return ImageParts(settings, Path("/run/virtsupd/generated/hurd-vm-image.conf"))


@pytest.mark.parametrize(
    ("settings", "requires"),
    [
        (FETCHED, ["user-processes", "networking", "hurd-vm-account"]),
        (BUILT, ["user-processes", "networking", "hurd-vm-account"]),
        (PATH, ["user-processes", "hurd-vm-account"]),
        (
            Settings("hurd-vm", "/images", "file:///h.img", SUM),
            ["user-processes", "hurd-vm-account"],
        ),
    ],
)
def test_the_one_shot_is_a_service_that_says_how_far_it_is(
    settings: Settings, requires: list[str]
) -> None:
    keys = parts(settings).keys(["hurd-vm", "childhurd"], ["hurd-vm-account"])
    table = ServiceTable.model_validate(keys)
    assert list(service_problems(table)) == []
    spec = build_service(Name("hurd-vm-image"), table, HostSettings(), "")
    assert spec.one_shot
    assert spec.ready.probe == ExitProbe(status=True)
    assert spec.ready.timeout_seconds == 0, "a fetch may take as long as it takes"
    assert [str(name) for name in spec.provides] == ["hurd-vm-image", "childhurd-image"]
    assert keys["requires"] == requires


def test_each_origin_has_its_actions() -> None:
    assert [list(parts(one).actions) for one in (FETCHED, BUILT, PATH)] == [
        ["image-info", "image-fetch"],
        ["image-info", "image-build"],
        ["image-info"],
    ]
    actions: Mapping[str, Any] = parts(BUILT).actions
    ServiceTable.model_validate({"command": ["x"], "actions": actions})
    assert actions["image-build"]["command"][-2:] == ["build", str(parts(BUILT).file)]


def test_qemu_is_given_a_path_that_is_known_before_the_image_is_there() -> None:
    assert parts(FETCHED).path == f"/images/h-{'0' * 20}.qcow2"
    assert parts(BUILT).path == "/images/hurd-vm-guix"
    assert parts(PATH).path == "/srv/hurd.img"


def test_the_file_of_settings_is_for_nobody_else_to_read() -> None:
    file = parts(FETCHED).generated
    assert (file.content, file.mode) == (FETCHED.text, 0o600)


def test_what_is_wrong_is_told_with_its_key() -> None:
    assert list(image_faults(FETCHED)) == []
    unclear = Settings("hurd-vm", "/images", "https://x.example/h.img")
    [(key, text)] = image_faults(unclear)
    assert key == ("checksum",)
    assert "is missing" in text
    assert parts(unclear).path == "", "the other keys can be looked at all the same"
    assert ServiceTable.model_validate(parts(unclear).keys(["hurd-vm"])).one_shot
    assert list(parts(unclear).actions) == ["image-info"]

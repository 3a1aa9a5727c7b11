"""The services around a machine: what makes its secrets, and what offers it to the host's Guix."""

from pathlib import Path

from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.services.machine_around import Offer, Preparation


def test_what_is_missing_is_made_by_a_one_shot_under_each_name() -> None:
    part = Preparation(
        PrepareSettings("m", "u", "kvm", "/tmp", "/secrets"), Path("/run/m-prepare.conf")
    )
    keys = part.keys(["m", "n"])
    assert (part.service, keys["provides"]) == ("m-prepare", ["m-prepare", "n-prepare"])
    assert (keys["one_shot"], keys["autostart"]) == (True, False)
    assert part.generated.path == Path("/run/m-prepare.conf")
    assert 'secret_root = "/secrets"' in part.generated.content


def test_it_is_offered_while_it_can_be_reached_and_taken_back_whatever_becomes_of_it() -> None:
    part = Offer(OffloadSettings("m", 11022, "/s", ("x86_64-linux",)), Path("/run/m.conf"))
    keys = part.keys(["m"], autostart=False)
    assert part.service == "m-offloading"
    assert (keys["binds_to"], keys["requires"]) == (["m"], ["m-ssh"])
    command, clean_up = keys["command"], keys["clean_up"]
    assert isinstance(command, list | tuple)
    assert isinstance(clean_up, list | tuple)
    assert (command[-2], clean_up[-2]) == ("hold", "remove")

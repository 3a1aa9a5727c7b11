import pytest
from pydantic import ValidationError

from virtsupd.services.libvirt_sockets import NetworkTable


@pytest.mark.parametrize("value", ["auto", True, False])
def test_listen(value: object) -> None:
    assert NetworkTable.model_validate({"listen": value}).listen == value


@pytest.mark.parametrize("value", ["yes", 1, None, "true"])
def test_listen_is_nothing_else(value: object) -> None:
    with pytest.raises(ValidationError, match='"auto", true or false'):
        NetworkTable.model_validate({"listen": value})

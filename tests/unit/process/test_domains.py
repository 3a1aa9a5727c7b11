"""What libvirt tells is values, and its errors have a kind that callers can act on."""

import pytest

from virtsupd.errors import VirtsupdError
from virtsupd.process.domains import DomainError, DomainNews, DomainState


def test_an_error_has_a_kind_and_a_code() -> None:
    error = DomainError("no-such-domain", "there is no domain web1")
    assert (error.kind, error.code, str(error)) == (
        "no-such-domain",
        "domain",
        "there is no domain web1",
    )
    assert isinstance(error, VirtsupdError)


def test_news_is_a_frozen_value() -> None:
    news = DomainNews("web1", DomainState.OFF, "shutdown")
    assert news == DomainNews("web1", DomainState("off"), "shutdown", None, None)
    with pytest.raises(AttributeError):
        news.state = DomainState.GONE  # type: ignore[misc]

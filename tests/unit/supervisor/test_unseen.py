"""What cannot be looked for now is looked for again; see test_linux.py for real services."""

import errno

from virtsupd.core.effects import Adopt
from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.supervisor.unseen import Unseen

WEB = Name("web")
EFFECT = Adopt(WEB, 1, ProcessSpec(("x",), LogSpec("")))


async def test_a_service_is_tried_until_it_is_seen_and_then_no_more() -> None:
    tried: list[Adopt] = []

    def adopt(effect: Adopt) -> None:
        tried.append(effect)
        if len(tried) < 3:
            raise OSError(errno.EMFILE, "Too many open files")

    unseen = Unseen(adopt)
    unseen.take_over(EFFECT)
    assert unseen.is_still(WEB)
    assert not unseen.is_still(WEB)
    assert not unseen.is_still(WEB)
    assert tried == [EFFECT] * 3


async def test_nothing_is_tried_after_the_end() -> None:
    def adopt(effect: Adopt) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    unseen = Unseen(adopt)
    unseen.take_over(EFFECT)
    unseen.clear()
    assert not unseen.is_still(WEB)

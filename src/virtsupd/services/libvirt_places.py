"""Where the certificates of libvirt's TLS lie, and which of them are there."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN_KEY: Final = "/etc/pki/libvirt/private/serverkey.pem"


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def there(self) -> list[Path]:
        """Those of the two that there are, a link to nowhere included."""
        return [path for path in (self.certificate, self.key) if os.path.lexists(path)]

    @property
    def is_there(self) -> bool:
        """Whether both are."""
        return len(self.there) == 2

    def faults(self) -> Iterator[str]:
        """Yield what is wrong if one is there without the other."""
        if len(self.there) == 1:
            [one] = self.there
            [other] = {self.certificate, self.key} - {one}
            yield f"{one} is there without {other}; put that in its place, or move {one} away"


@dataclass(frozen=True, slots=True)
class Places:
    """What `[libvirt]` says, or libvirt's own places."""

    server: Pair
    authority: Pair
    listen_addr: str
    port: str
    to_set: str = ""
    """What `[libvirt]` has to say before libvirtd listens for TLS; empty if it turns that on."""

    @classmethod
    def of(cls, words: Sequence[str]) -> "Places":
        """Read the words of `libvirt_actions`. The CA's key lies in `private` beside the CA."""
        key, certificate, ca, *others = words
        authority = Pair(Path(ca), Path(ca).parent / "private/cakey.pem")
        return cls(Pair(Path(certificate), Path(key)), authority, *others)

    @property
    def are_libvirts(self) -> bool:
        """Whether they are those at which libvirt's programs look by themselves."""
        return str(self.server.key) == OWN_KEY

    @property
    def client_directory(self) -> Path:
        """Where this host's own client certificate is, if virsh has to be told (?pkipath=)."""
        return self.authority.certificate.parent / "client"

    @property
    def client(self) -> Pair:
        """The certificate of this host's root as a client."""
        if self.are_libvirts:
            own = self.server.certificate.parent
            return Pair(own / "clientcert.pem", own / "private/clientkey.pem")
        return portable(self.client_directory)

    def faults(self, *, has_hosts: bool) -> Iterator[str]:
        """Yield why what is missing cannot be made beside what there is.

        `has_hosts`: somebody asked for a server's certificate with certain names.
        """
        pairs = (self.authority, self.server, self.client)
        if all(pair.is_there for pair in pairs):
            there = ", ".join(str(path) for pair in pairs for path in pair.there)
            yield f"all are there: {there}; to renew one, move it and its key away"
        for pair in pairs:
            yield from pair.faults()
        others = [str(path) for pair in pairs[1:] for path in pair.there]
        if others and not self.authority.there:
            yield (
                f"a new CA would not fit {', '.join(others)}; move them away, or put the old CA, "
                f"{self.authority.certificate} and {self.authority.key}, in its place"
            )
        if has_hosts and self.server.is_there:
            pair = self.server
            yield f"--host: {pair.certificate} is there; move it and {pair.key} away first"


def portable(directory: Path) -> Pair:
    """Return where ?pkipath= expects a client's certificate in a directory, beside cacert.pem."""
    return Pair(directory / "clientcert.pem", directory / "clientkey.pem")


def authority_in(directory: Path) -> Path:
    """Return where it expects the CA's."""
    return directory / "cacert.pem"

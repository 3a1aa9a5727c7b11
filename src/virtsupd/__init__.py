"""virtsupd: the supervisor for virtualization hosts."""

__version__ = "0.1.0"

"""virtsupd: the supervisor for virtualization hosts."""

"""The libvirt link: the one process of virtsupd's that speaks with a libvirt."""

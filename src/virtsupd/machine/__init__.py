"""Machines: what virtsupd does with a QEMU that it runs, beside starting and ending its process."""

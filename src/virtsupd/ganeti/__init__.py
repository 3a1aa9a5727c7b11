"""Ganeti on this host: what its daemons and OS providers find below /etc/ganeti, and what its own programs are answered."""

from virtsupd.ganeti.debootstrap import (
    DEFAULT_DEBOOTSTRAP_EXTRA_PKGS,
    DebootstrapConfiguration,
    GanetiOsError,
)
from virtsupd.ganeti.debootstrap_hooks import DEFAULT_DEBOOTSTRAP_HOOKS
from virtsupd.ganeti.providers import (
    DEFAULT_DEBOOTSTRAP_VARIANTS,
    DEFAULT_GUIX_VARIANTS,
    GanetiOs,
    GanetiOsVariant,
    debootstrap_os,
    debootstrap_variant,
    guix_os,
    guix_variant,
)

__all__ = [
    "DEFAULT_DEBOOTSTRAP_EXTRA_PKGS",
    "DEFAULT_DEBOOTSTRAP_HOOKS",
    "DEFAULT_DEBOOTSTRAP_VARIANTS",
    "DEFAULT_GUIX_VARIANTS",
    "DebootstrapConfiguration",
    "GanetiOs",
    "GanetiOsError",
    "GanetiOsVariant",
    "debootstrap_os",
    "debootstrap_variant",
    "guix_os",
    "guix_variant",
]

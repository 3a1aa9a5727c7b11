"""Guile, in which the guest's and the host's Guix are written, reads what we write for them."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.prepare import prepare
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.machine.secrets import deliver, payload
from virtsupd.process.clock import SystemClock

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

SECONDS = 30.0

GUEST = r"""
(use-modules (ice-9 binary-ports) (ice-9 match) (rnrs bytevectors))
(define root (cadr (command-line)))
(define (make-directories name)
  (unless (file-exists? name)
    (make-directories (dirname name))
    (mkdir name)))
(define listening (socket PF_INET SOCK_STREAM 0))
(bind listening AF_INET INADDR_LOOPBACK 0)
(listen listening 1)
(format #t "~a~%" (sockaddr:port (getsockname listening)))
(force-output)
(define host (car (accept listening)))
(setvbuf host 'none)
(write '(secret-service-server (version 0)) host)
(match (read host)
  (('secrets ('version 0) ('files ((names sizes modes) ...)))
   (for-each
    (lambda (name size mode)
      (let ((path (string-append root name))
            (content (if (zero? size) #vu8() (get-bytevector-n host size))))
        (make-directories (dirname path))
        (call-with-output-file path (lambda (port) (put-bytevector port content)) #:binary #t)
        (chmod path mode)))
    names sizes modes)
   (unless (eof-object? (get-u8 host)) (error "more than was listed"))
   (format #t "has ~a~%" (length names))))
"""
"""The guest's half of the secret service, below a directory: reads with Guile's own reader."""

MACHINES = r"""
(define-syntax-rule (build-machine (field value) ...) (list (cons 'field value) ...))
(define (value-of file)
  (call-with-input-file file
    (lambda (port)
      (let loop ((value '()))
        (let ((form (read port)))
          (if (eof-object? form) value (loop (eval form (current-module)))))))))
(define machines (value-of (cadr (command-line))))
(unless (list? machines) (error "no list"))
(for-each
 (lambda (machine)
   (for-each (lambda (field) (write (assq-ref machine field)) (display " "))
             '(name port systems user host-key private-key overload-threshold))
   (newline))
 machines)
"""
"""What Guix does with machines.scm: its forms are evaluated, and the value of the last is the list."""

THEIRS = r"""#| machines of (ours
   and of others |#
(use-modules (srfi srfi-1))
(define (at port . more) ; takes a port)
  (build-machine (name "big \"one\" (really)") (port port) (systems (cons* "x86_64-linux" more))
                 (user "a\\b") (host-key "ssh-ed25519 BBBB") (private-key "/k")))
#;(list "not this")
(define odd (list #\( #\) #\; `(1 ,(+ 1 1))))
(append-map (lambda (number) (list (at number "armhf-linux")))
            [list 1 2]) ; two of them
;; the end
"""
THEIR_LINES = [
    f'"big \\"one\\" (really)" {number} ("x86_64-linux" "armhf-linux") "a\\\\b" "ssh-ed25519 BBBB" "/k" #f'
    for number in (1, 2)
]


def guile() -> str:
    found = shutil.which("guile")
    assert found is not None, "no guile here: scripts/setup test installs it"
    return found


def environment() -> dict[str, str]:
    return os.environ | {"GUILE_AUTO_COMPILE": "0", "LC_ALL": "C"}


@contextmanager
def guest(root: Path) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Yield the port and the process of a guest that puts its secrets below a directory."""
    script = root.with_name(f"{root.name}.scm")
    script.write_text(GUEST)
    with subprocess.Popen(
        [guile(), "-s", str(script), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


async def send(root: str | None, got: Path) -> str:
    """Send what lies below a directory; return what the guest says in the end."""
    with guest(got) as (port, process):
        with anyio.fail_after(SECONDS):
            await deliver(
                port,
                payload(root),
                is_ours=lambda: True,
                clock=SystemClock(),
                note=lambda why: None,
            )
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said
        return said


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return all files below a directory, links as what they lead to."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in root.rglob("*")
        if not path.is_dir()
    }


async def test_a_guest_in_guile_gets_every_file_byte_for_byte_with_its_mode(
    tmp_path: Path,
) -> None:
    root = tmp_path / "secrets"
    settings = PrepareSettings(
        "hurd-vm",
        "root",
        "root",
        "/tmp",
        str(root),
        host_acl=str(tmp_path / "none"),
        host_key="/none",
    )
    assert len(list(prepare(settings))) == 8
    (root / "odd names").mkdir()
    for name, mode, content in (
        ("all-bytes", 0o600, bytes(range(256)) * 300),
        ("nothing", 0o444, b""),
        ('quoted "so" \\ (and) [so] {too}', 0o4755, b'"\\)'),
        ("; #| no comment", 0o640, b"\n\n"),
        ("#\\a 'b `c ,d |e|", 0o602, b" (secrets (version 0) (files ()))"),
        ("~tail~", 0o644, b"no newline"),
    ):
        (root / "odd names" / name).write_bytes(content)
        (root / "odd names" / name).chmod(mode)
    (root / "link").symlink_to("odd names/~tail~")

    got = tmp_path / "got"
    assert await send(str(root), got) == "has 16\n"
    assert tree(got) == tree(root)


@pytest.mark.parametrize("root", [None, "/nonexistent/secrets"])
async def test_a_guest_in_guile_is_content_with_nothing(root: str | None, tmp_path: Path) -> None:
    assert await send(root, tmp_path / "got") == "has 0\n"
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("theirs", [None, THEIRS, "(list)\n"], ids=["none", "odd", "empty"])
def test_guile_finds_our_machines_in_the_list_beside_those_of_others(
    theirs: str | None, tmp_path: Path
) -> None:
    machines, root = tmp_path / "machines.scm", tmp_path / "secrets"
    list(prepare(PrepareSettings("hurd-vm", "root", "root", "/tmp", str(root))))
    if theirs is not None:
        machines.write_text(theirs)
    before = listed(machines) if theirs is not None else []
    assert before == (THEIR_LINES if theirs == THEIRS else [])

    key = " ".join((root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
    ours = {
        name: f'"localhost" {port} ("i586-gnu") "offloading" "{key}" "/etc/guix/key of \\"mine\\"" 1.8'
        for name, port in (("hurd-vm", 10022), ("hurd-vm2", 12022))
    }
    for name, port in (("hurd-vm", 10022), ("hurd-vm2", 12022), ("hurd-vm", 10022)):
        offloading("add", name, port, tmp_path)
    assert sorted(listed(machines)) == sorted([*ours.values(), *before])
    offloading("remove", "hurd-vm", 10022, tmp_path)
    assert sorted(listed(machines)) == sorted([ours["hurd-vm2"], *before])
    offloading("remove", "hurd-vm2", 12022, tmp_path)
    assert (machines.read_text() if machines.exists() else None) == theirs


def listed(file: Path) -> list[str]:
    """Return the machines that Guile finds in a file, one a line."""
    script = file.with_name("machines-of.scm")
    script.write_text(MACHINES)
    done = subprocess.run(
        [guile(), "-s", str(script), str(file)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, f"{done.stderr}\n{file.read_text()}"
    return [line.rstrip() for line in done.stdout.splitlines()]


def offloading(action: str, name: str, port: int, directory: Path) -> None:
    """Offer a machine to a Guix in this directory, or take it back."""
    settings = OffloadSettings(
        name,
        port,
        str(directory / "secrets"),
        ("i586-gnu",),
        user="offloading",
        private_key='/etc/guix/key of "mine"',
        threshold=1.8,
        directory=str(directory),
    )
    file = directory / f"{name}.conf"
    file.write_text(settings.text)
    program = [sys.executable, "-m", "virtsupd.machine.offloading", action, str(file)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""A service that does as the words of its command line say.

after P      go on once the file P is there
ready        say READY=1 (and STATUS=at work) on NOTIFY_SOCKET
newline N    write a newline to descriptor N, or to the one that variable N names
pid-file P   go into the background and write the pid of what stays to P
wrap P       write the pid of a child that stays to P, and stay as its parent
keep P       the same, and its end is never waited for: it stays a zombie
listen P     listen on the Unix socket P
serve T      accept on the activation sockets in turn and answer each T
watchdog S   say WATCHDOG=1 until the file S is there
trigger      say WATCHDOG=trigger
deaf         ignore TERM
grandchild   leave a daemonised process in a session of its own, and print its pid
child        leave a child in its process group
guest D      leave a daemonised process that writes each signal it gets to the file D/PID of its own
hear D       be such a process
flaky        die within a tenth of a second, or not at all
on-hup       print HUP at each HUP
on-term      print TERM at a TERM, and end well
say T        print T
exit N       end with this code
"""

import os
import pathlib
import selectors
import signal
import socket
import sys
import time

PAUSE_SECONDS = 0.02


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def notify(text: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def await_file(path: str) -> None:
    while not pathlib.Path(path).exists():
        time.sleep(PAUSE_SECONDS)


def newline(where: str) -> None:
    os.write(int(os.environ.get(where, where)), b"\n")


def stay_in_background(path: str) -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    pathlib.Path(path).write_text(f"{os.getpid()}\n")


def wrap(path: str) -> None:
    child = os.fork()
    if child:
        pathlib.Path(path).write_text(f"{child}\n")
        os.waitpid(child, 0)
        signal.pause()


def keep(path: str) -> None:
    child = os.fork()
    if child:
        pathlib.Path(path).write_text(f"{child}\n")
        while True:
            signal.pause()


def listen(path: str) -> None:
    pathlib.Path(path).unlink(missing_ok=True)  # left by one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    kept.append(listener)


def serve(text: str) -> None:
    say(f"listen {os.environ['LISTEN_FDS']} {os.environ['LISTEN_FDNAMES']}")
    say(f"own {os.environ['LISTEN_PID'] == str(os.getpid())}")
    listeners: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        for number in range(int(os.environ["LISTEN_FDS"])):
            listeners[3 + number] = socket.socket(fileno=3 + number)
            ready.register(3 + number, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                with listeners[key.fd].accept()[0] as peer:
                    peer.sendall(text.encode())


def watchdog(stop: str) -> None:
    say(f"watchdog {os.environ['WATCHDOG_USEC']}")
    while not pathlib.Path(stop).exists():
        notify("WATCHDOG=1")
        time.sleep(PAUSE_SECONDS)
    say("silent")


def grandchild() -> None:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(writing, str(os.getpid()).encode())
        signal.pause()
    os.wait()
    say(f"grandchild {os.read(reading, 20).decode()}")


def child() -> None:
    if os.fork() == 0:
        while True:
            signal.pause()


def guest(directory: str) -> None:
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    hear(directory)


def hear(directory: str) -> None:
    # Appended to by what it hears: an empty file is a guest that nobody has signalled.
    file = os.open(f"{directory}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, lambda heard, _: os.write(file, f"{heard}\n".encode()))
    while True:
        signal.pause()


def end_well(word: str) -> None:
    say(word)
    sys.exit(0)


def flaky() -> None:
    chance = os.urandom(1)[0]
    if chance < 128:  # half of them
        time.sleep(chance / 1280)
        sys.exit(1)


kept: list[socket.socket] = []
words = iter(sys.argv[1:])
for word in words:
    match word:
        case "after":
            await_file(next(words))
        case "ready":
            notify("READY=1\nSTATUS=at work")
        case "newline":
            newline(next(words))
        case "pid-file":
            stay_in_background(next(words))
        case "wrap":
            wrap(next(words))
        case "keep":
            keep(next(words))
        case "listen":
            listen(next(words))
        case "serve":
            serve(next(words))
        case "watchdog":
            watchdog(next(words))
        case "trigger":
            notify("WATCHDOG=trigger")
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "grandchild":
            grandchild()
        case "child":
            child()
        case "guest":
            guest(next(words))
        case "hear":
            hear(next(words))
        case "flaky":
            flaky()
        case "on-hup":
            signal.signal(signal.SIGHUP, lambda *_: say("HUP"))
        case "on-term":
            signal.signal(signal.SIGTERM, lambda *_: end_well("TERM"))
        case "say":
            say(next(words))
        case "exit":
            sys.exit(int(next(words)))
        case _:
            sys.exit(f"{word} is no word of this program")
while True:
    signal.pause()

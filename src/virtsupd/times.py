"""Durations and moments, as operators write and read them."""

import time

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}

DURATION_SYNTAX = 'seconds, or a number with ms, s, min, h or d ("1500ms", "5s", "2min")'


def parse_duration(text: str) -> float:
    """Return a duration in seconds: "90", "1.5", "1500ms", "5s", "2min", "1h", "1d".

    Raises:
        ValueError: it is not one, or it is negative, endless or not a number.
    """
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :]
    try:
        seconds = float(number) * _UNITS[unit or "s"]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not a duration: {DURATION_SYNTAX}") from None
    if not 0 <= seconds < 1e9:
        raise ValueError(f"{text!r} is out of range: 0 to 30 years")
    return seconds


def span(seconds: float) -> str:
    """Say how long something took, in at most two units: "0.3 s", "12 s", "1 min 30 s", "2 h 5 min"."""
    if seconds < 0.095:
        return f"{max(round(seconds * 1000), 0)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".removesuffix(" 0 s")
    if whole < 86400:
        minutes = whole % 3600 // 60
        return f"{whole // 3600} h {minutes} min" if minutes else f"{whole // 3600} h"
    hours = whole % 86400 // 3600
    days = f"{whole // 86400} day{'s' if whole >= 2 * 86400 else ''}"
    return f"{days} {hours} h" if hours else days


def elapsed(seconds: float) -> str:
    """Say a duration that goes on while one looks, in whole seconds and larger: "2 s", "3 min"."""
    whole = max(int(seconds), 0)
    return f"{whole} s" if whole < 60 else span(whole - whole % 60)


def moment(at: float, now: float) -> str:
    """Say a Unix time in local time: "15:19:34" on the day of `now`, else with the date."""
    then = time.localtime(at)
    if then[:3] == time.localtime(now)[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%Y-%m-%d %H:%M", then)


def ago(at: float, now: float) -> str:
    """Say a past Unix time in both ways: "3 min ago, 15:19:34"."""
    return f"{elapsed(now - at)} ago, {moment(at, now)}"


def until(at: float, now: float) -> str:
    """Say a coming Unix time as a distance: "in 12 s", "now" once it is due."""
    return f"in {elapsed(at - now + 0.5)}" if at - now >= 0.5 else "now"


def stamp(at: float) -> str:
    """Say a Unix time in local time with its date, of one width: for lines of a log."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))

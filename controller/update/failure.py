"""What may go wrong, as classes that carry the command's exit code."""

from __future__ import annotations

DONE, FAILED, USAGE, NOTHING_NEW, REFUSED, UNTRUSTED, NETWORK, DISK = range(8)


class UpdateError(Exception):
    """Something failed; nothing that runs was changed. The text says what to do."""

    code = FAILED


class UsageError(UpdateError):
    """The command line or the configuration does not fit."""

    code = USAGE


class NothingNew(UpdateError):
    """There is nothing to get or to install."""

    code = NOTHING_NEW


class RefusedNow(UpdateError):
    """Not now: the arm is powered, somebody is in control, or another update is under way."""

    code = REFUSED


class Untrusted(UpdateError):
    """What was got is not what the manufacturer signed, or is older than what is known."""

    code = UNTRUSTED


class NetworkError(UpdateError):
    """The server did not answer as it should."""

    code = NETWORK


class DiskError(UpdateError):
    """No room, or the disk does not do what it is told."""

    code = DISK

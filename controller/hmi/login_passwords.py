"""Passwords of the access levels: argon2id hashes in a file of their own, which only its owner may read.

`allyarm password` writes it, the HMI server reads it. There are no default passwords.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from controller.folders import sync_folder
from controller.spec import rest

FILE = "passwords.json"
# Of the settings that OWASP calls equally strong for argon2id, the one with the least memory (7 MiB): the locked
# memory of the controller has to stay small. Some 20 ms on a PC, 100 ms on a Raspberry Pi 4.
MEMORY_KIB, PASSES, LANES = 7168, 5, 1


class PasswordError(Exception):
    """A password or its file cannot be used; says why and what to do."""


def write_private(path: Path, content: bytes) -> None:
    """Write a whole file that only its owner may read: after a power cut it is the old one or the new one.

    Written by root, it belongs to the owner of its folder, because that is who the controller runs as. OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def _encoded(password: str) -> bytes:
    """The same bytes for the same letters, however a keyboard composes them."""
    import unicodedata  # 0.8 MB

    return unicodedata.normalize("NFC", password).encode()


def check_length(password: str) -> str:
    """What is wrong with the length of a new password, "" when nothing is."""
    if rest.PASSWORD_SHORTEST <= len(password) <= rest.PASSWORD_LONGEST:
        return ""
    return (f"the password has {len(password)} characters; allowed are {rest.PASSWORD_SHORTEST}.."
            f"{rest.PASSWORD_LONGEST}")


def make_hash(password: str) -> str:
    """Argon2id hash with its parameters and salt; PasswordError when the password is too short or too long."""
    if problem := check_length(password):
        raise PasswordError(problem)
    import argon2

    return argon2.PasswordHasher(PASSES, MEMORY_KIB, LANES).hash(_encoded(password))


def matches(stored: str, password: str) -> bool:
    """Whether a password belongs to a hash; PasswordError when the hash is damaged or memory is short."""
    import argon2

    try:
        return argon2.PasswordHasher().verify(stored, _encoded(password))
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError) as error:
        raise PasswordError(f"the password cannot be checked ({error}): set it anew with `allyarm password set`") from (
            error)


class Passwords:
    """The file in `folder`: {level: hash}."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def read(self) -> dict[str, str]:
        """Hash of each level that has a password; PasswordError."""
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise PasswordError(f"{self.path} cannot be read ({error}): set the passwords anew with "
                                "`allyarm password set`") from error
        if not isinstance(found, dict) or not all(level in rest.LEVELS and isinstance(text, str)
                                                  for level, text in found.items()):
            raise PasswordError(f"{self.path} does not hold password hashes: set the passwords anew with "
                                "`allyarm password set`")
        return found

    def set(self, level: str, password: str) -> None:
        """Store a password; a file that cannot be read is replaced. PasswordError."""
        new = make_hash(password)
        try:
            stored = self.read()
        except PasswordError:
            stored = {}
        self._write({**stored, level: new})

    def remove(self, level: str) -> bool:
        """Forget the password of a level; False when it has none. PasswordError."""
        stored = self.read()
        if level not in stored:
            return False
        self._write({name: text for name, text in stored.items() if name != level})
        return True

    def _write(self, hashes: dict[str, str]) -> None:
        try:
            write_private(self.path, json.dumps(hashes, indent=1).encode() + b"\n")
        except OSError as error:
            raise PasswordError(f"{self.path} cannot be written ({error.strerror}): nothing was changed; check the "
                                "folder's rights and free space") from error

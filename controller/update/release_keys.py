"""Private keys of who signs releases: one PEM file per key, encrypted or readable by its owner only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from controller.update.failure import UsageError
from controller.update.files import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner

ROLES = ("root", "targets", "snapshot", "timestamp")
PASSPHRASE_LEAST = 12
_NAME = re.compile(rf"({'|'.join(ROLES)})-(\d{{1,4}})\.pem")
Passphrase = Callable[[str], bytes | None]     # a file's name -> what encrypts it, None for not encrypted


def _modules() -> None:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError:
        raise UsageError("the package cryptography is missing, which only who makes releases needs: "
                         "pip install 'allyarm-controller[release]'") from None


def make(folder: Path, role: str, passphrase: Passphrase) -> CryptoSigner:
    """A new Ed25519 key of `role` in `folder`, under the next free number."""
    _modules()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )
    from securesystemslib.signer import CryptoSigner

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = [int(found[2]) for item in folder.iterdir() if (found := _NAME.fullmatch(item.name)) and found[1] == role]
    path = folder / f"{role}-{max(numbers, default=0) + 1}.pem"
    secret = passphrase(path.name)
    if secret is not None and len(secret) < PASSPHRASE_LEAST:
        raise UsageError(f"the passphrase of {path.name} has {len(secret)} characters; allowed: {PASSPHRASE_LEAST} or "
                         "more")
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600)
    return CryptoSigner(key)


def load(folder: Path, roles: tuple[str, ...], passphrase: Passphrase) -> dict[str, list[CryptoSigner]]:
    """The keys of `roles` that are in `folder`. UsageError for a file that others may read, or that cannot be
    opened."""
    _modules()
    from securesystemslib.signer import CryptoSigner

    found: dict[str, list[CryptoSigner]] = {role: [] for role in roles}
    try:
        files = sorted(item for item in folder.iterdir() if _NAME.fullmatch(item.name))
    except OSError as error:
        raise UsageError(f"--keys: {error}") from None
    for path in files:
        role = path.name.partition("-")[0]
        if role in found:
            found[role].append(CryptoSigner(_read(path, passphrase)))
    return found


def _read(path: Path, passphrase: Passphrase) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if (mode := os.stat(path).st_mode) & 0o077:
        raise UsageError(f"{path} may be read by others (mode {mode & 0o777:o}): it may be stolen. Where it was not: "
                         f"chmod 600 {path}; else `allyarm-release rotate`")
    content = path.read_bytes()
    try:
        key = load_pem_private_key(content, passphrase(path.name) if b"ENCRYPTED" in content else None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} cannot be opened, is the passphrase right? ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is a {type(key).__name__}; allowed: Ed25519")
    return key

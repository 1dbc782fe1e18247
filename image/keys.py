"""Keys of the update bundles: an authority that boards trust, and a signer that it vouches for.

    python image/keys.py FOLDER         make them: keyring.pem (into the image), authority.key (keep it offline),
                                        signer.pem and signer.key (for whoever builds)

Another signer of the same authority needs no new image; a new authority does (docs/rauc.md).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

AUTHORITY_DAYS, SIGNER_DAYS = 7300, 1095
FILES = ("keyring.pem", "signer.pem", "signer.key")


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make(folder: Path) -> None:
    """A new authority and its first signer; FileExistsError when there are keys already."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if any((folder / name).exists() for name in (*FILES, "authority.key")):
        raise FileExistsError(f"{folder} has keys already; they are not replaced")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-days", AUTHORITY_DAYS, "-subj",
            "/O=AllyArm/CN=AllyArm image authority", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", folder / "authority.key", "-out", folder / "keyring.pem")
    signer(folder)


def signer(folder: Path) -> None:
    """A signer of the authority in `folder`, in place of the former one."""
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/O=AllyArm/CN=AllyArm image signer", "-keyout", folder / "signer.key", "-out", folder / "signer.csr")
    extensions = folder / "signer.ext"
    extensions.write_text("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                          "extendedKeyUsage=emailProtection\n")
    openssl("x509", "-req", "-in", folder / "signer.csr", "-CA", folder / "keyring.pem", "-CAkey",
            folder / "authority.key", "-CAcreateserial", "-days", SIGNER_DAYS,
            "-extfile", extensions, "-out", folder / "signer.pem")
    for name in ("signer.csr", "signer.ext"):
        (folder / name).unlink()


def ready(folder: Path) -> Path:
    """A folder with the three files that a build needs; keys for development are made where there are none at all."""
    there = [name for name in FILES if (folder / name).exists()]
    if not there:
        print(f"image: keys for development are made in {folder}: ship nothing signed with them", file=sys.stderr)
        make(folder)
    elif len(there) != len(FILES):
        raise FileNotFoundError(f"{folder}: needed are {', '.join(FILES)}; there are only {', '.join(there)}")
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python image/keys.py FOLDER")
    make(Path(sys.argv[1]))

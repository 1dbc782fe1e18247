"""The Debian package: a release tree, its units, rules and default configuration. Same commit, same bytes.

    python packaging/deb.py [--architecture amd64|arm64] [--python 3.11] [--tree FOLDER] [--version V] [--output dist]

Prints the path of the package.
"""

from __future__ import annotations

import argparse
import calendar
import email
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

import tree as trees
from target import ROOT, BuildError, Target, add_arguments

MAINTAINER = os.environ.get("ALLYARM_MAINTAINER", "AllyArm developers <developers@allyarm.invalid>")
# File of systemd/ -> where it goes; units go to UNITS.
PLACES = {
    "udev.rules": "usr/lib/udev/rules.d/60-allyarm.rules", "sysusers.conf": "usr/lib/sysusers.d/allyarm.conf",
    "tmpfiles.conf": "usr/lib/tmpfiles.d/allyarm.conf", "journald.conf": "usr/lib/systemd/journald.conf.d/allyarm.conf",
    "sysctl.conf": "usr/lib/sysctl.d/60-allyarm.conf", "realtime-cmdline": "usr/share/allyarm/realtime-cmdline",
    "allyarm.toml": "etc/allyarm/allyarm.toml", "allyarm.sh": "usr/bin/allyarm",
}
DEPENDS = ("libc6 (>= 2.36)", "libstdc++6 (>= 12)", "libgcc-s1", "systemd", "udev", "init-system-helpers (>= 1.52)",
           "adduser", "zstd")
UNITS = "usr/lib/systemd/system"
DOCUMENTS = ("deploy.md", "update.md", "configuration.md", "safety.md", "faults.md")


def control(target: Target, version: str, installed_kb: int) -> str:
    major, minor = map(int, target.python.split("."))
    needs = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})", *DEPENDS]
    return f"""\
Package: allyarm
Version: {version}
Architecture: {target.architecture}
Maintainer: {MAINTAINER}
Installed-Size: {installed_kb}
Depends: {", ".join(needs)}
Section: electronics
Priority: optional
Description: controller of the AllyArm motorised arm exoskeleton
 The real-time control loop, the driver of the motor bus and the server of the
 operator's page, as a service that starts at boot. Motor power stays off, and
 nothing moves, until a client asks for it. Without a configured serial port a
 simulated arm is started.
"""


def copyright_text(tree: Path) -> str:
    """debian/copyright: the program's licence, and for every dependency its own with the place of the full text."""
    texts = ["""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: allyarm-controller

Files: *
Copyright: AllyArm developers
License: Apache-2.0

License: Apache-2.0
 The full text is in /usr/share/common-licenses/Apache-2.0.
"""]
    for folder in sorted(tree.glob("lib/*.dist-info")):
        about = email.message_from_string((folder / "METADATA").read_text())
        name = about["Name"]
        if name.lower().replace("_", "-") == "allyarm-controller":
            continue
        classified = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if "License ::" in line]
        licence = about["License-Expression"] or "; ".join(classified) or (about["License"] or "").split("\n")[0]
        if not licence:
            raise BuildError(f"{name} tells no licence: it may not be shipped before somebody has looked")
        full = sorted(path.relative_to(tree) for path in folder.rglob("*")
                      if re.match(r"(?i)(licen[cs]e|copying|notice|authors)", path.name) and path.is_file())
        home = about["Home-page"] or about["Project-URL"] or name
        where = "\n".join(f" /usr/lib/allyarm/{path}" for path in full) or f" {home}"
        texts.append(f"Files: usr/lib/allyarm/lib/*\nComment: {name} {about['Version']}\nCopyright: "
                     f"{about['Author'] or about['Author-email'] or 'the authors of ' + name}\n"
                     f"License: {licence}\n{where}\n")
    return "\n".join(texts)


def changelog(version: str, moment: int) -> str:
    return (f"allyarm ({version}) stable; urgency=medium\n\n"
            f"  * What changed for users: /usr/share/doc/allyarm/NEWS.md.gz\n\n"
            f" -- {MAINTAINER}  {formatdate(moment)}\n")


def stage(target: Target, tree: Path, version: str, moment: int, place: Path) -> None:
    """Everything the package holds, below `place`."""
    shutil.copytree(tree, place / "usr/lib/allyarm")
    units = [path for path in sorted((ROOT / "systemd").iterdir()) if path.suffix in {".service", ".timer", ".path",
                                                                                      ".socket"}]
    for source, goal in [*((ROOT / "systemd" / name, goal) for name, goal in PLACES.items()),
                         *((path, f"{UNITS}/{path.name}") for path in units)]:
        (place / goal).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place / goal)
    if (place / "usr/lib/allyarm/bin/allyarm-release").exists():
        (place / "usr/bin/allyarm-release").symlink_to("../lib/allyarm/bin/allyarm-release")
    documents = place / "usr/share/doc/allyarm"
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(copyright_text(tree))
    for name, text in {"changelog.gz": changelog(version, moment),
                       "NEWS.md.gz": (ROOT / "CHANGELOG.md").read_text()}.items():
        (documents / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for name in DOCUMENTS:
        if (ROOT / "docs" / name).exists():
            shutil.copyfile(ROOT / "docs" / name, documents / name)
    (place / "usr/share/lintian/overrides").mkdir(parents=True)
    shutil.copyfile(ROOT / "packaging/debian/lintian-overrides", place / "usr/share/lintian/overrides/allyarm")
    scripts = place / "DEBIAN"
    scripts.mkdir()
    enabled = " ".join(path.name for path in units if "\n[Install]\n" in path.read_text())
    for name in ("postinst", "prerm", "postrm"):
        (scripts / name).write_text((ROOT / "packaging/debian" / name).read_text()
                                    .replace("@ENABLED@", enabled).replace("@VERSION@", version))
    (scripts / "conffiles").write_text("/etc/allyarm/allyarm.toml\n")
    for path in [place, *place.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.parent.name == "bin" or path.name in {"postinst", "prerm", "postrm"}
            path.chmod(0o755 if executable else 0o644)
    size_kb = sum(1 if path.is_dir() else -(-path.lstat().st_size // 1024) for path in (place / "usr").rglob("*"))
    (scripts / "control").write_text(control(target, version, size_kb))
    (scripts / "control").chmod(0o644)
    _checksums(place)


def _checksums(place: Path) -> None:
    """DEBIAN/md5sums: what `dpkg --verify` compares with."""
    rows = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(place)}\n"
            for path in sorted(place.rglob("*")) if path.is_file() and not path.is_symlink()
            and path.relative_to(place).parts[0] not in {"DEBIAN", "etc"}]
    (place / "DEBIAN/md5sums").write_text("".join(rows))
    (place / "DEBIAN/md5sums").chmod(0o644)


def build(target: Target, tree: Path, output: Path, *, quick: bool = False) -> Path:
    """The package of a release tree. `quick`: packed in seconds, and larger."""
    told = json.loads((tree / "release.json").read_text())
    version, moment = told["version"], calendar.timegm(time.strptime(told["built"], "%Y-%m-%dT%H:%M:%SZ"))
    if (told["architecture"], told["python"]) != (target.architecture, target.python):
        raise BuildError(f"{tree} is for {told['architecture']}, Python {told['python']}")
    with tempfile.TemporaryDirectory(dir=output) as work:
        place = Path(work) / "root"
        place.mkdir()
        stage(target, tree, version, moment, place)
        for path in [*place.rglob("*"), place]:
            os.utime(path, (moment, moment), follow_symlinks=False)
        made = output / f"allyarm_{version}_{target.architecture}.deb"
        done = subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--threads-max=1", *(["-Zgzip", "-z1"] if quick else ["-Zxz", "-z6"]),
             "--build", str(place), str(made)], env={**os.environ, "SOURCE_DATE_EPOCH": str(moment),
                                                     "LC_ALL": "C"},
            capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--version", default="", help="instead of the program's own")
    parser.add_argument("--tree", type=Path, help="a release tree that is there already")
    parser.add_argument("--quick", action="store_true", help="packed in seconds, and larger: for tests")
    args = parser.parse_args()
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        target = Target(args.architecture, args.python)
        tree = args.tree or trees.build(target, args.output, args.version)
        if args.tree and args.version:
            tree = trees.as_version(tree, args.version, args.output)
        print(build(target, tree, args.output, quick=args.quick))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What is in an image, as CycloneDX 1.5.

Every Debian package that dpkg knows of, every Python package of the controller, and the packages that the boot
partition was made of. Licences are in the packages' own /usr/share/doc/*/copyright.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

DISTRO = "debian-13"
Component = dict[str, Any]


def debian(name: str, version: str, architecture: str, source: str = "", maintainer: str = "") -> Component:
    """One Debian package; its package URL as the purl specification has it for `deb`."""
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='.~')}?arch={quote(architecture)}&distro={DISTRO}"
    found: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if maintainer:
        found["supplier"] = {"name": maintainer}
    if source and source != name:
        found["properties"] = [{"name": "debian:source", "value": source}]
    return found


def python(metadata: str) -> Component:
    """One Python package from its METADATA."""
    fields = HeaderParser().parsestr(metadata)
    name, version = fields["Name"], fields["Version"]
    purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
    found: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    licence = fields.get("License-Expression") or fields.get("License") or ""
    if licence and "\n" not in licence and len(licence) < 100:
        found["licenses"] = [{"license": {"name": licence}}]
    return found


def installed(root: Path) -> list[Component]:
    """Packages whose files are in the system."""
    found = []
    for paragraph in (root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Package"] and fields["Status"] == "install ok installed":
            source = (fields["Source"] or "").partition(" ")[0]
            found.append(debian(fields["Package"], fields["Version"], fields["Architecture"], source,
                                fields["Maintainer"] or ""))
    return found


def unpacked(packages: Path) -> list[Component]:
    """Packages that were only taken apart, for the boot partition."""
    found = []
    for package in sorted(packages.glob("*.deb")):
        fields = subprocess.run(["dpkg-deb", "-f", str(package), "Package", "Version", "Architecture"], check=True,
                                capture_output=True, text=True).stdout
        values = HeaderParser().parsestr(fields)
        found.append(debian(values["Package"], values["Version"], values["Architecture"]))
    return found


def describe(root: Path, packages: Path, name: str, version: str) -> dict[str, Any]:
    """The document. Its serial number follows from its content, its time from SOURCE_DATE_EPOCH."""
    python_packages = [python(path.read_text(encoding="utf-8"))
                       for path in sorted(root.glob("usr/lib/allyarm/lib/*.dist-info/METADATA"))]
    components = sorted({found["bom-ref"]: found for found in (*installed(root), *unpacked(packages), *python_packages)
                         }.values(), key=lambda found: str(found["bom-ref"]))
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{name}\n" + "\n".join(str(found["bom-ref"]) for found in components))
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
                     "tools": {"components": [{"type": "application", "name": "image/sbom.py"}]},
                     "component": {"type": "operating-system", "bom-ref": name, "name": "allyarm-image",
                                   "version": version}},
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": [found["bom-ref"] for found in components]}],
    }

"""The list of what is inside: valid CycloneDX by the schema's own validator, complete, and the image's checksums."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tests.image.conftest import one
from tests.image.machine import Machine

VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
sys.exit(str(error)[:2000] if error else 0)
"""


def check(python: Path, text: str) -> str:
    """What the validator says, "" when nothing."""
    return subprocess.run([str(python), "-c", CHECK], input=text, capture_output=True, text=True, check=False).stderr


def test_it_is_valid_and_an_error_would_be_found(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", VALIDATOR], check=True)
    text = one("*.cdx.json").read_text()
    assert check(python, text) == ""
    document = json.loads(text)
    document["components"][0]["type"] = "thing"
    assert "thing" in check(python, json.dumps(document))


def test_it_names_every_package_that_the_running_board_has(running: Machine) -> None:
    document = json.loads(one("*.cdx.json").read_text())
    named = {(found["name"], found["version"]) for found in document["components"]}
    debian = {tuple(line.split()) for line in running.run("dpkg-query -W -f '${Package} ${Version}\\n'").splitlines()}
    assert len(debian) > 150
    assert debian <= named
    python = running.run("sed -n '/^Name: /p; /^Version: /p; /^$/q' -s /usr/lib/allyarm/lib/*.dist-info/METADATA "
                         "| sed 's/^[A-Za-z]*: //' | paste -sd' \\n'")
    assert {tuple(line.split()) for line in python.splitlines()} <= named
    assert {"raspi-firmware", "u-boot-rpi"} <= {name for name, _ in named}


def test_checksums() -> None:
    sums = one("*.sha256")
    lines = sums.read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        wanted, name = line.split("  ")
        with (sums.parent / name).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == wanted

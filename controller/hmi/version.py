"""The version check: which pages may move the arm.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import re

from controller.hmi import forms
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.outcome import Outcome
from controller.spec import hmi
from controller.spec.hmi import Notice

VERSION_TEXT = re.compile(r"(\d{1,4}\.\d{1,4})(\.[0-9A-Za-z.+-]{1,16})?", re.ASCII)


def check_version(client: Client, control: ControlToken, key: str, value: object) -> Outcome:
    """Note what contract the client's page speaks. Refused where it is another one: it may observe and stop."""
    found = VERSION_TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(Notice.VALUE, key, f"{forms.shown(value)}: allowed is a version text like "
                      f"\"{hmi.CONTRACT_VERSION}.0\"")
    client.version, client.compatible = found.group(0), found.group(1) == hmi.CONTRACT_VERSION
    if not client.compatible:
        control.release(client)
        raise Refused(Notice.VERSION, "", f"this page speaks HMI contract {client.version}, the controller "
                      f"{hmi.CONTRACT_VERSION}: it may observe and stop, but not move the arm or change settings")
    return None

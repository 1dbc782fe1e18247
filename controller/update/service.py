"""The two things an update asks: systemd about the unit, and the controller about the arm."""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from controller.spec.board import UpdatePhase
from controller.update.failure import RefusedNow, UpdateError
from controller.update.places import SERVICE

ASK_S, SYSTEMCTL_S = 2.0, 60.0
ANSWER_BYTES = 1_000_000
FLASHING = {phase.name for phase in UpdatePhase if phase.under_way}
CONFIRM_UNIT = "allyarm-confirm.service"


class Unit(msgspec.Struct, frozen=True):
    """What systemd says of the unit. `invocation` changes with every start, `restarts` counts those that systemd did by
    itself. `known` is false where there is no systemd or no such unit."""

    active: str = "inactive"    # active, activating, deactivating, inactive, failed, ...
    invocation: str = ""
    restarts: int = 0
    known: bool = False

    @property
    def down(self) -> bool:
        return self.active in {"inactive", "failed"}


class Services(Protocol):
    """systemd, as far as an update needs it."""

    def unit(self) -> Unit: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def try_release(self) -> None: ...


class Systemd:
    """The real one, by systemctl."""

    def unit(self) -> Unit:
        """State of allyarm.service."""
        said = self._call("show", "--property=LoadState,ActiveState,InvocationID,NRestarts", SERVICE, needed=False)
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        restarts = found.get("NRestarts", "0")
        return Unit(found.get("ActiveState", "inactive"), found.get("InvocationID", ""),
                    int(restarts) if restarts.isdigit() else 0, found.get("LoadState") == "loaded")

    def stop(self) -> None:
        """Soft stop and power off; returns when it has ended."""
        self._call("stop", SERVICE)

    def start(self) -> None:
        """Start, without waiting for it to be ready; earlier failures are forgotten, or systemd would refuse."""
        self._call("reset-failed", SERVICE, needed=False)
        self._call("start", "--no-block", SERVICE)

    def try_release(self) -> None:
        """Start the gate, which goes on when this command's terminal is closed."""
        self._call("start", "--no-block", CONFIRM_UNIT)

    def _call(self, *words: str, needed: bool = True) -> str:
        try:
            done = subprocess.run(["systemctl", "--no-ask-password", *words], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            if needed:
                raise UpdateError(f"systemctl {' '.join(words)}: {error}") from None
            return ""
        if done.returncode and needed:
            raise UpdateError(f"systemctl {' '.join(words)}: {done.stderr.strip()[:300]}")
        return done.stdout


class Seen(msgspec.Struct, frozen=True):
    """What a controller says: `tree` is the release that runs, `version` its version, `flashing` whether firmware of
    the arm is being updated."""

    powered: bool
    holder: str
    bus_state: str
    cycle: int
    version: str
    tree: str
    flashing: bool = False


class NotRunning(Exception):
    """Nothing listens at the controller's address."""


class Silent(Exception):
    """Something listens, but does not answer like a healthy controller; says what."""


class Controller:
    """The controller at `url`, asked as seldom as it takes: two small GETs."""

    def __init__(self, url: str, token: str = "") -> None:
        self._token = token
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    def healthy(self) -> None:
        """/healthz is 200; Silent or NotRunning otherwise."""
        self._get("/healthz")

    def look(self) -> Seen:
        """/status.json; raises Silent or NotRunning."""
        try:
            state = json.loads(self._get("/status.json"))
            holder, update = state["control"], state.get("update") or {}
            client = holder["client"]
            return Seen(bool(state["motor_power"]), "" if client is None else str(holder["name"] or client),
                        str(state["bus_state"]), int(state["cycle"]), str(update.get("running", "")),
                        str(update.get("tree", "")),
                        (state.get("board_update") or {}).get("phase") in FLASHING)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Silent(f"its status page is not a controller's ({type(error).__name__})") from None

    def _get(self, path: str) -> bytes:
        link = http.client.HTTPConnection(self._host, self._port, timeout=ASK_S)
        try:
            link.request("GET", path, headers={"Authorization": f"Bearer {self._token}"} if self._token else {})
            answer = link.getresponse()
            content = answer.read(ANSWER_BYTES)
        except ConnectionRefusedError:
            raise NotRunning(f"nothing listens at {self._host}:{self._port}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f"{path} does not answer: {error or type(error).__name__}") from None
        finally:
            link.close()
        if answer.status != 200:
            hint = ": hmi.token of the configuration is not the one it runs with" if answer.status in {401, 403} else ""
            raise Silent(f"{path} answers {answer.status}{hint}")
        return content


def need_idle(services: Services, controller: Controller) -> Seen | None:
    """RefusedNow while the arm is powered or somebody is in control. None when no controller runs: then nothing can
    move. What cannot be told counts as powered."""
    try:
        seen = controller.look()
    except NotRunning as error:
        if not (unit := services.unit()).down:
            raise RefusedNow(f"the service is {unit.active}, but {error}: wait until it has started, or stop it by "
                             f"`systemctl stop {SERVICE}`") from None
        return None
    except Silent as error:
        raise RefusedNow(f"the controller runs, but it cannot be told whether the arm is powered: {error}. Stop it by "
                         f"`systemctl stop {SERVICE}` and try again") from None
    if seen.powered:
        raise RefusedNow("the arm is powered: switch motor power off (mode 0 at the page, or the emergency button) and "
                         "try again")
    if seen.flashing:
        raise RefusedNow("firmware of the arm is being updated: wait until it has ended (`allyarm status`) and try "
                         "again")
    if seen.holder:
        raise RefusedNow(f"{seen.holder} is in control of the arm: have them release control and try again")
    return seen


def this_boot(folder: Path) -> str:
    """A word that is another one after every boot: kept in a file of `folder`, which is in memory. The kernel's own
    boot_id is the host's in a container, and not the same for every unit there."""
    path = folder / "boot"
    try:
        if found := path.read_text().strip():
            return found
    except OSError:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = secrets.token_hex(16)
    path.write_text(found)
    return found

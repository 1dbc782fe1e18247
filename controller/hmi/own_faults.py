"""Errors and warnings that the HMI's thread finds itself: storage, network, settings that the arm does not have.

They are there as long as their cause is. Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.history import History
from controller.history_words import fault_text
from controller.hmi.faultlist import Active, FaultList
from controller.hmi.in_force import InForce
from controller.hmi.options import is_loopback
from controller.spec import hmi
from controller.spec.history import Kind
from controller.store import Store


class OwnFaults:
    """Call `watch` about once a second. `host` is the address that the server listens on."""

    def __init__(self, faults: FaultList, store: Store, history: History, in_force: InForce, *, host: str) -> None:
        self._faults, self._store, self._history, self._in_force = faults, store, history, in_force
        self._host = host
        self._was_late = False

    def watch(self, address_fault: str, speed_limit_deg_s: Sequence[float]) -> None:
        """`address_fault` is the name of the row when this machine has no address, `speed_limit_deg_s` what is in force
        per axis of a connected arm."""
        late = self._in_force.late
        present = {
            "REGISTER_WRITE": self._store.opened and bool(self._store.trouble),
            "FILE_UNOPENED": not self._store.opened, "FILE_UNREADABLE": bool(self._store.unaccepted),
            "LOG_READ": self._history.read_failed, "LOG_DELETE": self._history.prune_failed,
            "REGISTER_SEND": late and self._was_late,       # once is no fault: it has just been given again
            **{name: name == address_fault and not is_loopback(self._host)      # on loopback no network is missing
               for name in ("ADDRESS_UNKNOWN", "ADDRESS_FAILED")},
        }
        self._was_late = late
        for name, there in present.items():
            self._faults.own(name, there)
        for axis in range(1, hmi.MAP_AXES + 1):
            self._faults.own("SPEED_ZERO", 0.0 in speed_limit_deg_s[axis - 1:axis], axis)


def keep(history: History, fault: Active, raised: bool) -> None:
    """The core has events for its own faults; the history learns of the others here."""
    kind = (Kind.WARNING if raised else Kind.WARNING_CLEARED) if fault.warning else (
        Kind.ERROR if raised else Kind.ERROR_CLEARED)
    text = fault_text(fault.code, fault.axis, fault.warning, fault.source)
    history.note(kind, f"{'raised' if raised else 'cleared'} {text}", code=fault.code, axis=fault.axis,
                 detail={"source": fault.source})

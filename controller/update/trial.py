"""Switching to a release, watching its first seconds, and confirming or leaving it.

Every step can be cut off by a power failure and is then begun again from pending.json:

    switch   databases copied -> pending.json -> `previous` -> `current` -> the service is started anew
    confirm  `last.json` -> pending.json removed
    leave    pending.json says why -> service stopped -> databases put back -> `current` -> failed.json -> service
             started -> `last.json` -> pending.json removed

The units that confirm and leave run from the packaged release, never from the one that is tried.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from controller.update import clock, copies
from controller.update.announced import Phase
from controller.update.board import Board, Last, Pending
from controller.update.failure import RefusedNow, UpdateError
from controller.update.files import Lock, point, remove, write_json
from controller.update.progress import Progress
from controller.update.service import Controller, NotRunning, Seen, Services, Silent, Unit, need_idle, this_boot

POLL_S = 0.25
LOOK_EVERY = 4      # polls of /healthz between two looks at the state
UNWELL_S = 2.0      # altogether, while it is watched: an arm's plug that is touched, a moment of load
TRIES = 2           # one, and one more after a power failure
LOCK_S = 120.0      # an installation holds it while it switches
CONNECTED = "CYCLIC"
RESTARTED = "the service was restarted by systemd: it had failed"


class Failing(Exception):
    """Why a release is not to be kept."""


class Unwell(Exception):
    """What may pass by itself: not a reason to leave it before it has lasted for UNWELL_S."""


def _runs(since_s: float, limit_s: float) -> bool:
    return time.monotonic() - since_s < limit_s


class Trial:
    """All that is done to a pending release. `confirm_s` is how long it has to run well, `start_s` how long it may take
    until it does."""

    def __init__(self, board: Board, services: Services, controller: Controller, progress: Progress, *,
                 state: Path, confirm_s: float, start_s: float, boot: Callable[[], str] | None = None) -> None:
        self._board, self._services, self._controller, self._progress = board, services, controller, progress
        self._state, self._confirm_s, self._start_s = state, confirm_s, start_s
        self._boot = boot or (lambda: this_boot(board.where.status.parent))

    # -- switch

    def switch(self, tree: Path, version: str, seen: Seen | None, *, restore: Path | None = None) -> Pending:
        """Make `tree` the release that is started next; the gate starts and watches it. The lock is held."""
        board, where = self._board, self._board.where
        before = board.current()
        manifest = board.manifest(before)
        before_version = manifest.version if manifest else "unknown"
        self._progress.phase(Phase.SWITCH, f"switching from {before_version} to {version}", version)
        copy = where.settings_copies / f"{before_version}-before-{version}"
        if self._state.is_dir():
            copies.take(self._state, copy)
        pending = board.set_pending(Pending(
            version, os.path.realpath(tree), before_version, os.fspath(before),
            "" if seen is None else seen.bus_state, self._boot(), copies=os.fspath(copy),
            restore="" if restore is None else os.fspath(restore)))
        point(where.previous, before)
        point(where.current, os.path.realpath(tree))
        return pending

    # -- the gate

    def gate(self) -> str:
        """Try the pending release and confirm or leave it; returns "confirmed", "rolled_back", or "" when nothing was
        left to do."""
        with Lock(self._board.where.lock, LOCK_S):
            pending, before = self._begin()
        if pending is None:
            return ""
        if not pending.leaving:
            try:
                self._watch(pending, before)
                return self.confirm(pending)
            except Failing as failing:
                pending = replace(pending, leaving=str(failing))
        return self.leave(pending.leaving, tree=pending.tree)

    def _begin(self) -> tuple[Pending | None, str]:
        """Start the release anew, unless its only start is the one that the machine's boot has made. Returns what is
        tried, and the invocation that is over: until systemd has done what it was told, it still speaks of that one."""
        board = self._board
        pending = board.pending()
        if pending is None:
            remove(board.where.pending)     # one that cannot be read stands for nothing
            return None, ""
        if pending.leaving:
            return pending, ""
        if os.fspath(board.current()) != pending.tree:
            self._end(pending, "interrupted", f"the switch to {pending.version} was cut off: {pending.before_version} "
                      "runs, install it again")
            return None, ""
        unit = self._services.unit()
        boot = self._boot()
        if pending.invocation and unit.invocation == pending.invocation and pending.boot == boot:
            return pending, ""      # the watcher was ended, not the release
        if pending.invocation and pending.boot == boot:
            return board.set_pending(replace(pending, leaving=RESTARTED)), ""
        if pending.tries >= TRIES:
            why = f"{pending.tries} times it was tried and the machine went down, or what watched it"
            return board.set_pending(replace(pending, leaving=why)), ""
        if not pending.tries and pending.boot == boot and not unit.down:
            try:
                need_idle(self._services, self._controller)     # the copies took their time
            except RefusedNow as refused:
                point(board.where.current, pending.before)
                self._end(pending, "interrupted", f"{pending.version} was not tried: {refused}")
                return None, ""
        started_by_boot = pending.boot != boot and not pending.restore and not unit.down
        self._progress.phase(Phase.TRY, f"starting {pending.version}", pending.version)
        pending = board.set_pending(replace(pending, tries=pending.tries + 1, boot=boot, invocation=""))
        if not started_by_boot:
            self._services.stop()
            if pending.restore:
                copies.restore(Path(pending.restore), self._state, only_newer=True)
                pending = board.set_pending(replace(pending, restore=""))
            self._services.start()
        return pending, "" if started_by_boot else unit.invocation

    def _watch(self, pending: Pending, before: str) -> None:
        """Failing says what is wrong with it; nothing is when this returns."""
        started = time.monotonic()
        invocation = pending.invocation
        why = "it has not started"
        while True:
            unit = self._services.unit()
            if unit.invocation == before and before:
                unit = Unit()
            if unit.active == "failed":
                raise Failing("the service failed; `journalctl -u allyarm` says why")
            if unit.restarts:
                raise Failing(RESTARTED)
            if unit.invocation and not invocation and not unit.down:
                invocation = unit.invocation
                with Lock(self._board.where.lock, LOCK_S):
                    if (now := self._board.pending()) is None or now.leaving:
                        raise Failing(now.leaving if now else "it was left already")
                    self._board.set_pending(replace(now, invocation=invocation))
            if invocation and unit.invocation not in {"", invocation}:     # "": systemd did not answer
                raise Failing(RESTARTED)
            try:
                if unit.active == "active":
                    self._controller.healthy()
                    cycle = self._look(pending, -1)
                    break
                why = f"the service is {unit.active}"
            except (Silent, NotRunning, Failing, Unwell) as error:
                why = str(error)
            if time.monotonic() - started > self._start_s:
                raise Failing(f"not well after {self._start_s:g} s: {why}")
            time.sleep(POLL_S)
        self._progress.phase(Phase.TRY, f"{pending.version} runs and is watched for {self._confirm_s:g} s",
                             pending.version, total=max(1, round(self._confirm_s * 1000)))
        began = told = time.monotonic()
        polls, unwell_s, well = 0, 0.0, True
        while _runs(began, self._confirm_s) or not well:
            time.sleep(min(POLL_S, self._confirm_s))    # also before the last look: a slow loop needs it to advance
            now_s = time.monotonic()
            self._progress.came(round((now_s - told) * 1000))
            polls += 1
            try:
                self._controller.healthy()
                if not well or polls % LOOK_EVERY == 0 or not _runs(began, self._confirm_s):
                    self._same(invocation)
                    cycle = self._look(pending, cycle)
                well = True
            except (Silent, NotRunning, Unwell) as error:
                well = False
                unwell_s += now_s - told
                if unwell_s > UNWELL_S:
                    raise Failing(f"{error}, for {unwell_s:.1f} s of {now_s - began:.1f} s") from None
            told = now_s

    def _same(self, invocation: str) -> None:
        unit = self._services.unit()
        if unit.known is False and not unit.invocation:
            raise Unwell("systemd does not say how the service is")
        if (unit.active, unit.restarts, unit.invocation) != ("active", 0, invocation):
            raise Failing(RESTARTED if unit.restarts or unit.invocation != invocation else "the service is "
                                                                                           f"{unit.active}")

    def _look(self, pending: Pending, cycle: int) -> int:
        """The release that runs is the one it was started for, its loop advances, its bus is as good as before."""
        seen = self._controller.look()
        if os.path.realpath(seen.tree or "/nonexistent") != pending.tree:
            raise Failing(f"another release runs: {seen.tree or 'one that does not say which'} instead of "
                          f"{pending.tree}")
        if seen.cycle <= cycle:
            raise Unwell("its control loop does not advance")
        if pending.bus_state == CONNECTED and seen.bus_state != CONNECTED:
            raise Unwell(f"it does not reach the arm: the bus is {seen.bus_state}, it was {CONNECTED} before")
        return seen.cycle

    # -- the two ends

    def confirm(self, pending: Pending) -> str:
        """The pending release stays."""
        with Lock(self._board.where.lock, LOCK_S):
            now = self._board.pending()
            if now is None or now.tree != pending.tree or now.leaving:
                raise UpdateError(f"{pending.version} is not what is being tried any more")
            self._board.forget_failed(pending.version)
            self._end(pending, "confirmed", f"{pending.version} runs well and stays")
            self._board.prune()
        return "confirmed"

    def confirm_now(self) -> str:
        """By an operator's word, without the rest of the time; what runs must be what is tried, and be well."""
        pending = self._board.pending()
        if pending is None:
            return ""
        unit = self._services.unit()
        if not pending.invocation or unit.invocation != pending.invocation:
            raise UpdateError(f"{pending.version} is not what runs now: wait until it has started")
        try:
            self._same(pending.invocation)
            self._controller.healthy()
            self._look(pending, -1)
        except (Failing, Silent, NotRunning, Unwell) as error:
            raise UpdateError(f"{pending.version} is not well: {error}") from None
        return self.confirm(pending)

    def leave(self, why: str, *, mark: bool = True, tree: str = "") -> str:
        """Back to the release before; "" when nothing is pending, or not `tree` any more: another one has done it."""
        board, where = self._board, self._board.where
        with Lock(where.lock, LOCK_S):
            pending = board.pending()
            if pending is None or tree not in {"", pending.tree}:
                return ""
            if not pending.leaving:
                if os.fspath(board.current()) != pending.tree:
                    self._end(pending, "interrupted", f"the switch to {pending.version} was cut off")
                    return "interrupted"
                pending = board.set_pending(replace(pending, leaving=why))
            self._progress.phase(Phase.SWITCH, f"going back from {pending.version} to {pending.before_version}: "
                                 f"{pending.leaving}", pending.version)
            self._services.stop()
            lost = self._put_back(pending)
            point(where.current, pending.before)
            if mark:
                board.mark_failed(pending.version, pending.leaving)
            self._services.start()      # before the last note: cut off in between, all of this is done again
            self._end(pending, "rolled_back", f"{pending.before_version} runs again: {pending.version} was left, "
                                              f"because {pending.leaving}{lost}")
        return "rolled_back"

    def _put_back(self, pending: Pending) -> str:
        """The databases from before; what could not be put back, in words. A release that does not work is left all the
        same: the controller sets aside what it cannot read."""
        try:
            if pending.copies:
                copies.restore(Path(pending.copies), self._state, only_newer=False)
        except (OSError, UpdateError) as error:
            return f"; its settings could not be put back ({error}): what it left is used as far as it can be read"
        return ""

    def _end(self, pending: Pending, result: str, text: str) -> None:
        last = Last(pending.version, result, text, clock.written(clock.now()))  # type: ignore[arg-type]
        write_json(self._board.last_path, last)
        remove(self._board.where.pending)
        phase = {"confirmed": Phase.CONFIRMED, "rolled_back": Phase.ROLLED_BACK}.get(result, Phase.FAILED)
        self._progress.phase(phase, text, pending.version)

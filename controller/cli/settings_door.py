"""Two ways to the stored settings: the file of a stopped controller, and the typed interface of a running one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from controller.cli.reach import Target, shown
from controller.database import in_use
from controller.history import History
from controller.kept import StoreError
from controller.settings import KNOWN, check_together, checked
from controller.settings import fault as value_fault
from controller.spec.history import Kind
from controller.store import FILE, Store, Value

ANSWER_S = 10.0
WRONG_VALUE = {"value", "unknown", "locked", "role"}    # error codes for what the user has to change


class Wrong(Exception):
    """A name or value that is not allowed; nothing was changed."""


class Failed(Exception):
    """It did not work; says why and what to do."""


class Door(Protocol):
    """All or nothing, each of them. `where` says what it is; raises Wrong or Failed."""

    where: str

    def read(self) -> dict[str, Value]:
        """All settings in force, defaults where nothing is stored."""

    def unaccepted(self) -> str:
        """Why the settings in force have to be accepted, "" when they need not."""

    def write(self, values: Mapping[str, Value], *, dry_run: bool = False) -> None:
        """Store values."""

    def reset(self, names: Iterable[str], *, dry_run: bool = False) -> None:
        """Defaults again."""

    def accept(self) -> None:
        """Accept the settings in force."""

    def close(self) -> None:
        """The end of the command."""


def door(target: Target) -> Door:
    """The controller that runs, where one does; with an explicit URL only that one."""
    return LiveDoor(target) if target.remote or in_use(target.folder / FILE) else FileDoor(target)


class FileDoor:
    """The file, opened as the controller itself opens it for the length of the command."""

    def __init__(self, target: Target) -> None:
        self.where = f"the file {target.folder / FILE} (no controller uses it)"
        exists = (target.folder / FILE).exists()
        self._folder = target.folder
        self._store: Store | None = self._opened() if exists else None      # looking does not make a file

    def _opened(self) -> Store:
        store = Store(self._folder, value_fault)
        if store.problem:
            store.close()
            raise Failed(store.problem)
        return store

    def read(self) -> dict[str, Value]:
        stored = self._store.items() if self._store else {}
        return {name: stored.get(name, row.default) for name, row in KNOWN.items()}

    def unaccepted(self) -> str:
        return self._store.unaccepted if self._store else ""

    def write(self, values: Mapping[str, Value], *, dry_run: bool = False) -> None:
        stored = self._store.items() if self._store else {}
        try:
            new = check_together({name: checked(name, value) for name, value in values.items()}, stored)
        except ValueError as error:
            raise Wrong(str(error)) from None
        if not dry_run:
            self._change(new, ())

    def reset(self, names: Iterable[str], *, dry_run: bool = False) -> None:
        names = list(names)
        stored = self._store.items() if self._store else {}
        try:
            check_together({name: KNOWN[name].default for name in names}, stored)
        except ValueError as error:
            raise Wrong(str(error)) from None
        if not dry_run:
            self._change({}, names)

    def accept(self) -> None:
        if self._store and (why := self._store.unaccepted):
            self._settle(self._store.accept(_who()))
            self._note(Kind.ACCEPTANCE, "settings accepted", {"because": why})

    def _change(self, values: Mapping[str, Value], remove: Iterable[str]) -> None:
        self._store = self._store or self._opened()
        before, after = self._store.items(), {**dict.fromkeys(remove), **values}
        self._settle(self._store.put(values, remove))
        self._note(Kind.SETTINGS, "settings changed", {
            name: [before.get(name), value] for name, value in after.items() if before.get(name) != value})

    def _note(self, kind: Kind, text: str, detail: Mapping[str, object]) -> None:
        history = History(self._folder)
        history.note(kind, text, who=_who(), detail=detail)
        history.close()

    def _settle(self, saved: Any) -> None:
        try:
            saved.result(ANSWER_S)
        except (StoreError, TimeoutError) as error:
            raise Failed(f"not saved: {error or 'the disk does not answer'}") from None

    def close(self) -> None:
        if self._store:
            self._store.close()


def _who() -> str:
    import getpass

    try:
        return f"allyarm settings ({getpass.getuser()})"
    except (KeyError, OSError):
        return f"allyarm settings (user {os.getuid()})"


class LiveDoor:
    """The typed interface: values apply at once, and everything is checked against the arm as well."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.where = f"the controller at {target.url}"

    def read(self) -> dict[str, Value]:
        found = self._ask(read=[]).get("settings")
        if not isinstance(found, dict):
            raise Failed(f"{self.where} does not answer like a controller")
        return {name: found.get(name, row.default) for name, row in KNOWN.items()}

    def unaccepted(self) -> str:
        return shown(self._ask(read=[]).get("unaccepted", ""))

    def write(self, values: Mapping[str, Value], *, dry_run: bool = False) -> None:
        self._ask(write=dict(values), dry_run=dry_run)

    def reset(self, names: Iterable[str], *, dry_run: bool = False) -> None:
        self._ask(reset=list(names), dry_run=dry_run)

    def accept(self) -> None:
        self._ask(accept=True)

    def close(self) -> None:
        pass

    def _ask(self, **fields: Any) -> dict[str, Any]:
        import asyncio

        from controller.cli import client

        try:
            answer = asyncio.run(client.ask_once(self._target, {"type": "settings", **fields}))
        except client.Failed as failed:
            raise Failed(str(failed)) from None
        if isinstance(answer, dict) and answer.get("ok") is True:
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            raise Failed(f"{self.where} does not answer like a controller")
        text = ": ".join(shown(error[key]) for key in ("field", "message") if error.get(key))
        raise Wrong(text) if error.get("code") in WRONG_VALUE else Failed(text)

"""The commands of `allyarm update`, without their words: which releases there are, getting one, switching to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from controller.update import offers, rehearsal
from controller.update import version as versions
from controller.update.announced import Phase
from controller.update.board import Board
from controller.update.copies import LIST
from controller.update.failure import NetworkError, NothingNew, RefusedNow, UpdateError, UsageError
from controller.update.files import Lock, guarded, make_folder, point, remove
from controller.update.places import Places
from controller.update.progress import Progress
from controller.update.service import Controller, Services, need_idle
from controller.update.trial import LOCK_S, Trial

if TYPE_CHECKING:
    from controller.update.get import Got
    from controller.update.offers import Choice
    from controller.update.trust import Repository


class Options(msgspec.Struct, frozen=True):
    """[update] of the configuration, and where things are."""

    where: Places
    state: Path
    url: str = ""
    channel: str = "stable"
    confirm_s: float = 20.0
    start_s: float = 12.0


class Found(msgspec.Struct, frozen=True):
    """What a check found. `newest` is None when there is no release for this board; `new` when it is newer than what is
    installed; `delta_bytes` 0 without a delta."""

    current: str
    newest: str | None
    new: bool
    built: str = ""
    channel: str = ""
    bytes: int = 0
    delta_bytes: int = 0
    notes: str = ""
    failed_before: str = ""
    signed_until: str = ""
    time_used: str = ""
    not_understood: int = 0


class Update:
    """One command. `services` and `controller` are the board's, `say` takes a line for people."""

    def __init__(self, options: Options, services: Services, controller: Controller, progress: Progress,
                 say: Callable[[str], None] = lambda _: None) -> None:
        self.options, self.board = options, Board(options.where)
        self._services, self._controller, self._progress, self._say = services, controller, progress, say
        self.trial = Trial(self.board, services, controller, progress, state=options.state,
                           confirm_s=options.confirm_s, start_s=options.start_s)

    # -- look

    def check(self, wanted: str = "") -> tuple[Found, Choice | None, Repository]:
        """Ask the repository; the lock is held."""
        from controller.update import clock
        from controller.update.trust import Repository

        self._none_pending()    # the network may take long, and leaving a release that does not work waits for the lock
        options, board = self.options, self.board
        if not options.url:
            raise UsageError("update.url: empty; allowed: the address of the repository, in "
                             f"{options.where.configuration}, or --repository URL")
        running = board.running()
        self._progress.phase(Phase.CHECK, f"asking {options.url}", "")
        repository = guarded(lambda: self._refreshed(Repository(options.where, options.url, board.built(),
                                                                self._progress.came)), "the metadata cannot be kept")
        choice = offers.choose(repository.targets, architecture=running.architecture, python=running.python,
                               channel=options.channel, wanted=wanted, tars=self._tars(repository.targets))
        release = choice.release if choice else None
        found = Found(
            running.version, release.version if release else None,
            release is not None and versions.order(release.version) > versions.order(running.version),
            signed_until=clock.written(repository.expires), time_used=clock.written(repository.time),
            not_understood=len(repository.unknown))
        if choice is not None and release is not None:
            found = msgspec.structs.replace(
                found, built=release.built, channel=release.channel, bytes=choice.archive.length,
                delta_bytes=choice.delta.length if choice.delta else 0, notes=release.notes,
                failed_before=board.failed().get(release.version, ""))
        return found, choice, repository

    @staticmethod
    def _refreshed(repository: Repository) -> Repository:
        repository.refresh()
        return repository

    def _tars(self, targets: list[offers.Target]) -> dict[str, str]:
        """Version -> hash of its normalised archive as signed, of the releases that are installed: whether the one on
        this disk still gives it is found out when a delta is applied."""
        installed = self.board.installed()
        return {item.offer.before: item.offer.before_sha256 for item in targets
                if isinstance(item.offer, offers.DeltaOffer) and item.offer.before in installed}

    # -- get

    def download(self, wanted: str = "", again: bool = False) -> Got:
        """Get the newest release, or the wanted one, complete onto this board; nothing is switched."""
        from controller.update.get import Getter

        with self._locked():
            found, choice, repository = self.check(wanted)
            release = self._worth(found, choice, wanted, again)
            getter = Getter(self.board, repository, self._progress, self._say)
            got = guarded(lambda: getter.get(release), f"release {release.release.version} cannot be kept")
            self._progress.phase(Phase.READY, f"{release.release.version} is ready to be installed",
                                 release.release.version)
        return got

    @staticmethod
    def _worth(found: Found, choice: Choice | None, wanted: str, again: bool) -> Choice:
        """NothingNew unless the choice is newer than what runs and has not failed here before."""
        if choice is None:
            what = f"no release {wanted}" if wanted else "no release"
            raise NothingNew(f"the repository has {what} for this board and channel")
        version = choice.release.version
        if not found.new:
            hint = "" if version == found.current else ": to go back use `allyarm update rollback`"
            raise NothingNew(f"{found.current} is installed, the repository has {version}{hint}")
        if found.failed_before and not again:
            raise NothingNew(f"{version} was left by this board before: {found.failed_before}. To try it again: "
                             f"`allyarm update install --again`")
        return choice

    # -- switch

    def install(self, wanted: str = "", again: bool = False) -> tuple[str, Got | None]:
        """Get a release, and switch to it; returns its version. The gate goes on by itself (`follow`)."""
        with self._locked():
            self._none_pending()
            need_idle(self._services, self._controller)
        got: Got | None = None
        try:
            got = self.download(wanted, again)
            tree = got.tree
        except NetworkError as error:
            tree = self._downloaded_before(wanted, again, error)
        version = tree.name
        guarded(lambda: rehearsal.rehearse(tree, self.options.state, self.options.where), "the rehearsal")
        with self._locked():
            self._none_pending()
            seen = need_idle(self._services, self._controller)      # it has taken a while
            guarded(lambda: self.trial.switch(tree, version, seen), "the switch")
        self._services.try_release()
        return version, got

    def _downloaded_before(self, wanted: str, again: bool, error: NetworkError) -> Path:
        """The newest release that is complete on this board, for where there is no network."""
        running = versions.order(self.board.running().version)
        failed = {} if again else self.board.failed()
        ready = [(versions.order(version), tree) for version, tree in self.board.installed().items()
                 if versions.order(version) > running and version not in failed and wanted in {"", version}]
        if not ready:
            raise error
        from controller.update.tree import verify

        tree = max(ready)[1]
        verify(tree)
        self._say(f"{error} Installing {tree.name}, which was downloaded before.")
        return tree

    def rollback(self, version: str = "", packaged: bool = False) -> str:
        """Leave the release that is tried, or switch to the one before, to `version` or to the packaged one."""
        from controller.update.tree import verify

        if (pending := self.board.pending()) is not None and not version and not packaged:
            need_idle(self._services, self._controller)
            self.trial.leave("somebody asked for it")
            return pending.before_version
        with self._locked():
            self._none_pending()
            seen = need_idle(self._services, self._controller)
            tree = self._back_to(version, packaged)
            manifest = verify(tree)
            self.trial.switch(tree, manifest.version, seen, restore=self._restore_for(manifest.version))
        self._services.try_release()
        return manifest.version

    def _back_to(self, version: str, packaged: bool) -> Path:
        board = self.board
        if packaged:
            tree: Path | None = Path(os.path.realpath(board.where.packaged))
        elif version:
            tree = board.installed().get(version)
            if tree is None:
                raise UsageError(f"release {version[:40]}: not on this board; allowed: "
                                 f"{', '.join(sorted(board.installed()))}")
        else:
            tree = board.previous()
            if tree is None:
                raise NothingNew("there is no release before this one on this board")
        if tree is None or Path(os.path.realpath(tree)) == board.current():
            raise NothingNew("that release runs already")
        return tree

    def _restore_for(self, version: str) -> Path | None:
        """The copies of the databases as that release left them; those that a later one has changed in form since are
        put back, the others stay as they are."""
        folder = self.options.where.settings_copies
        found = sorted(folder.glob(f"{version}-before-*/{LIST}"), key=lambda item: item.stat().st_mtime)
        return found[-1].parent if found else None

    def settle_package(self) -> str:
        """After a package was installed: its release is the current one, unless a newer one that fits the same Python
        came over the network. Returns the version that is started next; nothing is restarted."""
        board = self.board
        with self._locked(LOCK_S):     # a download may be under way
            tree = board.current()
            current, packaged = board.manifest(tree), board.manifest(board.where.packaged)
            if packaged is None:
                raise UpdateError(f"{board.where.packaged} is no complete release: install the package again")
            if current is not None and current.python == packaged.python and (
                    versions.order(current.version) > versions.order(packaged.version)):
                return current.version
            if board.where.current.is_symlink():
                guarded(lambda: point(board.where.current, board.where.packaged), "the packaged release")
                remove(board.where.pending)
        return packaged.version

    # -- follow

    def follow(self, version: str, limit_s: float, poll_s: float = 0.3) -> tuple[str, str]:
        """Wait for the gate's result: ("confirmed" or what else, why)."""
        until = time.monotonic() + limit_s
        while self.board.pending() is not None:
            if time.monotonic() > until:
                raise UpdateError("the gate has not ended: `systemctl status allyarm-confirm` and `allyarm update "
                                  "status` tell more")
            time.sleep(poll_s)
        last = self.board.last()
        if last is None or last.version != version:
            raise UpdateError("something else has ended the update: see `allyarm update status`")
        return last.result, last.text

    def _locked(self, wait_s: float = 0.0) -> Lock:
        make_folder(self.options.where.root)
        return Lock(self.options.where.lock, wait_s)

    def _none_pending(self) -> None:
        if (pending := self.board.pending()) is not None:
            raise RefusedNow(f"{pending.version} is being tried: wait for it (`allyarm update status`), confirm it or "
                             "leave it first (`allyarm update rollback`)")


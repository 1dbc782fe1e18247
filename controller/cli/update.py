"""`allyarm update`: the manufacturer's releases over the network; tried before they stay, left by themselves when they
fail."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.update.updater import Update

EPILOG = """\
examples:
  allyarm update check                   is there a newer release?
  allyarm update install                 get it, try it, keep it if it runs well
  allyarm update install --version 1.4.2
  allyarm update download                only get it: `install` is quick then, and needs no network
  allyarm update status --json           what is installed, what is tried, how the last update ended
  allyarm update rollback                back to the release before
  allyarm update rollback --packaged     back to the release of the package

The repository's address is update.url of the configuration. Nothing is installed while the arm is powered or a client
is in control. A release that crashes, hangs, does not reach the arm it reached before or stops answering is left by
itself. Exit code 0: done. 1: failed, or the release was left again. 2: usage or configuration. 3: nothing new.
4: refused now. 5: verification failed. 6: network. 7: disk.
"""
CONFIGURATION = "/etc/allyarm/allyarm.toml"
FOLLOW_S = 60.0     # more than the gate needs


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "update", help="update of this program over the network",
        description="Releases of the manufacturer: look, get, install, confirm, go back.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    common.add_argument("--config", metavar="FILE", help=f"configuration (default {CONFIGURATION})")
    common.add_argument("--root", metavar="FOLDER", default="/", help="the system is below FOLDER (tests; default /)")
    asks = argparse.ArgumentParser(add_help=False)
    asks.add_argument("--repository", metavar="URL", help="instead of update.url")
    asks.add_argument("--channel", choices=("stable", "beta"), help="instead of update.channel")
    asks.add_argument("--version", metavar="V", default="", help="this release, not the newest")

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return what.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[common, *parents],
                               epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)

    add("check", "ask the repository what there is", asks)
    for name, text in (("download", "get the newest release complete onto this board"),
                       ("install", "get the newest release, try it, keep it if it runs well")):
        command = add(name, text, asks)
        command.add_argument("--again", action="store_true", help="also one that was left here before")
        if name == "download":
            command.add_argument("--scheduled", action="store_true", help="for the timer: without update.url there is "
                                 "nothing new, which is no mistake")
        if name == "install":
            command.add_argument("--no-wait", action="store_true", help="do not wait for the trial's end")
    confirm = add("confirm", "keep the release that is tried, at once")
    confirm.add_argument("--gate", action="store_true", help="try it first, and leave it when it fails (the unit's "
                                                             "job)")
    confirm.add_argument("--prune", action="store_true", help="remove old releases and downloads too")
    back = add("rollback", "go back to the release before")
    where = back.add_mutually_exclusive_group()
    where.add_argument("--version", metavar="V", default="", help="to this one, which is still on the board")
    where.add_argument("--packaged", action="store_true", help="to the one of the package")
    where.add_argument("--service-failed", action="store_true", help="leave a release that is tried, nothing else (the "
                       "unit's job)")
    back.add_argument("--no-wait", action="store_true", help="do not wait for the trial's end")
    add("status", "what is installed, what is tried, how the last update ended")
    add("packaged", "start the package's release from now on, unless a newer one came since (its installation's job)")
    rehearse = add("rehearse", "bring copies of the databases forward, as a new release does before it is switched to")
    rehearse.add_argument("folder", metavar="FOLDER", type=Path, help="folder with the copies: they are changed")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Returns the exit code of the epilog."""
    from controller.cli.fail import say
    from controller.update.failure import UpdateError
    from controller.update.progress import Progress

    progress: Progress | None = None
    try:
        if args.what == "rehearse":
            from controller.update.rehearsal import bring_forward

            return _tell(args, {"schemas": bring_forward(args.folder)}, "the databases can be used")
        update, progress = _update(args)
        os.umask(0o022)
        code: int = globals()[f"_{args.what}"](args, update)
        return code
    except UpdateError as error:
        if progress is not None:
            _note_failure(progress, args.what, error)
        say(str(error))
        if args.json:
            _print({"error": type(error).__name__, "message": str(error), "code": error.code})
        return error.code
    except KeyboardInterrupt:
        say("ended; what was being tried goes on by itself, `allyarm update status` shows it")
        return 1
    finally:
        if progress is not None:
            progress.end()


def _note_failure(progress: Any, what: str, error: Exception) -> None:
    from controller.update.announced import Phase
    from controller.update.failure import NothingNew, RefusedNow

    if what in {"check", "download", "install"} and not isinstance(error, RefusedNow):
        progress.phase(Phase.NONE if isinstance(error, NothingNew) else Phase.FAILED, str(error))


def _update(args: argparse.Namespace) -> tuple[Update, Any]:
    """The board's update with the options of the configuration; UsageError."""
    import sys

    from controller import config
    from controller.cli.reach import address
    from controller.update.failure import UsageError
    from controller.update.places import places
    from controller.update.progress import Progress
    from controller.update.service import Controller, Systemd
    from controller.update.updater import Options, Update

    if args.root == "/" and args.what != "status" and os.geteuid() != 0:
        raise UsageError("only root may: the releases belong to it, so that nobody else can replace the program. Use "
                         "sudo")
    where = places(args.root)
    file = Path(args.config) if args.config else where.configuration
    try:
        found = config.load(file if args.config or file.exists() else None)
    except config.ConfigError as error:
        if args.what not in {"confirm", "rollback"} or args.config:
            raise UsageError(str(error)) from None
        found = config.Config()     # a broken configuration must not keep anybody from going back
    options = found.update
    url = getattr(args, "repository", None) or options.url
    if not url.startswith(("http://", "https://")) and url:
        raise UsageError(f"--repository: found {url[:100]!r}; allowed: http://host/path or https://host/path")
    progress = Progress(where.status, sys.stderr.isatty() and not args.json)
    update = Update(
        Options(where, Path(found.store.path) if found.store.path else where.state, url,
                getattr(args, "channel", None) or options.channel, options.confirm_s, options.start_s),
        Systemd(), Controller(address(found.hmi.host, found.hmi.port), found.hmi.token), progress, _say(progress))
    return update, progress


def _say(progress: Any) -> Callable[[str], None]:
    from controller.cli.fail import say

    def told(text: str) -> None:
        progress.end()
        say(text)

    return told


def _print(value: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode(), flush=True)


def _tell(args: argparse.Namespace, value: object, text: str) -> int:
    if args.json:
        _print(value)
    else:
        print(text, flush=True)
    return 0


def _check(args: argparse.Namespace, update: Update) -> int:
    from controller.update.announced import Phase
    from controller.update.failure import NOTHING_NEW
    from controller.update.files import Lock, make_folder, megabytes

    make_folder(update.options.where.root)
    with Lock(update.options.where.lock):
        found, _, _ = update.check(args.version)
    delta = f", delta {megabytes(found.delta_bytes)}" if found.delta_bytes else ""
    text = f"{found.current} is installed; " + (
        "the repository has no release for this board" if found.newest is None else
        f"the newest is {found.newest} ({found.channel}, {megabytes(found.bytes)}{delta})")
    if found.new and found.notes:
        text += f"\n{found.notes}"
    if found.failed_before:
        text += f"\n{found.newest} was left by this board before: {found.failed_before}"
    update._progress.phase(Phase.NONE, text.partition("\n")[0], found.newest if found.new else "")
    _tell(args, found, text)
    return 0 if found.new else NOTHING_NEW


def _download(args: argparse.Namespace, update: Update) -> int:
    if args.scheduled and not update.options.url:
        from controller.update.failure import NothingNew

        raise NothingNew("update.url is empty: this board gets no releases over the network")
    got = update.download(args.version, args.again)
    return _tell(args, got, f"{got.tree.name} is ready ({_came(got)}): `allyarm update install` switches to it")


def _came(got: Any) -> str:
    from controller.update.files import megabytes

    return "it was there already" if got.by == "installed" else f"by {got.by}, {megabytes(got.downloaded)} downloaded"


def _install(args: argparse.Namespace, update: Update) -> int:
    version, got = update.install(args.version, args.again)
    came = f" ({_came(got)})" if got is not None else ""
    if args.no_wait:
        return _tell(args, {"version": version, "result": "pending", "got": got}, f"{version}{came} is being tried")
    return _followed(args, update, version, came, got)


def _followed(args: argparse.Namespace, update: Update, version: str, came: str, got: object = None) -> int:
    options = update.options
    result, text = update.follow(version, options.start_s + options.confirm_s + FOLLOW_S)
    _tell(args, {"version": version, "result": result, "text": text, "got": got}, f"{text}{came}")
    return 0 if result == "confirmed" else 1


def _confirm(args: argparse.Namespace, update: Update) -> int:
    result = update.trial.gate() if args.gate else update.trial.confirm_now()
    gone: list[str] = []
    if args.prune and result in {"", "confirmed"}:
        from controller.update.files import Lock, make_folder

        make_folder(update.options.where.root)
        with Lock(update.options.where.lock):
            update.board.tidy()
            gone = update.board.prune()
    text = {"": "nothing is being tried", "rolled_back": "the release was left"}.get(result, "the release stays")
    _tell(args, {"result": result, "removed": gone}, text + (f"; removed {', '.join(gone)}" if gone else ""))
    return 0


def _rollback(args: argparse.Namespace, update: Update) -> int:
    if args.service_failed:
        result = update.trial.leave("the service failed: it crashed or could not start too often")
        return _tell(args, {"result": result}, "the release was left" if result else
                     "nothing is being tried: the controller stays down, motor power is off. `journalctl -u allyarm` "
                     "says why")
    tried = update.board.pending()
    version = update.rollback(args.version, args.packaged)
    if tried is not None or args.no_wait:
        return _tell(args, {"version": version}, f"{version} is started")
    return _followed(args, update, version, "")


def _packaged(args: argparse.Namespace, update: Update) -> int:
    version = update.settle_package()
    return _tell(args, {"current": version}, f"{version} is started from now on")


def _status(args: argparse.Namespace, update: Update) -> int:
    from controller.update.clock import Seen, floor, written
    from controller.update.files import read_json

    board = update.board
    current = board.current()
    manifest = board.manifest(current)
    pending, last = board.pending(), board.last()
    seen = read_json(board.where.seen, Seen) or Seen()
    installed = {version: str(tree) for version, tree in board.installed().items()}
    value = {"current": manifest.version if manifest else None, "tree": str(current), "installed": installed,
             "previous": str(board.previous() or "") or None, "pending": pending, "last": last,
             "failed": board.failed(), "url": update.options.url, "channel": update.options.channel,
             "time_floor": written(floor(seen, *board.built())), "metadata": seen.versions}
    lines = [f"{value['current'] or 'no release'} runs from {current}",
             f"on this board: {', '.join(sorted(installed)) or 'nothing'}"]
    if pending is not None:
        lines.append(f"being tried: {pending.version}, back to {pending.before_version} if it fails")
    if last is not None:
        lines.append(f"last update: {last.text} ({last.time})")
    lines += [f"left before: {version}: {why}" for version, why in board.failed().items()]
    return _tell(args, value, "\n".join(lines))

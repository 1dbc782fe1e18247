"""`allyarm-release`: the repository of releases, for who makes them (docs/update.md)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.update.failure import UpdateError, UsageError

if TYPE_CHECKING:
    from controller.update.publish import Publisher

EPILOG = """\
examples:
  allyarm-release init /srv/updates --keys /media/offline/keys
  allyarm-release add /srv/updates allyarm-1.4.2-arm64-py3.13.tar.zst --keys keys --notes "Calmer jog"
  allyarm-release refresh /srv/updates --keys /etc/allyarm-release/online    every day, by a timer
  allyarm-release rotate /srv/updates timestamp --keys keys --drop KEYID     a key was stolen
  allyarm-release list /srv/updates

/srv/updates/metadata and /srv/updates/targets are plain files: any web server or CDN serves them.
Keys: root and targets stay offline; snapshot and timestamp are where `refresh` runs. Their passphrase is asked for, or
taken from $ALLYARM_KEY_PASSPHRASE; --unencrypted makes keys without one, mode 600.
Exit code 0: done. 1: failed. 2: usage, keys. 5: the archive is no proper release. 7: disk.
"""


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code of the epilog."""
    args = _parser().parse_args(argv)
    try:
        os.umask(0o022)
        try:
            from controller.update.publish import Publisher
        except ImportError as error:
            raise UsageError(f"{error}: pip install 'allyarm-controller[release]'") from None
        code: int = args.run(args, Publisher(args.repository, dict(args.days or ())))
        return code
    except UpdateError as error:
        print(f"allyarm-release: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"allyarm-release: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="allyarm-release", description="The repository of AllyArm releases.",
                                     epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("repository", metavar="FOLDER", type=Path, help="the repository")
    common.add_argument("--json", action="store_true", help="the result as JSON")
    signing = argparse.ArgumentParser(add_help=False)
    signing.add_argument("--keys", metavar="FOLDER", type=Path, required=True, action="append",
                         help="folder with private keys; several times for several folders")
    signing.add_argument("--days", metavar="ROLE=N", type=_days, action="append", help="validity of what is signed now "
                         "(default root=365 targets=180 snapshot=60 timestamp=14)")
    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--unencrypted", action="store_true", help="new keys without a passphrase, mode 600")

    def add(name: str, run: Any, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common, *parents], epilog=EPILOG,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
        command.set_defaults(run=run, days=None)
        return command

    command = add("init", _init, "make keys and a repository without a release", signing, making)
    command.add_argument("--root-keys", type=_count, default=3, metavar="N", help="1..20 (default 3)")
    command.add_argument("--root-threshold", type=_count, default=2, metavar="N", help="of them needed (default 2)")
    command.add_argument("--targets-keys", type=_count, default=1, metavar="N", help="1..20 (default 1)")
    command.add_argument("--targets-threshold", type=_count, default=1, metavar="N", help="of them needed (default 1)")
    command = add("add", _add, "offer a release, with deltas from earlier ones", signing)
    command.add_argument("archives", metavar="ARCHIVE", type=Path, nargs="+", help=".tar.zst of a release tree")
    command.add_argument("--channel", choices=("stable", "beta"), default="stable", help="default stable")
    command.add_argument("--notes", default="", help="what is new, up to 2000 characters")
    command.add_argument("--deltas", type=int, choices=range(11), default=3, metavar="N", help="from the newest N "
                                                                                               "releases, "
                         "0..10 (default 3)")
    command.add_argument("--level", type=int, choices=range(1, 20), default=19, metavar="N", help="zstd, 1..19 "
                                                                                                  "(default 19)")
    command = add("remove", _remove, "withdraw a release", signing)
    command.add_argument("version", metavar="VERSION")
    add("refresh", _refresh, "sign the timestamp anew, and what has lived half of its time", signing)
    command = add("rotate", _rotate, "new keys for a role, or none: only a new root for another year", signing, making)
    command.add_argument("role", choices=("root", "targets", "snapshot", "timestamp"))
    command.add_argument("--new", type=int, choices=range(11), default=1, metavar="N", help="new keys, 0..10 (default "
                                                                                            "1)")
    command.add_argument("--drop", metavar="KEYID", action="append", default=[], help="a key that is trusted no longer")
    add("list", _list, "releases, keys, and until when everything is valid")
    return parser


def _count(text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 20:
        return int(text)
    raise argparse.ArgumentTypeError(f"found {text!r}; allowed: 1..20")


def _days(text: str) -> tuple[str, int]:
    role, _, days = text.partition("=")
    if role in {"root", "targets", "snapshot", "timestamp"} and days.isdigit() and 1 <= int(days) <= 3650:
        return role, int(days)
    raise argparse.ArgumentTypeError(f"found {text!r}; allowed: root, targets, snapshot or timestamp, = 1..3650")


def _passphrase(args: argparse.Namespace, making: bool = False) -> Any:
    known: dict[str, bytes] = {}

    def ask(name: str) -> bytes | None:
        if making and args.unencrypted:
            return None
        if "" in known:
            return known[""]
        given = os.environ.get("ALLYARM_KEY_PASSPHRASE")
        if given is None:
            import getpass

            if not sys.stdin.isatty():
                raise UsageError(f"the passphrase of {name} is needed: set ALLYARM_KEY_PASSPHRASE, run at a terminal"
                                 + (", or --unencrypted" if making else ""))
            given = getpass.getpass(f"passphrase of the keys ({name}): ")
            if making and getpass.getpass("again: ") != given:
                raise UsageError("the two are not the same")
        known[""] = given.encode()
        return known[""]

    return ask


def _signers(args: argparse.Namespace) -> dict[str, list[Any]]:
    from controller.update.release_keys import ROLES, load

    ask = _passphrase(args)
    found: dict[str, list[Any]] = {role: [] for role in ROLES}
    for folder in args.keys:
        for role, signers in load(folder, ROLES, ask).items():
            found[role] += signers
    return found


def _tell(args: argparse.Namespace, value: object, text: str) -> int:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() if args.json else text, flush=True)
    return 0


def _init(args: argparse.Namespace, publisher: Publisher) -> int:
    from controller.update.release_keys import make

    counts = {"root": args.root_keys, "targets": args.targets_keys, "snapshot": 1, "timestamp": 1}
    thresholds = {"root": args.root_threshold, "targets": args.targets_threshold}
    for role, threshold in thresholds.items():
        if threshold > counts[role]:
            raise UsageError(f"--{role}-threshold: found {threshold}; allowed: up to --{role}-keys, {counts[role]}")
    if (publisher.metadata / "1.root.json").exists():
        raise UsageError(f"{publisher.folder} is a repository already")
    ask = _passphrase(args, making=True)
    signers = {role: [make(args.keys[0], role, ask) for _ in range(count)] for role, count in counts.items()}
    publisher.init(signers, thresholds)     # type: ignore[arg-type]
    root = publisher.metadata / "1.root.json"
    return _tell(args, {"root": str(root), "keys": str(args.keys[0])},
                 f"{publisher.folder} is a repository; its first root, {root}, belongs into the package "
                 f"(/usr/share/allyarm/root.json).\nTake the keys root-* and targets-* from {args.keys[0]} to where no "
                 "network is.")


def _add(args: argparse.Namespace, publisher: Publisher) -> int:
    signers = _signers(args)
    done = [publisher.add(archive, signers, channel=args.channel, notes=args.notes, deltas=args.deltas,
                          level=args.level, say=lambda text: print(text, file=sys.stderr, flush=True))
            for archive in args.archives]
    return _tell(args, done, "\n".join(f"{item.name}: {item.length} bytes" for item in done))


def _remove(args: argparse.Namespace, publisher: Publisher) -> int:
    gone = publisher.remove(args.version, _signers(args))
    return _tell(args, gone, f"withdrawn: {', '.join(gone)}")


def _refresh(args: argparse.Namespace, publisher: Publisher) -> int:
    left = publisher.refresh(_signers(args))
    until = publisher.load("timestamp").signed.expires
    return _tell(args, {"until": until, "soon": left}, "\n".join([f"valid until {until}", *left]))


def _rotate(args: argparse.Namespace, publisher: Publisher) -> int:
    from controller.update.release_keys import make

    signers = _signers(args)
    new = [make(args.keys[0], args.role, _passphrase(args, making=True)) for _ in range(args.new)]
    version = publisher.rotate(args.role, signers, new, args.drop)    # type: ignore[arg-type]
    signers[args.role] += new
    publisher.resign(args.role, signers)
    return _tell(args, {"root": version, "new": [item.public_key.keyid for item in new]},
                 f"root {version} is published; boards follow it by themselves")


def _list(args: argparse.Namespace, publisher: Publisher) -> int:
    from controller.update.clock import written
    from controller.update.offers import DeltaOffer, ReleaseOffer
    from controller.update.publish import roles_of
    from controller.update.release_keys import ROLES
    from controller.update.version import order

    root = publisher.load("root").signed
    until = {role: written(publisher.load(role).signed.expires) for role in ROLES}
    offers = sorted(publisher.offers(), key=lambda item: (order(item.offer.version), isinstance(item.offer, DeltaOffer),
                                                          item.name))
    lines = [f"{item.offer.version:14} {item.offer.architecture} py{item.offer.python:5} {item.offer.channel:7} "
             f"{item.length:>10} bytes  {item.name}" if isinstance(item.offer, ReleaseOffer) else
             f"{'':14} delta from {item.offer.before:16} {item.length:>10} bytes  {item.name}" for item in offers]
    lines += [f"{role}: valid until {until[role]}, {threshold} of {len(keys)} keys: {', '.join(keys)}"
              for role, threshold, keys in roles_of(root)]
    return _tell(args, {"offers": offers, "until": until, "roles": list(roles_of(root))}, "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())

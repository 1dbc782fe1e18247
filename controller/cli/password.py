"""`allyarm password`: passwords of the access levels that the HMI page logs in with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.spec import rest

if TYPE_CHECKING:
    from controller.hmi.login_passwords import Passwords

EPILOG = """\
examples:
  allyarm password set --level Admin                                   asks for it twice
  pass show arm/admin | allyarm password set --level Admin             takes one line from standard input
  sudo allyarm password set --level Base --folder /var/lib/allyarm     for the controller that systemd runs
  allyarm password list
  allyarm password remove --level Advance

There are no default passwords: a level without one cannot log in. A running controller takes a change at once, and
tokens that were made with the former password end.
Exit code 0: done. 1: the file could not be used. 2: usage, or a password that is not allowed.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "password", help="set the passwords of the HMI's access levels",
        description="Set, remove or list the passwords of the access levels. Only their hashes are stored.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("set", "remove", "list"))
    parser.add_argument("--level", choices=tuple(rest.LEVELS), help="access level; needed for set and remove")
    parser.add_argument("--config", metavar="FILE", help="take the folder from a configuration file (store.path)")
    parser.add_argument("--folder", metavar="DIR", help="the controller's state folder")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Do it; 0 done, 1 file, 2 usage or password."""
    from controller import config
    from controller.cli.fail import say
    from controller.folders import state_folder
    from controller.hmi.login_passwords import PasswordError, Passwords

    if args.what != "list" and not args.level:
        say(f"password {args.what}: --level is missing; allowed: {', '.join(rest.LEVELS)}")
        return 2
    try:
        settings = config.load(Path(args.config) if args.config else None)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    passwords = Passwords(Path(args.folder or state_folder(settings.store.path)))
    try:
        if args.what == "list":
            stored = passwords.read()
            for level in rest.LEVELS:
                print(f"{level}: {'set' if level in stored else 'none: cannot log in'}")
        elif args.what == "remove":
            removed = passwords.remove(args.level)
            print(f"{args.level}: {'removed' if removed else 'had none'} ({passwords.path})")
        else:
            return _set(passwords, args.level)
    except (PasswordError, OSError) as error:
        say(str(error))
        return 1
    return 0


def _set(passwords: Passwords, level: str) -> int:
    from controller.cli.fail import say
    from controller.hmi.login_passwords import check_length

    try:
        password = _asked(level)
    except EOFError:
        say("no password was given")
        return 2
    if problem := check_length(password):
        say(problem)
        return 2
    passwords.set(level, password)
    print(f"{level}: set ({passwords.path})")
    return 0


def _asked(level: str) -> str:
    """From the terminal, twice, unseen; or a line of standard input. Never from the command line, which others see."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")
    from getpass import getpass

    while True:
        password = getpass(f"new password of {level}: ")
        if password == getpass("once more: "):
            return password
        print("they differ", file=sys.stderr)

"""`allyarm board-update`: new firmware for the base board or a drive, through a running controller."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.cli.reach import MAX_BYTES, NoAnswer, Usage, add_arguments, get_json, shown, target
from controller.spec import board as spec
from controller.spec.telegram import MAX_AXES

if TYPE_CHECKING:
    from controller.cli.reach import Target

EPILOG = """\
examples:
  allyarm board-update base-1.4.bin --node 0 --expect 1.4      the base board; register 7 is to show 1.4 afterwards
  allyarm board-update drive.bin --node 3                      drive 3; the hash is in drive.bin.sha256
  allyarm board-update drive.bin --node 3 --sha256 9f86d0...   or given here

Motor power has to be off; nothing can be powered until the update has ended. The board fetches the image from the
controller over its Wi-Fi (docs/board-update.md). Ctrl-C withdraws the image as long as the board has not all of it.
Exit code 0: done. 1: refused, failed, or not known to be in use. 2: usage. 130: ended by Ctrl-C.
"""
POLL_S = 0.2
UPLOAD_S = spec.UPLOAD_S + spec.ORDER_S + 5
SUM_LINE = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(\S.*))?")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "board-update", help="new firmware for the base board or a drive",
        description="Update the firmware of the base board or a drive through a running controller.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=Path, help="the image, as the maker of the board delivers it")
    parser.add_argument("--node", metavar="N", type=int, required=True, help=f"0 the base board, 1..{MAX_AXES} a drive")
    parser.add_argument("--sha256", metavar="HEX", help="its SHA-256; left out: it is in FILE.sha256")
    parser.add_argument("--expect", metavar="VERSION", default="",
                        help="version that the base board is to show afterwards")
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Update; 0 done, 1 refused or failed, 2 usage."""
    from controller.cli.fail import say

    try:
        if not 0 <= args.node <= MAX_AXES:
            raise Usage(f"--node: found {args.node}; allowed: 0, the base board, or a drive 1..{MAX_AXES}")
        if args.expect and not re.match(spec.VERSION_PATTERN, args.expect):
            raise Usage("--expect: allowed are 1..32 printable ASCII characters without blanks and '*'")
        content = read_image(args.file)
        sha256 = checked(args.file, content, args.sha256)
        found = target(args)
    except Usage as error:
        say(str(error))
        return 2
    try:
        _post(found, "/board_update", {"node": str(args.node), "sha256": sha256, **(
            {"version": args.expect} if args.expect else {})}, content, UPLOAD_S)
        return follow(found)
    except NoAnswer as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return _cancel(found)


def read_image(file: Path) -> bytes:
    """Its bytes; Usage when there is no such file or its size is not one of an image."""
    try:
        with file.open("rb") as stream:
            content = stream.read(spec.IMAGE_BYTES_HIGHEST + 1)
    except OSError as error:
        raise Usage(f"{file}: {error.strerror or error}") from None
    if not 1 <= len(content) <= spec.IMAGE_BYTES_HIGHEST:
        raise Usage(f"{file}: found {'more' if content else '0 bytes'}; allowed: 1..{spec.IMAGE_BYTES_HIGHEST} bytes")
    return content


def checked(file: Path, content: bytes, given: str | None) -> str:
    """The image's SHA-256, which is the one given or that in FILE.sha256; Usage otherwise."""
    import hashlib

    where = "--sha256"
    if given is None:
        where = f"{file}.sha256"
        try:
            text = Path(where).read_text(encoding="ascii", errors="replace")[:4096]
        except OSError as error:
            raise Usage(f"{where}: {error.strerror or error}; its maker's SHA-256 is needed, there or with "
                        "--sha256") from None
        lines = [match for line in text.splitlines() if (match := SUM_LINE.fullmatch(line.strip()))]
        own = [match[1] for match in lines if match[2] in {None, file.name}]
        given = own[0] if own else ""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        raise Usage(f"{where}: 64 hexadecimal digits are needed, the SHA-256 of {file.name}")
    found = hashlib.sha256(content).hexdigest()
    if found != given.lower():
        raise Usage(f"{file}: its SHA-256 is {found}, not {given.lower()} as {where} says: it is damaged or another "
                    "file; nothing was sent")
    return found


def follow(found: Target) -> int:
    """Show progress until the end; 0 done."""
    import sys
    import time

    from controller.cli.fail import say

    last = ""
    while True:
        update = get_json(found.url, "/status.json", found.token).get("board_update") or {}
        phase, message = shown(update.get("phase")), shown(update.get("message"))
        size = update.get("size_bytes") or 1
        percent = f"{100 * (update.get('fetched_bytes') or 0) // size:3d} %"
        line = f"{percent}  {message}" if phase == "FETCHING" else message
        if phase in {"DONE", "UNCONFIRMED", "FAILED", "NONE"}:
            if phase == "DONE":
                print(message, flush=True)
                return 0
            say(message if phase != "NONE" else "the controller was started anew: the update has ended; see what "
                "`allyarm status` says of the arm")
            return 1
        if line != last:
            print(line, flush=True, file=sys.stderr)
            last = line
        time.sleep(POLL_S)


def _cancel(found: Target) -> int:
    """Ctrl-C."""
    from controller.cli.fail import say

    try:
        _post(found, "/board_update_cancel", {}, b"", 5.0)
        say("the image is withdrawn; nothing was updated")
    except NoAnswer as error:
        say(str(error))
    return 130


def _post(found: Target, path: str, query: dict[str, str], body: bytes, timeout_s: float) -> Any:
    """The JSON answer; NoAnswer says why it was refused."""
    import http.client
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

    headers = {"Content-Type": "application/octet-stream"}
    if found.token:
        headers["Authorization"] = f"Bearer {found.token}"
    where = f"{found.url}{path}{'?' + urllib.parse.urlencode(query) if query else ''}"
    try:
        request = urllib.request.Request(where, data=body, method="POST", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy never knows the way to an arm
        with opener.open(request, timeout=timeout_s) as answer:
            return json.loads(answer.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        try:
            why = shown(json.loads(error.read(10_000))["message"])
        except (OSError, ValueError, KeyError, TypeError):
            why = "something else than a controller, or an older one, listens there"
        raise NoAnswer(f"refused ({error.code}): {why}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"no controller answers at {found.url} ({getattr(error, 'reason', None) or error}): start it "
                       "with `allyarm run`, or name its address with --url") from None

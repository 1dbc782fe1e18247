"""How a command finds a controller: its address and token, its folder, and what it answers over HTTP."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from controller.spec.hmi import DEFAULT_PORT

DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
TIMEOUT_S = 6.0
MAX_BYTES = 4_000_000


class NoAnswer(Exception):
    """Nothing that speaks like a controller answers; says why and what to do."""


class Usage(Exception):
    """The command line or the configuration is wrong; says what is allowed."""


class Target(msgspec.Struct, frozen=True):
    """A controller: `url` and `token` of its HMI server, `folder` of its files; `remote` when only the URL counts."""

    url: str
    token: str
    folder: Path
    remote: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--url and --config."""
    parser.add_argument("--url", metavar="URL", help=f"address of its HMI server (default {DEFAULT_URL})")
    parser.add_argument("--config", metavar="FILE", help="take address, token and folder from a configuration file")


def target(args: argparse.Namespace) -> Target:
    """What --url, --config and $ALLYARM_TOKEN name; raises Usage."""
    import os

    from controller.folders import state_folder

    url, token, folder = args.url or DEFAULT_URL, os.environ.get("ALLYARM_TOKEN", ""), ""
    if args.config:
        from controller import config

        try:
            found = config.load(Path(args.config))
        except config.ConfigError as error:
            raise Usage(str(error)) from None
        url, token = args.url or address(found.hmi.host, found.hmi.port), token or found.hmi.token
        folder = found.store.path
    if not url.startswith(("http://", "https://")):
        raise Usage(f"--url: found {url!r}; allowed: http://host:port or https://host:port")
    return Target(url.rstrip("/"), token, Path(state_folder(folder)), bool(args.url))


def address(host: str, port: int) -> str:
    """URL of a configured HMI address; one that listens everywhere is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def get_json(url: str, path: str, token: str = "", timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON at `path` of the controller at `url`; NoAnswer says what is wrong there."""
    import http.client
    import json
    import urllib.error
    import urllib.request

    where = f"{url.rstrip('/')}{path}"
    try:
        request = urllib.request.Request(where, headers={"Authorization": f"Bearer {token}"} if token else {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy never knows the way to an arm
        with opener.open(request, timeout=timeout_s) as answer:
            return json.loads(answer.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        hint = {401: ": it asks for a token, give it in $ALLYARM_TOKEN or --config", 403: ": access is refused",
                404: ": something else than a controller listens there"}.get(error.code) or f": {_error(error)}"
        raise NoAnswer(f"{where} answered {error.code}{hint}") from None
    except TimeoutError:  # of the answer: what fails on the way there is an URLError
        raise NoAnswer(f"{url} takes the connection and does not answer for {timeout_s:g} s: the controller hangs. "
                       "Press the emergency button if the arm has to be stopped, then restart the controller "
                       "(`systemctl restart allyarm`, or end `allyarm run` and start it again).") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"no controller answers at {url} ({getattr(error, 'reason', None) or error}). "
                       "Start it with `allyarm run`, or name its address with --url.") from None
    except (ValueError, RecursionError):  # not JSON, not text, or no URL
        raise NoAnswer(f"{where} does not answer like a controller: something else listens there, or the address is "
                       "wrong") from None


def _error(answer: Any) -> str:
    """What the answer to a refused request says."""
    import json

    try:
        return shown(json.loads(answer.read(10_000))["message"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "refused"


def shown(value: object) -> str:
    """Text of others for a terminal: nothing in it steers it."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))

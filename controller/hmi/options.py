"""Options of the HMI server, and whether they are safe together."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from controller.spec import hmi
from controller.spec.faults import Language
from controller.update.places import STATUS

if TYPE_CHECKING:
    from controller.config import Config
    from controller.input.options import InputOptions


class HmiOptions(msgspec.Struct, frozen=True):
    """`host` and `port` (0: any free one), `rate_hz` of `data` (1..100), `allowed_origins` beyond the same host and
    loopback ("https://name:port"), `token` that clients of other machines pass, `insecure` to do without one,
    `language` of errors and warnings; `input` lets input devices move the arm. `update_status` is the file in which an
    update of the program says what it does, `board_address` the address of this machine that the base board fetches
    firmware from ("": `host`).
    """

    host: str = "127.0.0.1"
    port: int = hmi.DEFAULT_PORT
    rate_hz: float = hmi.RATE_DEFAULT_HZ
    allowed_origins: tuple[str, ...] = ()
    token: str = ""
    insecure: bool = False
    max_clients: int = 200
    stalled_s: float = hmi.STALLED_S
    language: Language = "en"
    input: InputOptions | None = None
    update_status: str = STATUS
    board_address: str = ""

    @classmethod
    def from_config(cls, config: Config) -> HmiOptions:
        """Options of the [hmi] section of the configuration."""
        section = config.hmi
        devices = None
        if config.input.enabled:
            from controller.input.options import InputOptions

            devices = InputOptions.from_config(config)
        return cls(section.host, section.port, section.rate_hz, section.allowed_origins, section.token,
                   section.insecure, language=section.language, input=devices,
                   board_address=section.board_address)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_host(origin: str) -> str:
    """Host of "scheme://host[:port]"; "" when it is not of that form."""
    try:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or parts.path not in {"", "/"}:
            return ""
        return parts.hostname or ""
    except ValueError:
        return ""


def check_options(options: HmiOptions) -> None:
    """ValueError that names the option and what is allowed."""
    if not options.host:
        raise ValueError("hmi.host is empty: allowed is a name or an address of this machine, as 127.0.0.1")
    if not 0 <= options.port <= 65535:
        raise ValueError(f"hmi.port {options.port}: allowed 0..65535")
    if not hmi.RATE_MINIMUM_HZ <= options.rate_hz <= hmi.RATE_MAXIMUM_HZ:
        raise ValueError(f"hmi.rate_hz {options.rate_hz}: allowed {hmi.RATE_MINIMUM_HZ:g}..{hmi.RATE_MAXIMUM_HZ:g}")
    if not 1 <= options.max_clients <= 1000:
        raise ValueError(f"hmi.max_clients {options.max_clients}: allowed 1..1000")
    for origin in options.allowed_origins:
        if not origin_host(origin):
            raise ValueError(f"hmi.allowed_origins: {origin!r} is not of the form https://name:port")
    if options.token and not (len(options.token) >= 16 and options.token.isascii() and options.token.isprintable()):
        raise ValueError("hmi.token: at least 16 printable ASCII characters are needed")
    if not is_loopback(options.host) and not options.token and not options.insecure:
        raise ValueError(f"hmi.host {options.host} can be reached from other machines: set hmi.token, or write "
                         "insecure = true to let everyone on the network move the arm")

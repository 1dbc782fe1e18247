"""Who may talk to the server: allowed origins, host names and the token.

A page of another site can make a browser open a socket here, and a name it controls can be made to resolve to this
machine (DNS rebinding), so neither Origin nor Host is believed unless it names this machine or is configured.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping

from controller.hmi.options import HmiOptions, is_loopback, origin_host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Access:
    """Decides per request; keeps no state."""

    def __init__(self, options: HmiOptions) -> None:
        self._token = options.token
        self._origins = frozenset(origin.rstrip("/").lower() for origin in options.allowed_origins)
        own = socket.gethostname().lower()
        self._names = {own, f"{own}.local", own.partition(".")[0], options.host.lower()}
        self._names |= {origin_host(origin) for origin in self._origins}

    def host_allowed(self, host_header: str) -> bool:
        """Whether the Host header names this machine: an address, loopback, its host name or a configured one."""
        host = origin_host(f"http://{host_header}")
        return _is_address(host) or is_loopback(host) or host in self._names

    def origin_allowed(self, origin: str | None, host_header: str) -> bool:
        """Same host on any port, loopback, or configured. No Origin at all is no browser page."""
        if origin is None:
            return True
        if origin.lower() in self._origins:
            return True
        host = origin_host(origin)
        if not host:
            return False
        same = host == origin_host(f"http://{host_header}") and self.host_allowed(host_header)
        return same or is_loopback(host)

    @property
    def closed(self) -> bool:
        """Whether clients have to show who they are."""
        return bool(self._token)

    def given(self, headers: Mapping[str, str], auth: object = None) -> str | None:
        """The token that Socket.IO `auth: {token}` or a bearer header carries, None when neither does."""
        given = auth.get("token") if isinstance(auth, dict) else None
        if not isinstance(given, str):
            kind, _, given = headers.get("Authorization", "").partition(" ")
            if kind.lower() != "bearer":
                return None
        return given or None

    def is_token(self, given: str) -> bool:
        """Whether it is the configured token."""
        return self.closed and hmac.compare_digest(given.encode(errors="replace"), self._token.encode())

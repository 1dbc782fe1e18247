"""systemd's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET; without a systemd nothing happens."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends READY, STATUS and WATCHDOG; `interval_s` is half of systemd's watchdog time, 0 when there is none."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        microseconds = os.environ.pop("WATCHDOG_USEC", "0")
        self.interval_s = int(microseconds) / 2e6 if microseconds.isdigit() else 0.0

    def send(self, text: str) -> None:
        """Send e.g. "READY=1"; a systemd that does not listen is no reason to stop an arm."""
        if self._socket is not None:
            try:
                self._socket.sendto(text.encode(), self._address)
            except OSError:
                self._socket.close()
                self._socket = None

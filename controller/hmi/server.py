"""The HMI thread from outside: start, stop, the arm's facts, the line's, and whether it is alive.

Thread contract: these methods are called from the main thread. The server's libraries (200 ms of imports) are loaded
in the HMI thread itself, so the control loop is running long before. That thread reads the core through its own reader,
pushes commands and can stop the arm; it cannot make the control thread wait.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from controller.arm import ArmFacts
from controller.bus.board_registers import BoardWrites
from controller.history import History
from controller.hmi.options import HmiOptions, check_options
from controller.link import LinkReport
from controller.store import Store

if TYPE_CHECKING:
    from controller._core import Core
    from controller.hmi.service import Service

__all__ = ["HmiOptions", "HmiServer", "check_options"]
ALIVE_S = 2.0
FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}   # linux/in.h, in6.h
SEND_BUFFER_BYTES = 32768  # small, so that a client that does not read shows within seconds
log = logging.getLogger(__name__)


@contextlib.contextmanager
def _servers_only() -> Iterator[None]:
    """Keeps the libraries from loading what only their clients use; this server opens no connection.

    `import aiohttp` means its client too, with a TLS context that reads every certificate of the machine (80 ms, 5 MB);
    engineio imports `requests` where it is installed (30 ms, 6 MB).
    """
    _aiohttp_without_client()
    hidden = "requests" not in sys.modules
    if hidden:
        sys.modules["requests"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["requests"]


def _aiohttp_without_client() -> None:
    """Put the package `aiohttp` in place and leave its `__init__` for whoever asks for a name in it: that is only the
    client's names and the version. `aiohttp.web`, and what that imports, are found in the package as ever."""
    if "aiohttp" in sys.modules:
        return
    from importlib.util import find_spec, module_from_spec

    spec = find_spec("aiohttp")
    if spec is None or spec.origin is None or spec.loader is None:
        return
    loader, module = spec.loader, cast(Any, module_from_spec(spec))
    with open(spec.origin, encoding="utf-8") as source:
        first, _, version = source.readline().partition(" = ")
    if first == "__version__":      # web asks for it; else the first to ask is web, and nothing is gained
        module.__version__ = version.strip().strip("\"'")

    def complete(name: str) -> Any:
        if name.startswith("_") or find_spec(f"aiohttp.{name}") is not None:
            raise AttributeError(name)      # a part of the package: the import system finds it
        del module.__getattr__
        loader.exec_module(module)
        return getattr(module, name)

    module.__getattr__ = complete
    sys.modules["aiohttp"] = module


class HmiServer:
    """The Socket.IO server in a thread of its own; without a history it keeps one in memory. ValueError when the
    options are not safe together."""

    def __init__(self, core: Core, options: HmiOptions, store: Store, facts: ArmFacts,
                 history: History | None = None) -> None:
        check_options(options)
        self._history = history or History()
        self._core, self._options, self._store, self._facts = core, options, store, facts
        self._link = LinkReport()
        self.board_writes = BoardWrites()
        self._thread: threading.Thread | None = None
        self._service: Service | None = None
        self._listening = threading.Event()
        self._failure: BaseException | None = None
        self.address = ""

    def start(self) -> None:
        """Returns once the socket is listening; OSError says what is wrong with the address and what to do."""
        listener = self._listen()
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._thread = threading.Thread(target=self._run, args=(listener,), name="hmi", daemon=True)
        self._thread.start()
        self._listening.wait()
        if self._failure is not None:
            raise OSError(f"HMI server on {self.address}: {self._failure}") from self._failure

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Disconnect everyone and end the thread; False when it did not end in time."""
        if self._thread is None:
            return True
        if self._service is not None:
            self._service.quit()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("the HMI thread did not end within %g s", timeout_s)
            return False
        self._thread = None
        return True

    def set_arm(self, facts: ArmFacts) -> None:
        """The arm as the latest bring-up found it."""
        self._facts = facts
        if self._service is not None:
            self._service.arm_changed(facts)

    def set_link(self, link: LinkReport) -> None:
        """What the main thread knows about the line, whenever it changed; shown in the status."""
        self._link = link
        if self._service is not None:
            self._service.link = link

    def alive(self) -> bool:
        """Whether the HMI thread did its round within the last two seconds (for the service watchdog)."""
        service, thread = self._service, self._thread
        return (service is not None and thread is not None and thread.is_alive()
                and time.monotonic() - service.last_round_s < ALIVE_S)

    def ended(self) -> bool:
        """Whether the HMI thread is gone for good, not merely late."""
        return self._thread is not None and not self._thread.is_alive()

    def _listen(self) -> socket.socket:
        options = self._options
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted ones inherit it
            try:
                listener.bind((options.host, options.port))
            except OSError as error:
                # At boot the address may come later, with the network: as a service it is listened on all the same.
                if error.errno != errno.EADDRNOTAVAIL or "INVOCATION_ID" not in os.environ:
                    raise
                listener.setsockopt(*FREEBIND[family], 1)
                listener.bind((options.host, options.port))
                log.warning("%s is not an address of this machine yet: the HMI is reached as soon as it is",
                            options.host)
            listener.listen(128)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            where = f"{options.host} port {options.port}"
            if error.errno == errno.EADDRINUSE:
                text = (f"{where} is in use by another program (another allyarm?): stop that one, or choose another "
                        "port with --hmi-port or hmi.port; 0 takes a free one")
            elif error.errno in {errno.EADDRNOTAVAIL, None} or isinstance(error, socket.gaierror):
                text = f"{options.host} is not an address of this machine: set hmi.host, 127.0.0.1 is the default"
            elif error.errno == errno.EACCES:
                text = f"{where} needs more rights: choose a port above 1023 with --hmi-port or hmi.port"
            else:
                text = f"{where}: {error.strerror}"
            raise OSError(error.errno or 0, text) from None
        return listener

    def _run(self, listener: socket.socket) -> None:
        try:
            import asyncio

            import uvloop

            with _servers_only():
                from controller.hmi.service import Service

            runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
            loop = runner.get_loop()
        except BaseException as error:
            listener.close()
            self._failure = error
            self._listening.set()
            return
        try:
            service = Service(self._core, self._options, self._store, self._facts, history=self._history,
                              loop=loop, board_writes=self.board_writes)
            runner.run(service.serve(listener, lambda: self._opened(service)))
        except BaseException as error:
            if self._listening.is_set():
                log.exception("the HMI thread ended by a fault; the control loop goes on")
            self._failure = error
        finally:
            self._service = None
            runner.close()
            self._listening.set()

    def _opened(self, service: Service) -> None:
        self._service = service
        if service.facts is not self._facts:  # a bring-up finished meanwhile
            service.arm_changed(self._facts)
        service.link = self._link
        self._listening.set()

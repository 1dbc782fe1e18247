"""Boot of the installed service: power on to a safe state, a living loop, and the first `data` at a client."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import Missing
from benchmarks.table import Aim, Cell, Table, show

LOOP_ALIVE_MS, FIRST_DATA_MS = 1000.0, 2000.0
SERVICE = "allyarm.service"
# Connects as soon as the port is there, and tells when the first `data` was received. Runs in the machine's network.
CLIENT = """
import asyncio, time, aiohttp

async def main():
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect("http://127.0.0.1:3001/socket.io/?EIO=4&transport=websocket") as line:
                    await line.receive()
                    await line.send_str("40")
                    async for message in line:
                        text = message.data if isinstance(message.data, str) else ""
                        if text.startswith(("42[\\"data\\"", "451-[\\"data\\"")):
                            print(time.monotonic_ns())
                            return
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.002)

asyncio.run(asyncio.wait_for(main(), 30))
"""


def boot_once() -> dict[str, float]:
    """Milliseconds of one boot, from power on and from the start of the service's process."""
    from tests.system.builds import package
    from tests.system.machine import Machine

    with tempfile.TemporaryDirectory(prefix="allyarm-boot-") as folder:
        machine = Machine(Path(folder) / "machine")
        try:
            machine.install(package())
            power_on = machine.boot(wait=False) * 1e9
            client = subprocess.run(machine.beside(sys.executable, "-c", CLIENT), capture_output=True, text=True,
                                    check=True)
            status = machine.until(lambda: (found := machine.status()).get("state") == "WAITING" and found, 20)
            machine.until(lambda: machine.property(SERVICE, "ActiveState") == "active", 10)
            while not (first := machine.status()["realtime"]["first_cycle_ns"]):  # type: ignore[index]
                time.sleep(0.2)
            process = int(machine.property(SERVICE, "ExecMainStartTimestampMonotonic")) * 1e3
            ready = int(machine.property(SERVICE, "ActiveEnterTimestampMonotonic")) * 1e3
            return {"power on: service process": (process - power_on) / 1e6,
                    "service process: loop alive": (first - process) / 1e6,
                    "service process: first `data`": (int(client.stdout) - process) / 1e6,
                    "service process: safe state, start checks good": (status["state_since_ns"] - process) / 1e6,  # type: ignore[operator]
                    "service process: READY": (ready - process) / 1e6,
                    "power on: first `data`": (int(client.stdout) - power_on) / 1e6}
        finally:
            machine.close()


def run(quick: bool) -> list[Table]:
    """One table of medians over several boots."""
    from tests.system.machine import missing

    if why := missing():
        raise Missing(why)
    boots = 2 if quick else 7
    found: dict[str, list[float]] = {}
    for _ in range(boots):
        for name, value in boot_once().items():
            found.setdefault(name, []).append(value)
    rows: list[list[Cell]] = [[name, median(values), min(values), max(values)] for name, values in found.items()]
    return [Table(
        "Boot, ms", ["from: to", "median", "least", "most"], rows,
        f"{boots} boots of Debian 12 with a real systemd in systemd-nspawn: the package installed, its own simulated "
        "arm, a client that connects as early as it can. Power on is the "
        "start of systemd-nspawn: no firmware, no kernel.",
        [Aim(name, median(found[name]), limit, "ms") for name, limit in
         (("service process: loop alive", LOOP_ALIVE_MS), ("service process: first `data`", FIRST_DATA_MS))])]


if __name__ == "__main__":
    show(run(quick=True))

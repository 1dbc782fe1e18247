"""What the base board's text registers may hold: Wi-Fi credentials, and the order to update firmware."""

from __future__ import annotations

import msgspec

from controller.spec import registers as reg

CHARACTER = r"[\x20-\x29\x2b-\x7e]"  # printable ASCII but `*`, which ends a text on the line
LETTER = r"[\x21-\x29\x2b-\x7e]"  # the same without blanks


class BoardText(msgspec.Struct, frozen=True):
    """One register. `pattern` matches the whole of every value that is allowed."""

    address: int
    pattern: str
    allowed: str

    @property
    def name(self) -> str:
        return reg.at(self.address)[0].name


# In the order they are written: the network must be known before an update is fetched over it.
BOARD_TEXTS: dict[str, BoardText] = {row.name: row for row in (
    BoardText(reg.WIFI_SSID, rf"^{CHARACTER}{{1,32}}\Z", "1..32 printable ASCII characters without '*'"),
    BoardText(reg.WIFI_PASSWORD, rf"^({CHARACTER}{{8,63}})?\Z",
              "8..63 printable ASCII characters without '*', or empty for an open network"),
    BoardText(reg.BOARD_UPDATE, rf"^[0-8];https?://{LETTER}{{1,190}}\Z",
              "index;url: 0 for the base board or the number of a drive, and an http or https address of up to 198 "
              "ASCII characters without blanks and '*'"),
)}

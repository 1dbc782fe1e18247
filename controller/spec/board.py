"""What the base board's text registers may hold: Wi-Fi credentials, and the order to update firmware; its limits."""

from __future__ import annotations

import msgspec

from controller.spec import registers as reg
from controller.spec.coded import Coded

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


IMAGE_PATH = "/board_image"  # with ?sha256=..., which reaches the board over the line: the radio cannot change it
IMAGE_BYTES_HIGHEST = 4 * 1024 * 1024  # the largest flash of the controllers used in drives, twice
SHA256_PATTERN = r"^[0-9a-f]{64}\Z"
VERSION_PATTERN = r"^[\x21-\x29\x2b-\x7e]{1,32}\Z"
UPLOAD_S = 30.0  # for the image to reach the controller
ORDER_S = 30.0  # for the board to confirm register 6
ASK_S = 60.0  # for the board to begin a download
STALL_S = 20.0  # a download without progress
SETTLE_S = 1.5  # after the last byte, before the board is spoken to: it is silent from then until it is done
FLASH_S = 300.0  # for the board to answer again
DOWNLOADS_HIGHEST = 8


class UpdatePhase(Coded):
    """Its name is `board_update.phase` of the `state` message."""

    NONE = 0, "no update since the controller started"
    ORDERED = 1, "the order is on its way to the board"
    OFFERED = 2, "the image is offered, the board has not asked for it (again) yet"
    FETCHING = 3, "the board downloads the image"
    FLASHING = 4, "the board has the whole image; it is waited for until it answers again"
    DONE = 5, "the board answers again, and nothing speaks against it"
    UNCONFIRMED = 6, "the board answers again, but the image is not known to be in use"
    FAILED = 7, "the update did not take place, or the board does not answer"

    @property
    def under_way(self) -> bool:
        """Whether the line is kept from the control loop, so that nothing can be powered."""
        return UpdatePhase.ORDERED <= self <= UpdatePhase.FLASHING

"""What the history keeps: the kinds of its entries, and its bounds."""

from __future__ import annotations

from controller.spec.coded import Coded

ROWS_MINIMUM, ROWS_DEFAULT, ROWS_MAXIMUM = 1000, 100_000, 10_000_000
ERRORS_KEPT = 100       # the latest errors stay, however many other entries came after them
READ_LIMIT = 1000       # entries of one reading
READ_DEFAULT = 100


class Kind(Coded):
    """Its name in lower case is `kind` of an entry."""

    PROGRAM = 1, "the program started or ended"
    ERROR = 2, "an error was raised: code and axis (0 the controller)"
    ERROR_CLEARED = 3, "an error is no longer active"
    WARNING = 4, "a warning was raised"
    WARNING_CLEARED = 5, "a warning is no longer active, or was withdrawn"
    STATE = 6, "the master state changed, and why"
    MODE = 7, "the master mode changed"
    START = 8, "a motion command was accepted: whose, and which"
    STOP = 9, "a stop was acted on, with its category; or a client asked for one"
    COMMAND = 10, "another command, or one that was refused"
    SETTINGS = 11, "settings were changed: whose, names, old and new values"
    ACCEPTANCE = 12, "settings were set aside, or an operator accepted those in force"
    CONTROL = 13, "a client took control or lost it"
    CLIENT = 14, "a client connected or left"
    VISIT = 15, "the diagnostics page was opened"
    BUS = 16, "the connection to the arm changed"
    HISTORY = 17, "the history itself: entries lost, a damaged file set aside"

    @property
    def word(self) -> str:
        """As entries have it."""
        return self.name.lower()

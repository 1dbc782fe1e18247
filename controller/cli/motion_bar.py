"""A progress bar of a motion: how far it still is, or one line at its beginning and end where nobody watches."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class MotionBar:
    """`with MotionBar(text) as bar`: tell it with `at` how much of the way is left; `total` is the most seen."""

    def __init__(self, text: str) -> None:
        self._console = Console()
        self._text = text
        self._most = 0.0
        self._where = ""
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                             TextColumn("{task.fields[where]}", markup=False), TimeElapsedColumn(),
                             console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(text, total=None, where="")

    def __enter__(self) -> MotionBar:
        if not self._console.is_terminal:
            print(self._text, flush=True)
        self._bar.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._bar.stop()
        if kind is None and not self._console.is_terminal:
            print(f"done: {self._where}", flush=True)

    def waiting(self, text: str) -> None:
        """It has not begun yet."""
        self._bar.update(self._task, where=text)

    def at(self, left: float, where: str) -> None:
        """So much is left, and where the arm is."""
        self._most = max(self._most, left)
        self._where = where
        self._bar.update(self._task, total=max(self._most, 1e-3), completed=self._most - left, where=where)

"""An integer code with its one-line meaning, the row type of every enumeration in this folder."""

from __future__ import annotations

from enum import IntEnum


class Coded(IntEnum):
    """IntEnum member declared as ``NAME = code, "meaning"``; the meaning is in ``.doc``. Duplicate codes fail here."""

    doc: str

    def __new__(cls, code: int, doc: str = "") -> Coded:
        if code in cls._value2member_map_:
            raise ValueError(f"{cls.__name__}: code {code} is given twice")
        member = int.__new__(cls, code)
        member._value_ = code
        member.doc = doc
        return member

"""Reads a table of a TOML file into a typed struct and collects every mistake on the way (config.py has the keys)."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

MAX_FILE_BYTES = 1_000_000


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


S = TypeVar("S", bound=Section)


class Problem(msgspec.Struct, frozen=True):
    """One mistake. `where` is the file (and line) or the flag, `key` the dotted key ("" for the file itself)."""

    where: str
    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.where, self.key, self.found) if part)
        return f"{text}; allowed: {self.allowed}" if self.allowed else text


class ConfigError(Exception):
    """The configuration is wrong. `problems` lists every mistake found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


def keys(section: type[Section]) -> dict[str, tuple[Any, Meta]]:
    """Key -> (annotated type, its Meta) of a section, in the order of the file."""
    return {name: (hint, get_args(hint)[1])
            for name, hint in get_type_hints(section, include_extras=True).items() if get_origin(hint) is Annotated}


def allowed(hint: Any) -> str:
    """What a key accepts, in words, from its annotated type."""
    kind, meta = get_args(hint)[:2]
    if get_origin(kind) is Literal:
        return " or ".join(written(value) for value in get_args(kind))
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return f"{'whole number' if kind is int else 'number'} {_number(meta.ge)}..{_number(meta.le)}"
    if kind is str:
        length = f", {meta.min_length or 0}..{meta.max_length} characters" if meta.max_length else ""
        return f"text{length}"
    if get_origin(inner := get_args(kind)[0]) is Annotated and get_args(inner)[0] is float:
        bounds = get_args(inner)[1]
        return f"list of 3 numbers {_number(bounds.ge)}..{_number(bounds.le)}"
    return f"list of texts {get_args(inner)[1].description}"


def _number(value: float) -> str:
    return repr(value) if value != int(value) else str(int(value))


def written(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()  # basic TOML strings are JSON strings
    return _number(value) if isinstance(value, (int, float)) else str(value)


def shown(value: object) -> str:
    """What was found, short enough for a line and in the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = f"a table of {len(value)} keys" if isinstance(value, Mapping) else repr(value)
    except ValueError:  # Python refuses to write thousands of digits
        return "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def lines_of(text: str) -> dict[str, int]:
    """Dotted key -> line number, as far as a line-by-line look can tell."""
    found: dict[str, int] = {}
    prefix, tables = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line):
            prefix = header[2].strip("\"'")
            if header[1] == "[[":
                tables[prefix] += 1
                prefix = f"{prefix}[{tables[prefix]}]"
            found.setdefault(prefix, number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\"'-]+?)\s*=", line):
            name = key[1].replace('"', "").replace("'", "")
            found.setdefault(f"{prefix}.{name}" if prefix else name, number)
    return found


class Reader:
    """Collects the problems of one load; every method goes on after a mistake.

    `sections` are the tables of the file, `flags` the command line's name of each key that came from there, `secret`
    the keys whose value is never shown.
    """

    def __init__(self, file: Path | None, text: str, sections: Mapping[str, type[Section]], flags: Mapping[str, str],
                 secret: Collection[str]) -> None:
        self.file, self.sections, self.flags, self.secret = file, sections, flags, secret
        self.lines = lines_of(text)
        self.problems: list[Problem] = []

    def where(self, key: str) -> str:
        """The flag, or the file and line, a key came from."""
        if key in self.flags:
            return self.flags[key]
        if self.file is None:
            return ""
        line = self.lines.get(key) or self.lines.get(f"{key}[1]") or self.lines.get(key.rpartition(".")[0])
        return f"{self.file}:{line}" if line else str(self.file)

    def report(self, key: str, found: str, allowed: str) -> None:
        self.problems.append(Problem(self.where(key), key, found, allowed))

    def require(self, good: bool, keys: Collection[str], found: str, allowed: str) -> None:
        """Report the first of `keys` when they do not go together and none of them is already known to be wrong."""
        if not good and not {problem.key for problem in self.problems} & set(keys):
            self.report(next(iter(keys)), found, allowed)

    def unknown(self, key: str, name: str, valid: list[str]) -> None:
        """Report an unknown key, with the one that was probably meant."""
        import difflib

        hint = ""
        if homes := [f"[{section}]" for section, kind in self.sections.items() if name in keys(kind)]:
            hint = f", it belongs to {' or '.join(homes)}"
        elif close := difflib.get_close_matches(name, valid, 1, 0.5):
            hint = f", did you mean {close[0]}?"
        self.report(key, f"unknown key{hint}", ", ".join(valid))

    def section(self, kind: type[S], name: str, table: object, defaults: Mapping[str, object]) -> S:
        """A section from its table; a key that is wrong keeps its default (the load fails anyway)."""
        values = dict(defaults)
        if not isinstance(table, Mapping):
            self.report(name, f"found {shown(table)}", f"a table [{name}]")
            table = {}
        valid = keys(kind)
        for key, value in table.items():
            dotted = f"{name}.{key}"
            if key not in valid:
                self.unknown(dotted, key, list(valid))
                continue
            hint, meta = valid[key]
            try:
                parts = value if isinstance(value, list) else [value]
                if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
                    raise msgspec.ValidationError("not a finite number")
                values[key] = msgspec.convert(value, hint)
            except msgspec.ValidationError:
                text = "a value that is not shown" if dotted in self.secret else shown(value)
                self.report(dotted, f"found {text}", f"{allowed(hint)} ({meta.description})")
        return kind(**values)


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """(text, tables) of a TOML file; ConfigError when there is no such thing."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError([Problem(str(path), "", f"found {len(raw)} bytes", f"up to {MAX_FILE_BYTES} bytes")])
        text = raw.decode()
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror or error}",
                                   "a readable TOML file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), "", f"byte {error.start} is not UTF-8", "TOML in UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{place[1]}" if place else str(path)
        raise ConfigError([Problem(where, "", f"is not TOML: {error}", "key = value lines under [section] lines")]) \
            from None
    except ValueError as error:  # what Python itself refuses: a number of thousands of digits
        raise ConfigError([Problem(str(path), "", f"holds a value that cannot be read: {str(error).split(';')[0]}",
                                   "numbers of up to 18 digits")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "", "is nested too deeply", "key = value lines under [section] lines")]) \
            from None

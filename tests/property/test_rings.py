"""Both rings against models made of deques, in random order of calls, with counters that start below a wrap."""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.native.toolchain import NATIVE, compile_cpp

CAPACITY = 8
BYTES = 20  # not a multiple of 8: the last word of a record is a partial one
GUARD = b"\xa5" * 12
_numbers = itertools.count(1)
_library: dict[str, ctypes.CDLL] = {}


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile the C interface; the state machines find it in `_library`."""
    flags = ["-O1", "-g", "-shared", "-fPIC"]
    path: Path = compile_cpp(NATIVE / "ring_capi.cpp", tmp_path_factory.mktemp("rings") / "rings.so", flags)
    _library["rings"] = ctypes.CDLL(str(path))


def starts(bits: int) -> st.SearchStrategy[int]:
    """First positions: anywhere, and just below the wraps of the counter and of its half."""
    wraps = st.sampled_from([0, 1 << (bits - 1), 1 << bits])
    near = st.builds(lambda wrap, below: (wrap - below) % (1 << bits), wraps, st.integers(0, 40))
    return st.one_of(near, st.integers(0, (1 << bits) - 1))


def fresh() -> bytes:
    """A record unlike any before it."""
    number = next(_numbers)
    return number.to_bytes(8, "little") + bytes((number * 7 + i) % 256 for i in range(BYTES - 8))


class Native:
    """Calls of the C interface for one width of the counter."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def call(self, name: str, *args: Any, result: Any = None) -> Any:
        function = getattr(_library["rings"], f"{name}_{self.bits}")
        function.restype = result
        return function(*args)

    def new(self, name: str, *args: Any) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.call(f"{name}_new", *args, result=ctypes.c_void_p))

    def first(self, position: int) -> Any:
        return (ctypes.c_uint64 if self.bits == 64 else ctypes.c_uint32)(position)

    def count(self, name: str, handle: ctypes.c_void_p) -> int:
        return int(self.call(name, handle, result=ctypes.c_uint64))

    def take(self, name: str, handle: ctypes.c_void_p) -> bytes | None:
        """The record a call delivers; None when it delivers none and so must not have touched the memory."""
        untouched = b"\x5a" * BYTES + GUARD
        memory = ctypes.create_string_buffer(untouched, len(untouched))
        got = self.call(name, handle, memory, result=ctypes.c_bool)
        assert memory.raw[BYTES:] == GUARD
        if not got:
            assert memory.raw == untouched
            return None
        return memory.raw[:BYTES]


class CommandMachine(RuleBasedStateMachine):
    """The command ring is a deque that refuses what does not fit."""

    @initialize(bits=st.sampled_from([32, 64]), data=st.data())
    def start(self, bits: int, data: st.DataObject) -> None:
        self.native = Native(bits)
        self.ring = self.native.new("command", self.native.first(data.draw(starts(bits))))
        self.model: deque[bytes] = deque()

    @rule(times=st.integers(1, 2 * CAPACITY))
    def push(self, times: int) -> None:
        for _ in range(times):
            record = fresh()
            taken = self.native.call("command_push", self.ring, record, result=ctypes.c_bool)
            assert taken == (len(self.model) < CAPACITY)
            if taken:
                self.model.append(record)

    @rule(times=st.integers(1, 2 * CAPACITY))
    def pop(self, times: int) -> None:
        for _ in range(times):
            assert self.native.take("command_pop", self.ring) == (self.model.popleft() if self.model else None)

    @invariant()
    def size(self) -> None:
        if hasattr(self, "ring"):
            assert self.native.count("command_size", self.ring) == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            self.native.call("command_delete", self.ring)


class ReaderModel:
    """What a reader must see: the records since it was made; once lapped, it goes on with the newest CAPACITY - 1."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle
        self.waiting: deque[bytes] = deque()
        self.delivered = self.lost = self.skipped = 0

    def next(self) -> bytes | None:
        if len(self.waiting) > CAPACITY:
            while len(self.waiting) >= CAPACITY:
                self.waiting.popleft()
                self.lost += 1
        if not self.waiting:
            return None
        self.delivered += 1
        return self.waiting.popleft()

    def latest(self) -> bytes | None:
        if not self.waiting:
            return None
        newest = self.waiting.pop()
        self.skipped += len(self.waiting)
        self.waiting.clear()
        self.delivered += 1
        return newest


class StateMachine(RuleBasedStateMachine):
    """The state ring is a deque per reader, of which a reader loses the oldest records when it falls behind."""

    @initialize(bits=st.sampled_from([32, 64]), data=st.data())
    def start(self, bits: int, data: st.DataObject) -> None:
        self.native = Native(bits)
        self.first = data.draw(starts(bits))
        self.ring = self.native.new("state", self.native.first(self.first))
        self.written = 0
        self.readers: list[ReaderModel] = []

    @precondition(lambda self: len(self.readers) < 4)
    @rule()
    def attach(self) -> None:
        self.readers.append(ReaderModel(self.native.new("reader", self.ring)))

    @rule(times=st.integers(1, 3 * CAPACITY))
    def write(self, times: int) -> None:
        for _ in range(times):
            record = fresh()
            self.native.call("state_write", self.ring, record)
            self.written += 1
            for reader in self.readers:
                reader.waiting.append(record)

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 3), times=st.integers(1, 2 * CAPACITY))
    def next(self, which: int, times: int) -> None:
        reader = self.readers[which % len(self.readers)]
        for _ in range(times):
            assert self.native.take("reader_next", reader.handle) == reader.next()

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 3))
    def latest(self, which: int) -> None:
        reader = self.readers[which % len(self.readers)]
        assert self.native.take("reader_latest", reader.handle) == reader.latest()

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "ring"):
            return
        written = self.native.count("state_written", self.ring)
        assert written == (self.first + self.written) % (1 << self.native.bits)
        for reader in self.readers:
            for name in ("delivered", "lost", "skipped"):
                assert self.native.count(f"reader_{name}", reader.handle) == getattr(reader, name)

    def teardown(self) -> None:
        if not hasattr(self, "ring"):
            return
        for reader in self.readers:
            while (record := self.native.take("reader_next", reader.handle)) is not None:
                assert record == reader.next()
            assert reader.next() is None
            self.native.call("reader_delete", reader.handle)
        self.native.call("state_delete", self.ring)


_SETTINGS = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCommandRing = CommandMachine.TestCase
TestCommandRing.settings = _SETTINGS
TestStateRing = StateMachine.TestCase
TestStateRing.settings = _SETTINGS

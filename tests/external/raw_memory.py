"""The shared memory once more, written from the published layout alone, with no help and no mercy."""

from __future__ import annotations

import mmap
import random
import struct
import zlib

from controller.spec import external
from controller.spec.record import PER_AXIS

AXES = 8


class RawTargets:
    """Target records straight into the ring of the memory behind `fd`, any field as one likes."""

    layout = struct.Struct("<QQq8d8dIIII")

    def __init__(self, fd: int) -> None:
        self.memory = mmap.mmap(fd, 0)
        header = struct.unpack_from("<QIIIIIIII", self.memory)
        assert header[:2] == (external.MAGIC, external.LAYOUT_VERSION)
        assert header[2] == len(self.memory)
        self.states_offset, state_size, _, self.targets_offset, size, self.capacity = header[3:9]
        assert size == self.layout.size == external.size(external.TARGET_FIELDS)
        assert state_size == external.size(external.STATE_FIELDS)
        assert [f.name for f in external.TARGET_FIELDS if f.count == PER_AXIS] == ["position_deg", "speed_deg_s"]
        self.slots = self.targets_offset + 256      # two line pairs: the producer's counters, the consumer's
        self.published = -(-size // 8) * 8          # in each slot, behind the record
        self.stride = -(-(self.published + 8) // 128) * 128
        self.sequence = 1_000_000

    @property
    def tail(self) -> int:
        """The producer's counter."""
        return int(struct.unpack_from("<Q", self.memory, self.targets_offset)[0])

    def send(self, *, cycle: int = 0, sequence: int | None = None, kind: int = 2, axes: int = 2, spare: int = 0,
             position_deg: tuple[float, ...] = (), speed_deg_s: tuple[float, ...] = (),
             checksum: int | None = None) -> None:
        """One record, with a right checksum unless another one is given."""
        position, speed = (tuple(values) + (0.0,) * (AXES - len(values)) for values in (position_deg, speed_deg_s))
        body = self.layout.pack(self.sequence if sequence is None else sequence, cycle, 0, *position, *speed, kind,
                                axes, spare, 0)[:-4]
        self.sequence += 1
        tail = self.tail
        record = body + struct.pack("<I", zlib.crc32(body) if checksum is None else checksum)
        at = self.slots + self.stride * (tail % self.capacity)
        self.memory[at:at + len(record)] = record
        struct.pack_into("<Q", self.memory, self.targets_offset, tail + 1)
        struct.pack_into("<Q", self.memory, at + self.published, tail + 1)

    def scribble(self, pick: random.Random, whole: bool) -> None:
        """Random bytes over a random part of the targets, or of all the memory."""
        first = 0 if whole else self.targets_offset
        at = pick.randrange(first, len(self.memory))
        size = min(pick.choice((1, 8, 64, 512, 4096, 65536)), len(self.memory) - at)
        self.memory[at:at + size] = pick.randbytes(size)
        if pick.random() < 0.5:     # random numbers alone would never publish anything: the next slot is taken as it is
            head = int(struct.unpack_from("<Q", self.memory, self.targets_offset + 128)[0])
            slot = self.slots + self.stride * (head % self.capacity)
            struct.pack_into("<Q", self.memory, slot + self.published, (head + 1) % 2**64)

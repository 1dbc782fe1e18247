"""Holds back who tries passwords: token buckets on the monotonic clock, per address and for all together.

Only wrong logins use up an allowance. Memory is bounded: an address whose bucket is full again is forgotten, and among
too many the one that was seen longest ago.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

from controller.spec import rest

ADDRESSES_KEPT = 1024


class _Bucket(msgspec.Struct):
    level: float
    since_s: float

    def fill(self, now_s: float, burst: int, period_s: float) -> float:
        """What it holds now."""
        self.level = min(float(burst), self.level + max(0.0, now_s - self.since_s) / period_s)
        self.since_s = now_s
        return self.level


def network(address: str) -> str:
    """The part of an address that one client has to itself: IPv4 whole, IPv6 its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "?"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Throttle:
    """`take` before a password is looked at, `refund` when it was right."""

    def __init__(self) -> None:
        self._all = _Bucket(rest.GLOBAL_BURST, 0.0)
        self._by_address: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, address: str, now_s: float) -> float:
        """Take one attempt; the seconds to wait instead, 0 when it was granted."""
        key = network(address)
        bucket = self._by_address.get(key) or _Bucket(rest.ADDRESS_BURST, now_s)
        if bucket.fill(now_s, rest.ADDRESS_BURST, rest.ADDRESS_PERIOD_S) < 1:
            return (1 - bucket.level) * rest.ADDRESS_PERIOD_S
        if self._all.fill(now_s, rest.GLOBAL_BURST, rest.GLOBAL_PERIOD_S) < 1:
            return (1 - self._all.level) * rest.GLOBAL_PERIOD_S
        bucket.level -= 1
        self._all.level -= 1
        self._by_address[key] = bucket
        self._by_address.move_to_end(key)
        self._forget(now_s)
        return 0.0

    def refund(self, address: str) -> None:
        """The login was right, or not looked at: it uses up nothing."""
        self._all.level = min(float(rest.GLOBAL_BURST), self._all.level + 1)
        if (bucket := self._by_address.get(network(address))) is not None:
            bucket.level = min(float(rest.ADDRESS_BURST), bucket.level + 1)

    def _forget(self, now_s: float) -> None:
        whole_s = rest.ADDRESS_BURST * rest.ADDRESS_PERIOD_S
        while self._by_address:
            oldest = next(iter(self._by_address.values()))
            if len(self._by_address) <= ADDRESSES_KEPT and now_s - oldest.since_s < whole_s:
                return
            self._by_address.popitem(last=False)

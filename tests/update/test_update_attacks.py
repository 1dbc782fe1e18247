"""What an attacker between the board and the manufacturer, or one with a stolen online key, can do: nothing but delay.

Every case is a real repository on a real HTTP server. The board stands at 0.1.0, with 0.2.0 seen, and must not take
what is not the manufacturer's newest word; afterwards it is unchanged and takes the honest repository again.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from controller.update import clock
from controller.update.clock import Seen
from controller.update.failure import NetworkError, Untrusted, UpdateError
from controller.update.files import read_json
from controller.update.publish import Publisher
from controller.update.release_keys import make
from controller.update.trust import ISSUED
from tests.update.rig import BUILT, Manufacturer, Rig, rigged

CACHE = ("timestamp.json", "snapshot.json", "targets.json")


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Rig]:
    """0.2.0 is in the repository, and the board has looked; `old` is the repository of before."""
    with rigged(tmp_path) as rig:
        rig.machine.start()
        shutil.copytree(rig.manufacturer.folder, tmp_path / "old")
        rig.manufacturer.release("0.2.0", built=BUILT.format(2))
        rig.update().check()
        yield rig


def refused(rig: Rig, kind: type[UpdateError] = Untrusted, match: str = ".") -> None:
    """An installation fails so, and nothing has changed."""
    with pytest.raises(kind, match=match):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert rig.board.pending() is None
    assert not rig.where.releases.exists() or list(rig.where.releases.iterdir()) == []
    assert rig.machine.starts == ["0.1.0"]


def honest(rig: Rig) -> None:
    """The real repository is taken."""
    rig.web.folder, rig.web.change = rig.manufacturer.folder, lambda path, handler: False
    rig.update().install()
    assert rig.update().trial.gate() == "confirmed"


def newest(folder: Path, role: str) -> Path:
    found = sorted((folder / "metadata").glob(f"*{role}.json"), key=lambda item: int(item.name.partition(".")[0])
                   if item.name[0].isdigit() else 0)
    return found[-1]


def lose_cache(rig: Rig) -> None:
    shutil.rmtree(rig.where.metadata)


@pytest.mark.parametrize("lost", [False, True])
def test_rolled_back(seen: Rig, tmp_path: Path, lost: bool) -> None:
    """The whole repository as it was before: every signature is right. A board that lost its cache notices too."""
    seen.web.folder = tmp_path / "old"
    if lost:
        lose_cache(seen)
    refused(seen)
    honest(seen)


def test_frozen(seen: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same state for ever: it expires."""
    later = clock.now() + datetime.timedelta(days=15)
    monkeypatch.setattr(clock, "now", lambda: later)
    refused(seen, match="expired")
    Publisher(seen.manufacturer.folder, now=lambda: later).refresh(seen.manufacturer.signers)
    honest(seen)


def test_frozen_and_the_clock_in_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board without a clock battery, which has seen the manufacturer's time once, keeps it: the old state is refused
    though its clock says 2020, and the new state is taken."""
    start = datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC)
    monkeypatch.setattr(clock, "now", lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with rigged(tmp_path, now=lambda: start) as rig:
        rig.machine.start()
        rig.manufacturer.release("0.2.0", built=BUILT.format(2))
        rig.update().check()
        found, _, repository = rig.update().check()
        assert (found.newest, clock.written(repository.time)) == ("0.2.0", clock.written(start))
        shutil.copytree(rig.manufacturer.folder, tmp_path / "frozen")
        later = Publisher(rig.manufacturer.folder, now=lambda: start + datetime.timedelta(days=20))
        later.refresh(rig.manufacturer.signers)
        rig.update().check()
        for cache in (True, False):
            if not cache:
                lose_cache(rig)
                rig.web.folder = tmp_path / "frozen"
            found, _, repository = rig.update().check() if cache else (None, None, None)
            if cache:
                assert repository is not None
                assert repository.time >= start + datetime.timedelta(days=19)
        refused(rig, match="expired")
        honest(rig)


def test_the_floor_of_a_release_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was ever seen, the clock says 2020: what expired before the release was built is refused."""
    monkeypatch.setattr(clock, "now", lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    long_ago = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    with rigged(tmp_path, now=lambda: long_ago) as rig:
        rig.machine.start()
        rig.manufacturer.release("0.2.0", built=BUILT.format(2))
        refused(rig, match="expired")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
@pytest.mark.parametrize("how", ["version", "signature", "rubbish"])
def test_tampered_metadata(seen: Rig, role: str, how: str) -> None:
    """One role is changed without its key; the board has to fetch it, since it has lost its cache."""
    lose_cache(seen)
    if role == "root":      # a second one that nobody signed
        path = seen.manufacturer.folder / "metadata" / "2.root.json"
        content = json.loads((seen.manufacturer.folder / "metadata" / "1.root.json").read_text())
        content["signed"]["version"] = 2
    else:
        path = newest(seen.manufacturer.folder, role)
        content = json.loads(path.read_text())
    original = path.read_bytes() if path.exists() else None
    if how == "version":
        content["signed"]["version"] += 1
    elif how == "signature":
        content["signatures"][0]["sig"] = "00" * 64
        content["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text("{" if how == "rubbish" else json.dumps(content))
    refused(seen)
    path.unlink() if original is None else path.write_bytes(original)
    honest(seen)


def test_tampered_target(seen: Rig) -> None:
    path = next((seen.manufacturer.folder / "targets").glob("*.tar.zst"))
    original = path.read_bytes()
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    refused(seen)
    assert list(seen.where.downloads.glob("*.zst")) == []
    path.write_bytes(original)
    honest(seen)


def endless(suffix: str, sent: list[int]) -> Callable[[str, BaseHTTPRequestHandler], bool]:
    """Answers `suffix` with bytes that never end."""
    def change(path: str, handler: BaseHTTPRequestHandler) -> bool:
        if not path.endswith(suffix):
            return False
        handler.send_response(200)
        handler.end_headers()
        try:
            while sum(sent) < 1 << 30:
                handler.wfile.write(b" " * 65536)
                sent.append(65536)
        except OSError:
            pass
        return True
    return change


@pytest.mark.parametrize("suffix", ["timestamp.json", "snapshot.json", "targets.json", "2.root.json", ".tar.zst"])
def test_oversized(seen: Rig, suffix: str) -> None:
    """No more is read than was signed, or than metadata may have."""
    lose_cache(seen)
    sent: list[int] = []
    seen.web.change = endless(suffix, sent)
    refused(seen)
    assert sum(sent) < 16 << 20     # what buffers on the way hold
    honest(seen)


@pytest.mark.parametrize("content", [b"", b"short"])
def test_truncated_on_the_way(seen: Rig, content: bytes) -> None:
    path = next((seen.manufacturer.folder / "targets").glob("*.tar.zst"))
    original = path.read_bytes()
    path.write_bytes(content)
    refused(seen)
    path.write_bytes(original)
    honest(seen)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_mixed_up(seen: Rig, tmp_path: Path, role: str) -> None:
    """New timestamp, and one role of before under the name of the new one: all of it is signed, but not together."""
    lose_cache(seen)
    path = newest(seen.manufacturer.folder, role)
    original = path.read_bytes()
    path.write_bytes(newest(tmp_path / "old", role).read_bytes())
    refused(seen)
    path.write_bytes(original)
    honest(seen)


def test_another_release_under_the_newest_name(seen: Rig) -> None:
    """Right signatures, but the files of two releases are exchanged."""
    seen.manufacturer.release("0.3.0", built=BUILT.format(3), deltas=0)
    first, second = sorted((seen.manufacturer.folder / "targets").glob("*.tar.zst"), key=lambda item: item.name[65:])
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    refused(seen)


def test_wrong_keys(seen: Rig, tmp_path: Path) -> None:
    """A complete repository of somebody else."""
    other = Manufacturer(tmp_path / "other")
    other.release("0.9.0", built=BUILT.format(9))
    for lost in (False, True):
        if lost:
            lose_cache(seen)
        seen.web.folder = other.folder
        refused(seen)
    honest(seen)


def test_stolen_timestamp_key_cannot_roll_back(seen: Rig, tmp_path: Path) -> None:
    """A fresh timestamp for the snapshot of before."""
    signers = seen.manufacturer.signers
    attack = tmp_path / "attack"
    shutil.copytree(tmp_path / "old", attack)
    _timestamp(attack, 50, Metadata[Snapshot].from_file(str(newest(tmp_path / "old", "snapshot"))).signed.version,
               clock.now() + datetime.timedelta(days=1), rig=seen)
    assert signers["timestamp"]
    seen.web.folder = attack
    refused(seen)
    lose_cache(seen)
    refused(seen)


def _timestamp(folder: Path, version: int, snapshot: int, issued: datetime.datetime, *, rig: Rig,
               expires: datetime.datetime | None = None) -> None:
    """A timestamp that whoever has the key of `rig` can sign."""
    found: Metadata[Timestamp] = Metadata.from_file(str(folder / "metadata" / "timestamp.json"))
    found.signed.version, found.signed.snapshot_meta = version, MetaFile(version=snapshot)
    found.signed.expires = expires or (clock.now() + datetime.timedelta(days=300)).replace(microsecond=0)
    found.signed.unrecognized_fields[ISSUED] = clock.written(issued)
    found.sign(rig.manufacturer.signers["timestamp"][0])
    found.to_file(str(folder / "metadata" / "timestamp.json"))


def test_stolen_timestamp_key_cannot_make_the_future_for_ever(seen: Rig, tmp_path: Path) -> None:
    """It signs the highest version and the year 2099. With a new key the manufacturer gets the board back."""
    attack = tmp_path / "attack"
    shutil.copytree(seen.manufacturer.folder, attack)
    present = newest(attack, "snapshot")
    _timestamp(attack, 2_000_000_000, int(present.name.partition(".")[0]),
               datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC), rig=seen,
               expires=datetime.datetime(2099, 6, 1, tzinfo=datetime.UTC))
    seen.web.folder = attack
    seen.update().check()
    known = read_json(seen.where.seen, Seen)
    assert known is not None
    assert known.versions["timestamp"] == 2_000_000_000
    assert known.online < "2028"        # no later than what the offline keys have signed
    seen.web.folder = seen.manufacturer.folder
    refused(seen)                       # the honest timestamp is older than the attacker's
    manufacturer = seen.manufacturer
    new = [make(manufacturer.keys, "timestamp", lambda _: None)]
    old = manufacturer.publisher.load("root").signed.roles["timestamp"].keyids
    manufacturer.publisher.rotate("timestamp", manufacturer.signers, new, list(old))
    manufacturer.publisher.resign("timestamp", manufacturer.signers)
    honest(seen)
    seen.web.folder = attack            # and the stolen one is worth nothing any more
    with pytest.raises(Untrusted):
        seen.update().check()


def test_stolen_online_keys_cannot_offer_a_release(seen: Rig, tmp_path: Path) -> None:
    """Snapshot and timestamp name targets that the attacker signed himself."""
    attack = tmp_path / "attack"
    shutil.copytree(seen.manufacturer.folder, attack)
    targets: Metadata[Targets] = Metadata.from_file(str(newest(attack, "targets")))
    targets.signed.version += 1
    for target in targets.signed.targets.values():
        target.unrecognized_fields["custom"]["version"] = "9.9.9"
    targets.sign(seen.manufacturer.signers["timestamp"][0])
    targets.to_file(str(attack / "metadata" / f"{targets.signed.version}.targets.json"))
    snapshot: Metadata[Snapshot] = Metadata.from_file(str(newest(attack, "snapshot")))
    snapshot.signed.version += 1
    snapshot.signed.meta["targets.json"] = MetaFile(version=targets.signed.version)
    snapshot.sign(seen.manufacturer.signers["snapshot"][0])
    snapshot.to_file(str(attack / "metadata" / f"{snapshot.signed.version}.snapshot.json"))
    _timestamp(attack, 9, snapshot.signed.version, clock.now(), rig=seen)
    seen.web.folder = attack
    refused(seen)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_keys_are_rotated(seen: Rig, role: str) -> None:
    """The board follows, over several rotations at once; the old key is worth nothing then."""
    manufacturer = seen.manufacturer
    for _ in range(2):
        old = manufacturer.publisher.load("root").signed.roles[role].keyids
        new = [make(manufacturer.keys, role, lambda _: None) for _ in old]
        manufacturer.publisher.rotate(role, manufacturer.signers, new, list(old))
        manufacturer.publisher.resign(role, manufacturer.signers)
    manufacturer.release("0.3.0", built=BUILT.format(3))
    lose_cache(seen)
    honest(seen)
    assert seen.current == "0.3.0"


def test_rotation_below_the_threshold(seen: Rig) -> None:
    """A root that only one of the two needed keys has signed."""
    manufacturer = seen.manufacturer
    root: Metadata[Root] = manufacturer.publisher.load("root")
    root.signed.version = 2
    root.sign(manufacturer.signers["root"][0])
    path = manufacturer.folder / "metadata" / "2.root.json"
    root.to_file(str(path))
    refused(seen)
    path.unlink()
    honest(seen)


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_truncated_cache(seen: Rig, keep: int) -> None:
    """Whatever a power failure leaves of the cache, the board recovers by itself."""
    for path in sorted(seen.where.metadata.rglob("*.json")):
        if not path.is_symlink():
            path.write_bytes(path.read_bytes()[:keep])
    honest(seen)


def test_rubbish_where_the_cache_should_be(seen: Rig) -> None:
    lose_cache(seen)
    (seen.where.metadata / "root_history").mkdir(parents=True)
    (seen.where.metadata / "timestamp.json").mkdir()
    (seen.where.metadata / "root_history" / "1.root.json").mkdir()
    seen.where.seen.write_text("[]")
    honest(seen)


def test_a_server_that_does_not_answer_well(seen: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str, handler: BaseHTTPRequestHandler) -> bool:
        handler.send_error(500)
        return True

    def slow(path: str, handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            import time

            time.sleep(0.02)
        return True

    seen.web.change = missing
    refused(seen, NetworkError, "answers 500")
    monkeypatch.setattr("controller.update.fetch.GRACE_S", 0.1)
    monkeypatch.setattr("controller.update.fetch.Fetcher.__init__.__defaults__", (lambda _: None, 1, 0.1))
    seen.web.change = slow
    refused(seen, NetworkError)
    seen.web.close()
    refused(seen, NetworkError, "cannot be reached")


def test_no_release_for_this_board(seen: Rig) -> None:
    """Another architecture, another Python, another channel are not offered; kinds that are not known are left out."""
    publisher = seen.manufacturer.publisher
    targets: Metadata[Targets] = publisher.load("targets")
    for number, (field, value) in enumerate((("architecture", "arm64"), ("python", "3.13"), ("channel", "beta"),
                                             ("kind", "firmware"))):
        first = next(iter(targets.signed.targets.values()))
        target = first.from_dict(first.to_dict(), f"other-{number}.tar.zst")
        target.unrecognized_fields["custom"] = {**first.unrecognized_fields["custom"], "version": "0.9.0",
                                                field: value}
        targets.signed.targets[f"other-{number}.tar.zst"] = target
    publisher._publish(seen.manufacturer.signers, targets)
    found, _, _ = seen.update().check()
    assert (found.newest, found.not_understood) == ("0.2.0", 1)
    found, _, _ = seen.update(channel="beta").check()
    assert found.newest == "0.9.0"

"""Who a client is: the configured token, a token got by logging in, or nobody in particular.

A token of a login is a JWT (HS256) whose key is made of the controller's secret and the hash of the level's password:
with a new password the old tokens of that level end. Its life is told by the wall clock, because it outlives a restart;
a clock that was set back cannot lengthen it.
Thread contract: HMI thread, except what is handed to the two workers: one for password hashes (one at a time, 7 MiB
each), one for files and tokens, so that nobody who only shows a token waits for the hash of another. The first never
touches a disk: one that hangs holds up the second only.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from controller.hmi.access import Access
from controller.hmi.counters import Counters, logger
from controller.hmi.login_passwords import PasswordError, Passwords, matches, write_private
from controller.hmi.login_throttle import Throttle
from controller.hmi.refusal import Refusal
from controller.spec import rest
from controller.spec.hmi import Role
from controller.worker import Busy, Worker

if TYPE_CHECKING:
    from controller.hmi.rest_messages import LoginRequest

T = TypeVar("T")
ALGORITHM, ISSUER = "HS256", "allyarm"
SECRET_FILE, SECRET_BYTES = "token_secret", 32
HASHES_WAITING, TOKENS_WAITING = 4, 256
LONGEST_TOKEN = 1024
M_MMAP_THRESHOLD = -3  # malloc.h
NICE = 10  # hashing has no haste
WRONG = "access level and password do not belong together"
LOG_IN = "log in again"
log = logger("controller.hmi.login")


class _Hangs(Exception):
    """The disk does not answer."""


class NoAnswer(Refusal):
    """The disk does not answer."""


class Login:
    """Passwords and the secret are in `folder`; without one there are no passwords, and tokens end with the program."""

    def __init__(self, access: Access, folder: Path | None, counters: Counters) -> None:
        self._access, self._counters = access, counters
        self._folder = folder
        self._throttle = Throttle()
        self._hashing = Worker("passwords", HASHES_WAITING, first=_be_nice)
        self._files = Worker("tokens", TOKENS_WAITING, late=self._late)
        self._hashes: dict[str, str] = {}  # the files' worker's, like the next two lines
        self._seen: tuple[int, ...] | None = None
        self._secret = b""
        self._known: tuple[dict[str, str], bytes] | None = None  # as read last; replaced whole

    def tick(self, now_s: float) -> None:
        """About once a second: who waits for a disk that hangs is answered."""
        self._files.give_up(now_s)

    def close(self) -> None:
        """End the workers without waiting for them: they keep nothing that must be saved."""
        self._hashing.close(0)
        self._files.close(0)

    async def role(self, headers: Mapping[str, str], auth: object = None) -> Role:
        """Role of whoever sends these headers or this Socket.IO `auth`; Refusal 401 when there is none.

        Where no token is configured everyone is administrator who shows no login token; a token that is none of ours,
        a stranger's setting say, is then no reason to refuse.
        """
        given = self._access.given(headers, auth)
        if given is not None and self._access.is_token(given):
            return Role.ADMINISTRATOR
        if given is not None and (self._access.closed or given.count(".") == 2):
            return await self._role_of(given)
        if self._access.closed:
            raise Refusal(401, "a token is needed: log in, or pass the configured one as auth {token} or bearer header")
        return Role.ADMINISTRATOR

    async def may_stop(self, headers: Mapping[str, str]) -> None:
        """Refusal unless `role` has one. Here nobody waits for a disk: passwords as they were read last will do."""
        given = self._access.given(headers)
        if given is not None and (known := self._at_hand()) is not None:
            with contextlib.suppress(Refusal):
                self._verify(given, *known)
                return
        await self.role(headers)

    async def _role_of(self, token: str) -> Role:
        """While the disk does not answer, passwords as they were read last count."""
        try:
            return await self._in(self._files, lambda: self._verify(token, *self._read()))
        except NoAnswer:
            if (known := self._at_hand()) is None:
                raise
            return self._verify(token, *known)

    def _at_hand(self) -> tuple[dict[str, str], bytes] | None:
        """What tells a token without a disk: neither passwords nor the module have to be read any more."""
        return self._known if "jwt" in sys.modules else None

    async def log_in(self, request: LoginRequest, address: str) -> str:
        """A token for one day; Refusal 401 (wrong pair, no password set) or 429 (too many)."""
        if wait_s := self._throttle.take(address, time.monotonic()):
            raise Refusal(429, f"too many wrong logins: try again in {math.ceil(wait_s)} s", retry_after_s=wait_s)
        try:
            hashes, secret = await self._in(self._files, self._read_and_load)
            token = await self._in(self._hashing, lambda: self._check(request, hashes, secret))
        except Refusal as refused:
            if refused.status != 401:
                self._throttle.refund(address)
            log.warning("%s could not log in as %s", address, request.accessLevel)
            raise
        self._throttle.refund(address)
        self._counters.add("logins")
        log.info("%s logged in as %s", address, request.accessLevel)
        return token

    async def _in(self, worker: Worker, work: Callable[[], T]) -> T:
        try:
            return await asyncio.wrap_future(worker.submit(work))
        except Busy as error:
            raise Refusal(429, f"{error}", retry_after_s=1.0) from None
        except _Hangs as error:
            raise NoAnswer(500, str(error)) from None
        except (PasswordError, OSError, MemoryError) as error:
            log.error("login: %s", error)
            raise Refusal(500, f"{error}" or "no memory") from None

    def _late(self, begun: bool) -> _Hangs:
        return _Hangs(f"the disk of {self._folder} does not answer, passwords cannot be read: try again when it does")

    # -- worker threads

    def _check(self, request: LoginRequest, hashes: dict[str, str], secret: bytes) -> str:
        level = request.accessLevel
        stored = hashes.get(level)
        if stored is None:
            raise Refusal(401, f"no password is set for {level}: set one on the controller with "
                          f"`allyarm password set --level {level}`")
        if not matches(stored, request.password):
            raise Refusal(401, WRONG)
        import jwt

        now_s = int(time.time())
        claims = {"iss": ISSUER, "accessLevel": int(rest.LEVELS[level]), "name": level, "iat": now_s,
                  "exp": now_s + rest.TOKEN_LIFE_S}
        return jwt.encode(claims, _key(secret, level, stored), ALGORITHM, {"kid": level})

    def _verify(self, token: str, hashes: dict[str, str], secret: bytes) -> Role:
        import jwt

        if len(token) > LONGEST_TOKEN:
            raise Refusal(401, f"the token is too long: {LOG_IN}")
        try:
            level = jwt.get_unverified_header(token).get("kid")
            if not isinstance(level, str) or level not in hashes:
                raise Refusal(401, f"the token is not valid, or its password was changed: {LOG_IN}")
            # Times are looked at below. iat says nothing: after a clock was set back it may lie ahead.
            claims = jwt.decode(token, _key(secret, level, hashes[level]), [ALGORITHM], issuer=ISSUER, options={
                "require": ["exp", "accessLevel"], "verify_iat": False, "verify_exp": False})
            left_s = int(claims["exp"]) - time.time()
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Refusal(401, f"the token is not valid, or its password was changed: {LOG_IN}") from None
        if left_s <= 0:
            raise Refusal(401, f"the token has expired: {LOG_IN}")
        if left_s > rest.TOKEN_LIFE_S + rest.CLOCK_SLACK_S:
            raise Refusal(401, f"the token was made while the controller's clock was ahead: {LOG_IN}")
        if claims["accessLevel"] != rest.LEVELS[level]:
            raise Refusal(401, f"the token is not valid: {LOG_IN}")
        return rest.LEVELS[level]

    def _read_and_load(self) -> tuple[dict[str, str], bytes]:
        """With the modules that `_check` needs: they are files too."""
        import argon2  # noqa: F401 - only to have it
        import jwt  # noqa: F401 - only to have it

        return self._read()

    def _read(self) -> tuple[dict[str, str], bytes]:
        """Hashes as they are in the file now, and the secret, which is made when it is first needed."""
        if self._folder is not None:
            passwords = Passwords(self._folder)
            seen = _stamp(passwords.path)
            if seen != self._seen:
                self._hashes = {}
                self._known = None
                self._hashes, self._seen = passwords.read(), seen
        if not self._secret:
            self._secret = self._find_secret()
        self._known = self._hashes, self._secret
        return self._known

    def _find_secret(self) -> bytes:
        if self._folder is None:
            return secrets.token_bytes(SECRET_BYTES)
        path = self._folder / SECRET_FILE
        try:
            found = path.read_bytes()
            if len(found) == SECRET_BYTES:
                return found
            log.error("%s is damaged: a new secret was made, everyone has to log in again", path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error("%s cannot be read (%s): logins will not outlive this run", path, error)
            return secrets.token_bytes(SECRET_BYTES)
        made = secrets.token_bytes(SECRET_BYTES)
        try:
            write_private(path, made)
        except OSError as error:
            log.error("%s cannot be written (%s): logins will not outlive this run", path, error)
        return made


def _key(secret: bytes, level: str, stored: str) -> bytes:
    return hmac.digest(secret, f"{level}\n{stored}".encode(), hashlib.sha256)


def _stamp(path: Path) -> tuple[int, ...]:
    """Tells one version of a file from another."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _be_nice() -> None:
    """First thing of the hashing thread."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)  # of this thread only
    import ctypes

    # glibc would keep the memory of the second hash and later ones for ever, locked; above a fixed threshold it returns
    # what is freed to the system at once. Another C library has no such function, and no such habit.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)

"""SAF-8: what is stored over HTTP, and who logs in, is in the history; passwords and tokens are not."""

from __future__ import annotations

import time
from pathlib import Path

from tests.hmi.rest_client import rest, row, set_passwords

PASSWORDS = {"Base": "a base password", "Admin": "an admin password"}


def test_saf_8_logins_and_exercises_without_secrets(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path) as (rig, client):
        token = client.token("Admin", PASSWORDS["Admin"])
        assert client.post("/login", {"accessLevel": "Base", "password": "a wrong guess"})[0] == 401
        client.good("/add_exercise_name", {"name": "Wave", "rep": 3})
        client.good("/save_exercises", [row()])
        client.good("/exercises_data", {"name": "Wave"})        # only looks
        client.good("/delete_exercise", {"name": "Wave"})
        entries = rig.get("/history")[1]["entries"]
        found = [(entry["kind"], entry["text"]) for entry in entries if entry["who"] == "HTTP (127.0.0.1)"]
        assert found == [
            ("client", "logged in as Admin"), ("client", "could not log in as Base"),
            ("settings", "exercise 'Wave' is stored"), ("settings", "'Wave' stored"),
            ("settings", "exercise 'Wave' is deleted")]
        end = time.monotonic() + 5
        while rig.history.written < len(entries):
            assert time.monotonic() < end
            time.sleep(0.01)
    written = b"".join(item.read_bytes() for item in tmp_path.glob("history.sqlite*"))
    for secret in (*PASSWORDS.values(), "a wrong guess", token):
        assert secret.encode() not in written

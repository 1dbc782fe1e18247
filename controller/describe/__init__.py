"""Descriptions of the interface for those who write pages and clients, made from the tables and message types.

`document(path)` gives what the server serves at that path; `python -m controller.describe FOLDER` writes all of them,
and a built package carries them in this folder.
"""

from __future__ import annotations

import importlib
from functools import cache

import msgspec

# path it is served at -> (media type, "module:function" that gives its text)
DOCUMENTS: dict[str, tuple[str, str]] = {
    "/openapi.json": ("application/json", "controller.describe.openapi:text"),
    "/asyncapi.json": ("application/json", "controller.describe.asyncapi:text"),
    "/schema.json": ("application/json", "controller.describe.schemas:text"),
    "/allyarm.d.ts": ("text/plain", "controller.describe.typescript:text"),
}


class Document(msgspec.Struct, frozen=True):
    """What is served: its bytes (UTF-8) and media type."""

    body: bytes
    media: str


@cache
def document(path: str) -> Document:
    """The document of `path`, one of DOCUMENTS, made once. It takes some 10 ms on a PC: not on an event loop."""
    media, where = DOCUMENTS[path]
    module, _, function = where.partition(":")
    return Document(getattr(importlib.import_module(module), function)().encode(), media)

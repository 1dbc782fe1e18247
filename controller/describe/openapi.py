"""OpenAPI 3.1 of everything that is served over HTTP, from spec/rest.py and the structs of its bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from controller import __version__
from controller.describe.schemas import Schema, http_schemas
from controller.spec import hmi, rest
from controller.spec.board import IMAGE_BYTES_HIGHEST
from controller.spec.rest import Endpoint

TEMPLATE = "#/components/schemas/{name}"
WHY = {
    400: "the body is no JSON, or a value is not allowed", 401: "a token is needed, not valid, or has expired",
    403: "the Host or Origin is not allowed, or the role is too low", 404: "there is nothing of that name",
    409: "not now: the message says what stands against it",
    413: f"the body is longer than {rest.BODY_BYTES} bytes, an image than {IMAGE_BYTES_HIGHEST}",
    429: "too many: try again after Retry-After seconds",
    500: "it could not be carried out: disk or controller",
    503: "the control loop does not advance, or the storage does not answer",
}


def document() -> Schema:
    """The description as an object."""
    bodies, definitions = http_schemas(TEMPLATE)
    paths = {row.path: {row.method.lower(): _operation(row, bodies)} for row in (*rest.ENDPOINTS, *rest.PAGES)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "AllyArm controller", "version": __version__, "license": {"name": "Apache-2.0",
                 "identifier": "Apache-2.0"},
                 "description": f"HTTP interface, HMI contract {hmi.CONTRACT_VERSION}. Events: /asyncapi.json."},
        "servers": [{"url": "/", "description": "the controller that serves this"}],
        "tags": [{"name": "page", "description": "REST interface of the HMI page"},
                 {"name": "controller", "description": "status, stop and descriptions"}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": {"bearer": {
            "type": "http", "scheme": "bearer", "description": "the token of /login or the configured hmi.token; "
            "where none is configured, requests without one are allowed"}}},
    }


def text() -> str:
    """The document served at /openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1).decode()


def statuses(row: Endpoint) -> list[int]:
    """Statuses beside 200 that an endpoint may answer with."""
    found = {403, 500, *row.errors}
    if row.login:
        found.add(401)
    if row in rest.ENDPOINTS:
        found |= {400, 413, 429}    # a body that is not asked for is read all the same
    if row.missing:
        found.add(404)
    return sorted(found)


def _operation(row: Endpoint, bodies: dict[str, Schema]) -> Schema:
    operation: dict[str, Any] = {
        "operationId": row.name, "summary": row.doc, "tags": ["page" if row in rest.ENDPOINTS else "controller"],
        "security": [{}, {"bearer": []}] if row.login else [],
        "responses": {"200": _answer(row, bodies),
                      **{str(status): _problem(status, bodies) for status in statuses(row)}},
    }
    if row.query:
        operation["parameters"] = [{"name": item.name, "in": "query", "description": item.doc, "schema": item.schema}
                                   for item in row.query]
    if "/" in row.request:
        operation["requestBody"] = {"required": True, "content": {row.request: {"schema": {
            "type": "string", "format": "binary"}}}}
    elif row.request:
        media = "text/plain" if row.request == "PlainName" else "application/json"
        operation["requestBody"] = {"required": True, "content": {
            media: {"schema": bodies[row.request], "example": row.sample}}}
    return operation


def _answer(row: Endpoint, bodies: dict[str, Schema]) -> Schema:
    if "/" in row.answer:
        return {"description": row.doc, "content": {row.answer: {"schema": {} if "json" in row.answer else {
            "type": "string"}}}}
    return {"description": row.doc, "content": {"application/json": {"schema": bodies[row.answer]}}}


def _problem(status: int, bodies: dict[str, Schema]) -> Schema:
    found: Schema = {"description": WHY[status], "content": {"application/json": {"schema": bodies["Problem"]}}}
    if status == 429:
        found["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found

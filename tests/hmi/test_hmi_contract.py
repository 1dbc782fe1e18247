"""Every message and every field of the contract, by the real socket.io-client as both generations of the page do it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hmi import data_cases
from tests.hmi.cases import CASES, rows
from tests.hmi.page import Page, page_on_arm

PAGES = [("G1", ["websocket"]), ("G2", ["websocket"]), ("G1", ["polling"]), ("G2", ["polling", "websocket"])]


def test_every_row_of_the_contract_has_a_case() -> None:
    assert data_cases.AXES  # its cases are in the table since it was imported
    covered = {row for covers, _ in CASES.values() for row in covers}
    assert rows() - covered == set()
    assert covered - rows() == set()  # no case of a row that is gone


@pytest.fixture(scope="module", params=PAGES, ids=lambda way: "-".join((way[0], *way[1])))
def shared(request: pytest.FixtureRequest) -> Iterator[Page]:
    generation, transports = request.param
    with page_on_arm(generation, transports) as page:
        yield page


@pytest.fixture
def page(shared: Page) -> Page:
    shared.home()
    return shared


@pytest.mark.parametrize("name", CASES)
def test_contract(page: Page, name: str) -> None:
    CASES[name][1](page)
    assert page.client.notices == []
    assert page.rig.status()["hmi"].get("internal_errors", 0) == 0

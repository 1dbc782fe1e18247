"""Every message and every field of the contract, by the real socket.io-client as both generations of the page do it.

Fast, on the real server and core with a simulated board in this process; and on the whole program with its own
simulated arm, as a user starts it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hmi import data_cases
from tests.hmi.cases import CASES, rows
from tests.hmi.page import Page, page_of, page_on_arm
from tests.hmi.program_rig import program_rig

PAGES = [("G1", ["websocket"]), ("G2", ["polling"])]


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


@pytest.fixture(scope="module", params=["G1", "G2"])
def on_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with program_rig(tmp_path_factory.mktemp("program")) as rig, page_of(request.param, ["websocket"], rig) as page:
        yield page


@pytest.mark.parametrize("name", CASES)
def test_contract(shared: Page, name: str) -> None:
    check(shared, name)


@pytest.mark.parametrize("name", CASES)
def test_contract_of_the_whole_program(on_program: Page, name: str) -> None:
    check(on_program, name)


def check(page: Page, name: str) -> None:
    page.home()
    CASES[name][1](page)
    assert page.client.notices == []
    assert page.rig.status()["hmi"].get("internal_errors", 0) == 0

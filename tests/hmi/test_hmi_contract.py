"""Every message and every field of the contract, by the real socket.io-client as both generations of the page do it.

Fast, on the real server and core with a simulated board in this process; and on the whole program with its own
simulated arm, as a user starts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from controller.spec.modes import BusState
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


class Kept:
    """One page for all cases, and a new one after a line that was lost: others may hold this machine up."""

    def __init__(self, make: Callable[[], AbstractContextManager[Page]]) -> None:
        self._make, self._stack = make, ExitStack()
        self._page: Page | None = None

    def page(self) -> Page:
        if self._page is not None and self._page.state.bus_state != BusState.CYCLIC:
            self.close()
        if self._page is None:
            self._page = self._stack.enter_context(self._make())
        return self._page

    def close(self) -> None:
        self._page = None
        self._stack.close()


@pytest.fixture(scope="module", params=PAGES, ids=lambda way: "-".join((way[0], *way[1])))
def shared(request: pytest.FixtureRequest) -> Iterator[Kept]:
    kept = Kept(lambda: page_on_arm(*request.param))
    yield kept
    kept.close()


@pytest.fixture(scope="module", params=["G1", "G2"])
def on_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    @contextmanager
    def page() -> Iterator[Page]:
        with program_rig(tmp_path_factory.mktemp("program")) as rig, page_of(request.param, ["websocket"], rig) as page:
            yield page

    kept = Kept(page)
    yield kept
    kept.close()


@pytest.mark.flaky(reruns=2, only_rerun=["Lost bus", "bus lost", "Contacts open with enable"])
@pytest.mark.parametrize("name", CASES)
def test_contract(shared: Kept, name: str) -> None:
    check(shared.page(), name)


@pytest.mark.flaky(reruns=2, only_rerun=["Lost bus", "bus lost", "Contacts open with enable"])
@pytest.mark.parametrize("name", CASES)
def test_contract_of_the_whole_program(on_program: Kept, name: str) -> None:
    check(on_program.page(), name)


def check(page: Page, name: str) -> None:
    try:
        page.home()
        CASES[name][1](page)
    except AssertionError:
        assert page.state.bus_state == BusState.CYCLIC, "bus lost"
        raise
    assert page.client.notices == []
    assert page.rig.status()["hmi"].get("internal_errors", 0) == 0

"""The tables in docs/ are those of the code, and the generator refuses what it cannot fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import config
from controller.config_reader import keys
from controller.spec import docs, emit, faults, registers


def test_documents_are_up_to_date() -> None:
    assert docs.stale() == []
    assert any("generated: " in path.read_text() for path in docs.DOCS.glob("*.md"))


def test_nothing_is_left_undocumented() -> None:
    text = "".join(path.read_text() for path in docs.DOCS.glob("**/*.md"))
    assert {f"<!-- generated: configuration {name} -->" in text for name in config.SECTIONS} == {True}
    for kind, rows in (("errors", faults.ERRORS), ("warnings", faults.WARNINGS)):
        for source in {row.source for row in rows}:
            assert f"<!-- generated: faults {kind} {source} -->" in text


def test_tables_hold_every_row() -> None:
    assert docs.block("registers").count("\n") == len(registers.REGISTERS) + 2
    assert "| 100+i | 1 | Drive in error |" in docs.block("faults errors master")
    assert "| 291 | 0, not resettable |" in docs.block("faults errors master")
    assert docs.block("faults warnings drive").count("\n") == 7 + 2
    assert "| 4 + 6 N | 4 N | torque offsets |" in docs.block("telegram command")
    assert "| 19 | 5 | footer | FF FF FF FF FF |" in docs.block("telegram block")
    for table in emit.enumerations():
        assert docs.block(f"enumeration {table.__name__}").count("\n") == len(table) + 2
    for name, kind in config.SECTIONS.items():
        assert [line.split("`")[1] for line in docs.block(f"configuration {name}").splitlines()[2:]] == list(keys(kind))


def test_a_stale_table_is_listed_then_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: enumeration BusState -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(docs, "stale", lambda stale=docs.stale: stale(tmp_path))
    assert docs.main(["--check"]) == 1
    assert str(page) in capsys.readouterr().out
    assert "old" in page.read_text()
    assert docs.main([]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- generated")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| 2 | CYCLIC |" in text
    assert "old" not in text
    assert docs.main(["--check"]) == 0


@pytest.mark.parametrize(("text", "message"), [
    ("<!-- generated: nonsense -->\n<!-- end -->", "no block 'nonsense'; there are registers"),
    ("<!-- generated: enumeration Nothing -->\n<!-- end -->", "block 'enumeration Nothing'"),
    ("<!-- generated: telegram -->\n<!-- end -->", "block 'telegram'"),
    ("<!-- generated: registers -->\n", "no <!-- end -->"),
])
def test_a_block_that_cannot_be_filled_names_the_file(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"here\.md") as error:
        docs.filled(text, "here.md")
    assert message in str(error.value)


def test_cells_cannot_break_the_table() -> None:
    assert docs.markdown(["a"], [["x|y\nz"]]) == "| a |\n| --- |\n| x\\|y z |\n"

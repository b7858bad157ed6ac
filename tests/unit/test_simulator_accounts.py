"""What the state file keeps, and what happens when it is damaged or shared."""

from pathlib import Path

import pytest

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.accounts.journal import Journal, JournalError


def test_tokens_and_products_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new-folder" / "state.jsonl"
    journal = Journal(path)
    accounts = Accounts(journal)
    accounts.issue("t1", "t1")
    accounts.issue("t2", "owner", expires=5.5)
    accounts.issue("t3", "t3")
    accounts.revoke("t3")
    accounts.register("t1", "p1", "Sekačka\n\u2028", "")
    accounts.register("t1", "p1", "Sekačka", "nová")
    accounts.register("t1", "p2", "n", "d")
    accounts.register("owner", "p2", "n", "d")
    assert accounts.forget("p2")
    assert not accounts.forget("p2")
    journal.close()

    again = Accounts(Journal(path))
    assert again.tokens() == accounts.tokens()
    assert [token.token for token in again.tokens()] == ["t1", "t2"]
    assert list(again.products()) == list(accounts.products())
    assert [(product.owner, product.id, product.description) for product in again.products()] == [("t1", "p1", "nová")]
    assert again.is_registered("p1")
    assert not again.is_registered("p2")


def test_a_last_line_that_was_cut_off_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    journal = Journal(path)
    Accounts(journal).issue("whole", "whole")
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"entry":"token_issued","token":"ha')

    journal = Journal(path)
    accounts = Accounts(journal)
    accounts.issue("next", "next")
    journal.close()
    assert [token.token for token in Accounts(Journal(path)).tokens()] == ["whole", "next"]


def test_a_file_that_is_something_else_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    path.write_text('{"entry":"token_revoked","token":"t"}\nhello\n')
    with pytest.raises(JournalError, match="line 2"):
        Accounts(Journal(path))
    assert path.read_text().endswith("hello\n"), "and is left as it was"


def test_a_file_has_one_user_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    journal = Journal(path)
    with pytest.raises(JournalError, match="in use"):
        Journal(path)
    journal.close()
    Journal(path).close()

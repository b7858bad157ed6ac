"""The ledger remembers in bounded memory, says what it has cut, and finds what is asked for."""

from offers_simulator.ledger import Call, Ledger, Outcome, Query

OK = Outcome("GET", "offers", 200, None)


def calls(ledger: Ledger, query: Query | None = None) -> list[Call]:
    return [call for batch in ledger.select(query or Query()) for call in batch]


def test_calls_come_back_as_they_were_made() -> None:
    ledger = Ledger(10)
    ledger.record(1.5, Outcome("POST", "auth", 201, None), None, None)
    ledger.record(2.5, Outcome("GET", "offers", None, "black_hole"), "p", "t")
    assert calls(ledger) == [
        Call(0, 1.5, "POST", "auth", None, None, 201, None),
        Call(1, 2.5, "GET", "offers", "p", "t", None, "black_hole"),
    ]


def test_the_oldest_calls_are_cut_and_counted() -> None:
    ledger = Ledger(3)
    for number in range(8):
        ledger.record(float(number), OK, str(number), None)
    assert [(call.index, call.product) for call in calls(ledger)] == [(5, "5"), (6, "6"), (7, "7")]
    assert (ledger.first_index, ledger.next_index, ledger.cut) == (5, 8, 5)


def test_indexes_go_on_after_clearing() -> None:
    ledger = Ledger(3)
    for number in range(5):
        ledger.record(float(number), OK, None, None)
    ledger.clear()
    assert calls(ledger) == []
    assert (ledger.first_index, ledger.next_index, ledger.cut) == (5, 5, 0)
    for number in range(4):
        ledger.record(float(number), OK, str(number), None)
    assert [(call.index, call.product) for call in calls(ledger)] == [(6, "1"), (7, "2"), (8, "3")]
    assert ledger.cut == 1
    assert ledger.totals() == {OK: 9}


def test_every_filter_restricts() -> None:
    ledger = Ledger(10)
    ledger.record(0, Outcome("POST", "register", 201, None), "a", "t")
    ledger.record(0, OK, "a", "t")
    ledger.record(0, OK, "b", "t")
    ledger.record(0, Outcome("GET", "offers", 401, None), "a", "u")

    def found(query: Query) -> list[int]:
        return [call.index for call in calls(ledger, query)]

    assert found(Query(endpoint="register")) == [0]
    assert found(Query(product="a")) == [0, 1, 3]
    assert found(Query(token="u")) == [3]
    assert found(Query(status=200)) == [1, 2]
    assert found(Query(since=2)) == [2, 3]
    assert found(Query(product="a", limit=2)) == [0, 1]
    assert found(Query(since=1, product="a", status=200)) == [1]
    assert found(Query(limit=0)) == []
    assert found(Query(since=100)) == []


def test_calls_made_during_a_listing_do_not_disturb_it() -> None:
    ledger = Ledger(2500)
    for _ in range(2500):
        ledger.record(0, OK, None, None)
    listing = ledger.select(Query())
    indexes = [call.index for call in next(listing)]
    for _ in range(1200):
        ledger.record(0, OK, None, None)
    indexes += [call.index for batch in listing for call in batch]
    assert indexes == [*range(1000), *range(1200, 2500)], (
        "1000 to 1199 were pushed out, later ones are not its business"
    )

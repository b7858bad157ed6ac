"""Which span of time is asked about, and how finely it is cut."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import SECOND, to_instant
from price_history.domain.resolution import AUTO_POINTS, MAX_POINTS, Buckets, buckets, choose_buckets
from price_history.domain.window import Window, parse_period, parse_time, window

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
DAY = 86_400


def span(seconds: float, end: datetime = NOW) -> Window:
    return Window(to_instant(end - timedelta(seconds=seconds)), to_instant(end))


class TestPeriods:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("24h", timedelta(hours=24)),
            ("1m", timedelta(minutes=1)),
            ("007d", timedelta(days=7)),
            ("2w", timedelta(weeks=2)),
            ("P7D", timedelta(days=7)),
            ("PT12H", timedelta(hours=12)),
            ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
            ("P2W", timedelta(weeks=2)),
            ("P1Y", timedelta(days=365)),
            ("P1M", timedelta(days=30)),
            ("PT1M", timedelta(minutes=1)),
        ],
    )
    def test_both_forms_are_read(self, text: str, expected: timedelta) -> None:
        assert parse_period(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "h",
            "24",
            "24s",
            "-1h",
            "1.5h",
            "24H",
            "0h",
            "P",
            "PT",
            "P1DT",
            "PT0S",
            "p7d",
            "-P7D",
            "7D",
            "P1H",
            " 1h",
            "1h ",
            "1h\n",
            "999999999w",
            "P999999999Y",
            "9999999999999m",
            "\u0661h",
            "P7D\x00",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidParameterError):
            parse_period(text)

    @given(st.text(max_size=12))
    def test_no_text_does_anything_but_be_read_or_refused(self, text: str) -> None:
        with suppress(InvalidParameterError):
            assert parse_period(text) > timedelta()


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
            ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
            ("2026-03-01T12:00:00.25Z", NOW),
            ("2026-03-01T12:00:00.250000999Z", NOW),
            ("2026-03-01T13:30:00.25+01:30", NOW),
            ("2026-03-01T11:00:00.25-01:00", NOW),
        ],
    )
    def test_rfc_3339_is_read(self, text: str, expected: datetime) -> None:
        assert parse_time("from", text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01 12:00:00Z",
            "1772366400",
            "2026-02-30T00:00:00Z",
            "2026-03-01T25:00:00Z",
            "2026-03-01T12:00:61Z",
            "2026-03-01T12:00:00+25:00",
            "1969-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2026-W09-7T12:00:00Z",
            "20260301T120000Z",
            "2026-03-01T12:00:00 02:00",
            "\u0662026-03-01T12:00:00Z",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidParameterError):
            parse_time("from", text)


class TestWindows:
    def test_the_last_24_hours_by_default(self) -> None:
        assert window(NOW, None, None, None) == span(DAY)

    def test_a_period_reaches_back_from_now_or_from_to(self) -> None:
        earlier = NOW - timedelta(days=3)
        assert window(NOW, None, None, timedelta(hours=1)) == span(3600)
        assert window(NOW, None, earlier, timedelta(hours=1)) == span(3600, earlier)

    def test_from_lies_24_hours_before_to_by_default(self) -> None:
        earlier = NOW - timedelta(days=3)
        assert window(NOW, None, earlier, None) == span(DAY, earlier)

    def test_to_is_now_by_default(self) -> None:
        assert window(NOW, NOW - timedelta(seconds=5), None, None) == span(5)

    @pytest.mark.parametrize(
        ("begins", "ends", "period", "blamed"),
        [
            (NOW - timedelta(hours=1), None, timedelta(hours=1), "period"),
            (NOW, NOW, None, "from"),
            (NOW + timedelta(microseconds=1), None, None, "from"),
            (None, None, timedelta(days=365 * 100), "period"),
            (None, datetime(1970, 1, 1, 1, tzinfo=UTC), None, "to"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, begins: datetime | None, ends: datetime | None, period: timedelta | None, blamed: str
    ) -> None:
        with pytest.raises(InvalidParameterError) as refused:
            window(NOW, begins, ends, period)
        assert refused.value.parameter == blamed


class TestResolutions:
    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            (0.01, 1),
            (60, 1),
            (498, 1),
            (3600, 10),
            (DAY, 300),
            (7 * DAY, 1800),
            (30 * DAY, 2 * 3600),
            (365 * DAY, DAY),
            (400 * DAY, DAY),
            (5 * 365 * DAY, 7 * DAY),
        ],
    )
    def test_auto_takes_the_finest_round_length(self, seconds: float, expected: int) -> None:
        cut = choose_buckets(span(seconds), "auto")
        assert cut is not None
        assert cut.seconds == expected

    @given(st.integers(1, 56 * 365 * DAY * SECOND), st.integers(0, 40 * 365 * DAY * SECOND))
    def test_auto_never_gives_more_than_500_points(self, length: int, start: int) -> None:
        cut = choose_buckets(Window(start, start + length), "auto")
        assert cut is not None
        assert 1 <= cut.count <= AUTO_POINTS

    def test_auto_reaches_over_all_of_time(self) -> None:
        everything = Window(0, to_instant(datetime.max.replace(tzinfo=UTC)))
        assert choose_buckets(everything, "auto") is not None

    def test_raw_is_not_cut(self) -> None:
        assert choose_buckets(span(DAY), "raw") is None

    def test_lengths_are_given_with_a_unit(self) -> None:
        aligned = Window(0, DAY * SECOND)
        assert choose_buckets(aligned, "90s") == Buckets(0, 90, 960)
        assert choose_buckets(aligned, "5m") == Buckets(0, 300, 288)
        assert choose_buckets(aligned, "1h") == Buckets(0, 3_600, 24)
        assert choose_buckets(aligned, "2d") == Buckets(0, 2 * DAY, 1)

    def test_a_window_across_boundaries_takes_one_bucket_more(self) -> None:
        assert buckets(Window(1, DAY * SECOND + 1), 300).count == 289

    @pytest.mark.parametrize("text", ["", "0s", "000d", "5", "5w", "5M", "-5m", "1.5h", "Raw", "5m ", "9999999999d"])
    def test_unknown_ones_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidParameterError):
            choose_buckets(span(DAY), text)

    def test_more_than_5000_points_are_refused(self) -> None:
        exactly = Window(0, MAX_POINTS * SECOND)
        cut = choose_buckets(exactly, "1s")
        assert cut is not None
        assert cut.count == MAX_POINTS
        with pytest.raises(InvalidParameterError, match="5001"):
            choose_buckets(Window(0, MAX_POINTS * SECOND + 1), "1s")

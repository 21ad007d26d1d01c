"""The month's forecast: its band holds what it promises, and where it cannot be said it says what is missing."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from support.ledger import attempt, call, settlement

from smallfirst.ledger import store
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.records import Heartbeat
from smallfirst.ledger.reports import Reports, Span
from smallfirst.planning.bill.daily_model import LEAST_DAYS, cumulated
from smallfirst.planning.bill.forecast import Limit, forecast, limits_ahead

NOON = datetime.datetime(2026, 11, 16, 12, tzinfo=datetime.UTC)
_WEEK = np.array([1.0, 1.1, 1.05, 1.0, 0.9, 0.4, 0.3])


def series(draw, days, *, rho, heavy=False):
    """Days with a weekday pattern and errors that follow on one another."""
    errors = np.empty(days)
    fresh = draw.standard_t(5, days) / np.sqrt(5 / 3) if heavy else draw.normal(size=days)
    errors[0] = fresh[0]
    for day in range(1, days):
        errors[day] = rho * errors[day - 1] + np.sqrt(1 - rho * rho) * fresh[day]
    return 1000 * _WEEK[np.arange(days) % 7] + 100 * errors


@pytest.mark.parametrize(("known", "coming", "heavy"), [(10, 20, False), (21, 12, False), (56, 15, True)])
def test_four_of_five_months_end_within_the_band(known, coming, heavy):
    """200 seeded series, how strongly their days follow on one another drawn evenly from 0 to 0.95, as the model takes
    it to be; 0.80 ± three of the standard errors that 200 have. Under two weeks the pattern is a part of the scatter.
    """
    draw = np.random.default_rng(7 * known)
    held = 0
    for _ in range(200):
        days = series(draw, known + coming, rho=draw.uniform(0, 0.95), heavy=heavy)
        if known < 14:
            days += 1000 - 1000 * _WEEK[np.arange(len(days)) % 7]
        band = cumulated(days[:known], 0, [1.0] * coming)[-1]
        held += band.low <= days[known:].sum() <= band.high
    assert abs(held / 200 - 0.8) <= 0.085


def test_a_wandering_series_has_a_wider_band_than_one_that_scatters():
    draw = np.random.default_rng(3)

    def width(rho):
        bands = [cumulated(series(draw, 42, rho=rho), 0, [1.0] * 14)[-1] for _ in range(20)]
        return float(np.mean([band.high - band.low for band in bands]))

    assert width(0.9) > 1.5 * width(0.0)


def test_days_that_are_all_alike_are_known_to_go_on():
    bands = cumulated([50.0] * 20, 0, [0.5, 1.0, 1.0])
    assert [band.mean for band in bands] == pytest.approx([25, 75, 125])
    assert all(band.high - band.low < 1e-3 for band in bands)


def test_the_weekdays_are_known_after_two_weeks():
    days = 1000 * _WEEK[np.arange(28) % 7]
    bands = cumulated(days, 0, [1.0] * 7)
    assert np.diff([0, *(band.mean for band in bands)]) == pytest.approx(1000 * _WEEK, rel=1e-6)


def test_nothing_spent_is_nothing_expected():
    assert cumulated([0.0] * 30, 0, [1.0])[0].high == pytest.approx(0, abs=1e-6)


def test_too_few_days_are_refused():
    with pytest.raises(ValueError, match="at least 7"):
        cumulated([1.0] * (LEAST_DAYS - 1), 0, [1.0])


# Of a ledger.


@pytest.fixture
def reports(tmp_path):
    conn = store.connect(tmp_path)
    store.migrate(conn)
    reader = Reader(tmp_path)
    made = Reports(reader)
    made.take = lambda *records: Intake(conn).take(
        [one if isinstance(one, Heartbeat) else settlement(one) for one in records], None
    )
    yield made
    reader.close()
    conn.close()


def spent(day, nusd, hour=9, **fields):
    at = datetime.datetime.combine(day, datetime.time(hour), datetime.UTC)
    return call(attempt(cost_nusd=nusd), at_ms=int(at.timestamp() * 1000), **fields)


def daily(nusd, days, *, until=NOON.date(), **fields):
    """The same on each of the days before a day, and something on one before them: the first is no whole day."""
    first = [spent(until - datetime.timedelta(days=days + 1), 1, **fields)]
    return first + [spent(until - datetime.timedelta(days=ago), nusd, **fields) for ago in range(1, days + 1)]


def test_a_steady_month_comes_to_its_days(reports):
    reports.take(*daily(1000, 20), spent(NOON.date(), 1000))
    found = forecast(reports, Span(), NOON)
    assert (found.month, found.history_days, found.weekdays) == ("2026-11", 20, True)
    assert found.so_far_nusd == 16 * 1000
    # all of a day comes at nine: of today nothing is left; fourteen days are
    assert found.total_nusd == 30_000
    assert found.days[0].day == NOON.date()
    assert found.days[0].total_nusd == 16_000
    assert found.days[-1].day == datetime.date(2026, 11, 30)


def test_of_today_the_hours_that_are_left_are_expected(reports):
    reports.take(*daily(1000, 20))
    morning = NOON.replace(hour=9, minute=30)
    assert forecast(reports, Span(), morning).days[0].total_nusd == 15 * 1000 + 500


def test_today_is_no_day_of_the_history(reports):
    reports.take(*daily(1000, 20), spent(NOON.date(), 90_000))
    assert forecast(reports, Span(), NOON).total_nusd == 15_000 + 90_000 + 14_000


def test_the_days_before_the_first_call_do_not_count(reports):
    reports.take(*daily(1000, 8))
    found = forecast(reports, Span(), NOON)
    assert (found.history_days, found.weekdays) == (8, False)
    assert found.total_nusd == 8001 + 14_000


def test_quiet_days_between_calls_do_count(reports):
    reports.take(*daily(700, 1, until=NOON.date() - datetime.timedelta(days=13)))
    found = forecast(reports, Span(), NOON)
    assert found.history_days == 14
    assert found.low_nusd >= found.so_far_nusd


def test_too_short_a_history_gives_no_number_but_what_is_missing(reports):
    reports.take(*daily(1000, 4))
    found = forecast(reports, Span(), NOON)
    assert (found.total_nusd, found.low_nusd, found.days) == (None, None, ())
    assert (found.history_days, found.missing_days, found.so_far_nusd) == (4, 3, 4001)
    assert forecast(reports, Span(tenant="nobody"), NOON).missing_days == 7


@pytest.mark.parametrize(
    ("now", "total_nusd"),
    [(NOON.replace(day=30, hour=23, minute=59), 29_000), (NOON.replace(day=1, hour=0), 30_000)],
)
def test_the_last_day_of_a_month_has_a_forecast_and_so_has_the_first(reports, now, total_nusd):
    reports.take(*daily(1000, 40, until=now.date()))
    assert forecast(reports, Span(), now).total_nusd == total_nusd


def test_a_moment_of_another_time_zone_is_taken_in_utc(reports):
    reports.take(*daily(1000, 20))
    here = datetime.timezone(datetime.timedelta(hours=-8))
    evening = datetime.datetime(2026, 10, 31, 23, 0, tzinfo=here)
    assert forecast(reports, Span(), evening).month == "2026-11"


def test_what_is_spent_never_comes_back(reports):
    draw = np.random.default_rng(1)
    days = [int(nusd) for nusd in draw.lognormal(5, 2, 30)]
    reports.take(
        *(spent(NOON.date() - datetime.timedelta(days=30 - at), nusd) for at, nusd in enumerate(days))
    )
    found = forecast(reports, Span(), NOON)
    lows = [day.low_nusd for day in found.days]
    assert min(lows) >= found.so_far_nusd
    assert found.low_nusd < found.total_nusd < found.high_nusd


def test_own_models_hours_go_on_as_in_the_last_day_and_stand_apart(reports):
    hour_ms = 3_600_000
    now_ms = int(NOON.timestamp() * 1000)
    beats = [
        Heartbeat(at_ms=now_ms - ago * hour_ms + 1, seconds=3600.0, hourly_nusd={"own": 100})
        for ago in range(1, 31)
    ]
    reports.take(*daily(1000, 20), *beats)
    found = forecast(reports, Span(), NOON)
    assert found.own_models_so_far_nusd == 30 * 100
    assert found.own_models_total_nusd == 30 * 100 + (14 * 24 + 12) * 100
    assert found.total_nusd == 29_000
    assert forecast(reports, Span(tenant="acme"), NOON).own_models_total_nusd == 0


def test_attempts_of_unknown_price_are_named(reports):
    unknown = spent(NOON.date(), None)
    reports.take(*daily(1000, 20), unknown)
    assert forecast(reports, Span(), NOON).unknown_attempts == 1


def test_a_budget_is_reached_on_the_day_on_which_the_sum_gets_there(reports):
    reports.take(
        *daily(1000, 20, tenant="acme"),
        *daily(10, 20, tenant="globex"),
        *daily(5000, 20, tenant="acme", origin="eval"),  # no budget of a tenant pays for that
    )
    limits = [
        Limit(scope="tenant", name="acme", nusd=20_500),
        Limit(scope="tenant", name="acme", nusd=14_000),
        Limit(scope="tenant", name="globex", nusd=20_500),
        Limit(scope="gateway", name="", nusd=25_000),
        Limit(scope="task", name="nothing", nusd=1),
    ]
    near, over, far, all_of_it, quiet = limits_ahead(reports, limits, NOON)
    assert near.spent_nusd == 15_000
    # the 22nd ends at 21,000
    assert (near.reached_on, near.total_nusd) == (datetime.date(2026, 11, 22), 29_000)
    assert over.reached_on == over.earliest_on == NOON.date()
    assert (far.reached_on, far.earliest_on) == (None, None)
    assert all_of_it.spent_nusd == 15_150
    assert all_of_it.reached_on == datetime.date(2026, 11, 26)
    assert (quiet.spent_nusd, quiet.total_nusd, quiet.reached_on, quiet.missing_days) == (0, None, None, 7)

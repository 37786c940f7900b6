"""Schedules of the KL weight: their values, by exact fractions where those are known."""

import math
from fractions import Fraction

import pytest

from tfp_bnn import kl_schedules


def epoch_of(schedule, num_batches, epoch=0):
    """Returns the factors of all batches of an epoch."""
    return [schedule(epoch, batch, num_batches) for batch in range(num_batches)]


@pytest.mark.parametrize("where", [(0, 0, 5), (7, 3, 5), (2, 9, None)])
def test_constant_is_1_everywhere(where):
    assert kl_schedules.constant(*where) == 1.0


def test_warmup_rises_by_equal_steps_to_1_and_stays_there():
    schedule = kl_schedules.linear_warmup(2)
    factors = [factor for epoch in range(4) for factor in epoch_of(schedule, 4, epoch)]
    assert factors == pytest.approx([step / 8 for step in range(1, 9)] + [1.0] * 8, rel=1e-15)


def test_warmup_takes_parts_of_an_epoch():
    assert epoch_of(kl_schedules.linear_warmup(0.5), 4) == [0.5, 1.0, 1.0, 1.0]


def test_warmup_over_no_epochs_is_constant():
    assert epoch_of(kl_schedules.linear_warmup(0), 3) == [1.0, 1.0, 1.0]
    assert kl_schedules.linear_warmup(0)(0, 0, None) == 1.0


def test_warmup_has_the_factor_of_an_epochs_middle_where_the_number_of_batches_is_unknown():
    schedule = kl_schedules.linear_warmup(4)
    assert [schedule(epoch, 7, None) for epoch in range(5)] == [0.125, 0.375, 0.625, 0.875, 1.0]
    assert kl_schedules.linear_warmup(1)(0, 0, None) == 0.5  # not 0, which would leave the KL term out


def test_a_cycle_rises_from_0_to_1_stays_and_starts_anew():
    schedule = kl_schedules.cyclical(2, rising=0.5)
    for epoch in (0, 2, 10):
        cycle = epoch_of(schedule, 4, epoch) + epoch_of(schedule, 4, epoch + 1)
        assert cycle == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


def test_a_cycle_that_rises_all_the_time_never_reaches_1():
    assert epoch_of(kl_schedules.cyclical(1, rising=1.0), 4) == [0.0, 0.25, 0.5, 0.75]


def test_cycles_may_be_shorter_than_an_epoch():
    assert epoch_of(kl_schedules.cyclical(0.5, rising=0.5), 8) == [0.0, 0.5, 1.0, 1.0] * 2


def test_cycles_have_the_factor_of_an_epochs_middle_where_the_number_of_batches_is_unknown():
    schedule = kl_schedules.cyclical(4, rising=0.5)
    assert [schedule(epoch, 3, None) for epoch in range(5)] == [0.25, 0.75, 1.0, 1.0, 0.25]
    assert kl_schedules.cyclical(1)(3, 9, None) == 1.0


def test_blundell_is_the_formula_of_the_paper():
    exact = [5 * Fraction(2 ** (5 - i), 2**5 - 1) for i in range(1, 6)]
    assert sum(exact) == 5
    assert epoch_of(kl_schedules.blundell, 5) == pytest.approx([float(factor) for factor in exact], rel=1e-15)
    assert epoch_of(kl_schedules.blundell, 5, epoch=3) == epoch_of(kl_schedules.blundell, 5)


@pytest.mark.parametrize("num_batches", [1, 2, 10, 469, 2000])
def test_the_factors_of_blundell_have_mean_1_and_are_finite(num_batches):
    factors = epoch_of(kl_schedules.blundell, num_batches)
    assert all(math.isfinite(factor) and factor >= 0 for factor in factors)
    assert math.fsum(factors) == pytest.approx(num_batches, rel=1e-14)
    assert factors == sorted(factors, reverse=True)


def test_blundell_needs_the_number_of_batches():
    with pytest.raises(ValueError, match="steps_per_epoch"):
        kl_schedules.blundell(0, 0, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kl_schedules.linear_warmup(-1), "Received: epochs=-1"),
        (lambda: kl_schedules.linear_warmup(math.nan), "Received: epochs=nan"),
        (lambda: kl_schedules.cyclical(math.nan), "Received: epochs=nan"),
        (lambda: kl_schedules.cyclical(0), "Received: epochs=0, rising=0.5"),
        (lambda: kl_schedules.cyclical(-2.5), "Received: epochs=-2.5"),
        (lambda: kl_schedules.cyclical(1, rising=0), "rising=0"),
        (lambda: kl_schedules.cyclical(1, rising=1.1), "rising=1.1"),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Specimens that evolve follow the laws that they are named after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from insitu_samples import HOLDER, HOT, STEADY, run
from scipy.integrate import quad, solve_ivp
from scipy.stats import chi2, kstest, poisson

from instruments.simulated import kinetics
from instruments.simulated.conditions import Conditions
from instruments.simulated.holders import (
    BIASING_CHIP,
    FURNACE,
    HEATING_CHIP,
    LIQUID_CELL,
    HolderSettings,
)
from instruments.simulated.insitu import BLOCK_NM, PopulationSettings, Process, populate
from instruments.simulated.insitu_changes import (
    Coarsening,
    CoarseningSettings,
    Dissolution,
    DissolutionSettings,
    Front,
    FrontSettings,
    Transformation,
    TransformationSettings,
)
from instruments.simulated.insitu_growth import Growth, GrowthSettings
from instruments.simulated.kinetics import RateLaw, lsw_radius, lsw_survival

if TYPE_CHECKING:
    from collections.abc import Callable

BIG = ((-2000.0, 2000.0), (0.0, 4000.0))
SMALL = ((-130.0, 480.0), (50.0, 700.0))


def test_populations_are_poisson_uniform_and_log_normal() -> None:
    settings = PopulationSettings(per_um2=50.0)
    blocks = [populate(3, settings, (i, j)) for i in range(-20, 20) for j in range(-15, 15)]
    counts = np.array([len(block.id) for block in blocks])
    mean = 50.0 * 0.16
    seen = np.bincount(np.clip(counts, 3, 14), minlength=15)[3:]
    chances = poisson.pmf(np.arange(3, 15), mean)
    chances[0], chances[-1] = poisson.cdf(3, mean), poisson.sf(13, mean)
    expected = chances * len(blocks)
    assert ((seen - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 11)
    x, radius = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("x_nm", "radius_nm"))
    assert kstest(x % BLOCK_NM / BLOCK_NM, "uniform").pvalue > 1e-3
    assert kstest(np.log(radius / 5.0) / 0.25, "norm").pvalue > 1e-3
    assert len(np.unique(np.concatenate([block.id for block in blocks]))) == counts.sum()


def test_births_are_poisson_in_space_and_follow_the_rate_in_time() -> None:
    conditions = run()
    settings = GrowthSettings(reservoir_nm=None)
    events = Growth(settings, conditions, 5).events((0.0, 8000.0), (0.0, 8000.0), 0.0, 90.0)
    woken = kinetics.Progress(settings.nucleation, conditions)
    part = 1 - math.exp(-float(woken.total(90.0)[0]))
    assert len(events) == pytest.approx(150 * 64 * part, abs=4 * math.sqrt(150 * 64 * part))
    times = np.array([event.t_s for event in events])
    assert kstest((1 - np.exp(-woken.total(times))) / part, "uniform").pvalue > 1e-3
    cells = np.array([(event.x_nm // 400, event.y_nm // 400, event.t_s > 45) for event in events], dtype=int)
    counts = np.bincount(cells[:, 0] * 40 + cells[:, 1] * 2 + cells[:, 2], minlength=800)
    for late in (0, 1):
        half = counts[late::2]  # dispersion of counts over 400 places
        assert chi2.ppf(0.001, 399) < ((half - half.mean()) ** 2).sum() / half.mean() < chi2.ppf(0.999, 399)


@pytest.mark.parametrize("exponent", [1, 2])
def test_free_growth_follows_its_power_law(exponent: Literal[1, 2]) -> None:
    settings = GrowthSettings(nucleation=STEADY, growth=STEADY, exponent=exponent, reservoir_nm=None)
    process = Growth(settings, Conditions(HOLDER, 0), 5)
    born = {event.id: event.t_s for event in process.events(*BIG, 0.0, 300.0)}
    grown = process.particles(*BIG, 300.0)
    age_s = 300.0 - np.array([born[n] for n in grown.id.tolist()])
    np.testing.assert_allclose(grown.radius_nm**exponent, 0.5**exponent + 0.01 * age_s)


@pytest.mark.parametrize("exponent", [1, 2])
def test_a_block_grows_as_its_reservoir_allows(exponent: Literal[1, 2]) -> None:
    settings = GrowthSettings(nucleation=STEADY, growth=RateLaw(at_reference=0.05), exponent=exponent)
    process = Growth(settings, Conditions(HOLDER, 0), 5)
    block = (0.0, 400.0), (0.0, 400.0)
    births = np.array([event.t_s for event in process.events(*block, 0.0, 2000.0)])
    assert len(births) > 5
    reservoir_nm3 = 1.0 * BLOCK_NM**2

    def slope(t_s: float, theta: np.ndarray, known: list[float]) -> list[float]:
        used = sum(4 / 3 * math.pi * max(0.5**exponent + theta[0] - at, 0.0) ** (3 / exponent) for at in known)
        return [0.05 * max(0.0, 1 - used / reservoir_nm3)]

    theta, at, known = 0.0, 0.0, list[float]()
    for birth in [*births, 2000.0]:
        if birth > at:
            theta = float(solve_ivp(slope, (at, birth), [theta], args=(known,), rtol=1e-9, atol=1e-9).y[0, -1])
        known.append(theta)
        at = birth
    expected = np.sort((0.5**exponent + theta - np.array(known[:-1])) ** (1 / exponent))
    np.testing.assert_allclose(np.sort(process.particles(*block, 2000.0).radius_nm), expected, rtol=2e-4)
    spent = [process.spent((0, 0), t_s) for t_s in np.linspace(0, 4000 * exponent**2, 300)]
    assert np.all(np.diff(spent) > -1e-6)
    assert 0.99 < spent[-1] <= 1 + 1e-6


@pytest.mark.parametrize("exponent", [1, 2])
def test_dissolution_follows_its_power_law(exponent: Literal[1, 2]) -> None:
    settings = DissolutionSettings(rate=STEADY, exponent=exponent, facet_spread=0.0)
    process = Dissolution(settings, Conditions(HOLDER, 0), 5)
    start, later = process.particles(*BIG, 0.0), process.particles(*BIG, 480.0)
    left = start.radius_nm**exponent - 4.8
    np.testing.assert_allclose(later.radius_nm**exponent, left[left > 0], atol=1e-9)


def test_sizes_of_ripening_are_those_of_lifshitz_slyozov_and_wagner() -> None:
    def density(rho: float) -> float:
        tail = (1.5 / (1.5 - rho)) ** (11 / 3) * math.exp(-rho / (1.5 - rho))
        return float(4 / 9 * rho**2 * (3 / (3 + rho)) ** (7 / 3) * tail)

    for rho in (0.3, 0.8, 1.2, 1.4):
        assert lsw_survival(np.array([rho]))[0] == pytest.approx(quad(density, rho, 1.5 - 1e-12)[0], rel=1e-8)
    parts = np.linspace(0.001, 0.999, 50)
    np.testing.assert_allclose(lsw_survival(lsw_radius(parts)), parts, rtol=1e-12)


def test_ripening_scales_as_lifshitz_slyozov_and_wagner_say() -> None:
    process = Coarsening(CoarseningSettings(rate=STEADY), Conditions(HOLDER, 0), 5)
    states = [process.particles(*BIG, t_s) for t_s in (0.0, 800.0, 8000.0)]
    numbers = np.array([len(state.id) for state in states])
    cubes = np.array([8.0, 16.0, 88.0])
    np.testing.assert_allclose([state.radius_nm.mean() ** 3 for state in states], cubes, rtol=0.04)
    np.testing.assert_allclose(numbers * cubes / 8, 32000, rtol=0.06)  # number ∝ 1/⟨r⟩³
    volumes = [(state.radius_nm**3).sum() for state in states]
    np.testing.assert_allclose(volumes, volumes[0], rtol=0.06)
    for state, cube in zip(states, cubes, strict=True):
        assert kstest(state.radius_nm / cube ** (1 / 3), lambda rho: 1 - lsw_survival(rho)).pvalue > 1e-3


def test_every_ripening_particle_obeys_the_equation_of_the_mean_field() -> None:
    process = Coarsening(CoarseningSettings(rate=STEADY), Conditions(HOLDER, 0), 5)
    low, middle, high = (process.particles(*SMALL, t_s) for t_s in (499.5, 500.0, 500.5))
    stays = np.isin(low.id, high.id)
    rate = high.radius_nm - low.radius_nm[stays]
    radius, mean_nm = middle.radius_nm[np.isin(middle.id, high.id)], process.mean_radius_nm(500.0)
    expected = 9 / 4 * 0.01 * (1 / mean_nm - 1 / radius) / radius
    clear = radius > 0.3 * mean_nm
    assert np.count_nonzero(clear) > 100
    np.testing.assert_allclose(rate[clear], expected[clear], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("avrami", [1.0, 3.0])
def test_a_mosaic_without_spread_follows_avrami(avrami: float) -> None:
    settings = TransformationSettings(
        population=PopulationSettings(per_um2=300.0), onset=HOT, avrami=avrami, threshold_spread=0.0
    )
    conditions = run()
    process = Transformation(settings, conditions, 5)
    count = len(process.particles(*BIG, 0.0).id)
    for t_s in (60.0, 110.0, 180.0):
        progress = float(kinetics.Progress(HOT, conditions).total(t_s)[0])
        expected = 1 - math.exp(-(progress**avrami))
        begun = np.count_nonzero(process.particles(*BIG, t_s).fraction > 0)
        assert begun == pytest.approx(count * expected, abs=4 * math.sqrt(count * expected * (1 - expected)) + 1)


def test_only_some_of_a_mosaic_are_on_their_way() -> None:
    """Fewer at a time below the threshold than above it: particle by particle, then together."""
    shares = []
    for bias_V in (0.02, 0.2):
        conditions = Conditions(HOLDER, 0)
        conditions.set("bias_V", bias_V, 0.0)
        process = Transformation(TransformationSettings(), conditions, 7)
        whole = len(process.particles(*BIG, 0.0).id)
        fractions = [process.particles(*BIG, t_s).fraction for t_s in np.geomspace(3, 1e5, 20)]
        assert np.all(np.diff([fraction.mean() for fraction in fractions]) >= 0)
        shares.append(max(np.count_nonzero((f > 0) & (f < 1)) for f in fractions) / whole)
    assert shares[0] < 0.05
    assert shares[1] > 0.5


@pytest.mark.parametrize("direction_deg", [0.0, 120.0, None])
def test_a_front_parts_what_it_has_passed_from_what_is_ahead(direction_deg: float | None) -> None:
    settings = FrontSettings(velocity=RateLaw(at_reference=5.0), direction_deg=direction_deg, roughness_nm=0.0)
    process = Front(settings, Conditions(HOLDER, 0), 5)
    state = process.particles((-1500.0, 1500.0), (-1500.0, 1500.0), 100.0)
    turn = math.radians(direction_deg or 0.0)
    way = state.x_nm * math.cos(turn) + state.y_nm * math.sin(turn)
    way = np.hypot(state.x_nm, state.y_nm) if direction_deg is None else way
    assert np.all(state.fraction[way < 500 - state.radius_nm] == 1)
    assert np.all(state.fraction[way > 500 + state.radius_nm] == 0)
    inside = np.abs(way - 500) < 0.9 * state.radius_nm
    assert 0 < state.fraction[inside].min() < state.fraction[inside].max() < 1
    ahead = way > 0
    np.testing.assert_allclose(process.arrival_s(state.x_nm, state.y_nm)[ahead], way[ahead] / 5.0)


def test_a_rough_front_is_rough_by_its_setting() -> None:
    settings = FrontSettings(velocity=RateLaw(at_reference=1.0), start_nm=-1e4, roughness_nm=20.0)
    waits = [
        Front(settings, Conditions(HOLDER, 0), seed).arrival_s(np.zeros(200), np.linspace(0, 2e4, 200)) - 1e4
        for seed in range(20)
    ]
    assert np.std(waits) == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize(
    ("make", "holder", "order"),
    [
        (lambda c: Growth(GrowthSettings(), c, 1), LIQUID_CELL, ("concentration_mM", 1.0)),
        (lambda c: Dissolution(DissolutionSettings(), c, 1), LIQUID_CELL, ("concentration_mM", 1.0)),
        (lambda c: Coarsening(CoarseningSettings(), c, 1), HEATING_CHIP, ("temperature_K", 950.0)),
        (lambda c: Coarsening(CoarseningSettings(), c, 1), FURNACE, ("temperature_K", 950.0)),
        (lambda c: Front(FrontSettings(), c, 1), HEATING_CHIP, ("temperature_K", 720.0)),
        (lambda c: Transformation(TransformationSettings(), c, 1), BIASING_CHIP, ("bias_V", 0.1)),
    ],
)
def test_the_defaults_rest_until_their_usual_holder_is_set(
    make: Callable[[Conditions], Process], holder: HolderSettings, order: tuple[str, float]
) -> None:
    conditions = Conditions(holder, 0)
    process = make(conditions)
    idle = len(process.events(*BIG, 0.0, 1000.0))
    assert idle < 0.1 * (len(process.particles(*BIG, 1000.0).id) + 1)
    conditions.set(*order, 0.0)
    busy = len(process.events(*BIG, 0.0, 1000.0))
    assert busy > 5 * idle + 50

"""The Gaussian processes of structure → property, the plain one and the one with a learned kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from models.deep_kernel import DeepKernelGP
from models.structure_gp import StructureGP, whitened

RNG = np.random.default_rng(5)
PLACES = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
STRUCTURE = RNG.standard_normal((400, 3))
BY_STRUCTURE = np.sin(2 * STRUCTURE[:, 0]) + 0.3 * STRUCTURE[:, 1]
BY_PLACE = np.sin(PLACES[:, 0] / 4) * np.cos(PLACES[:, 1] / 5)
SEEN = RNG.choice(400, 60, replace=False)
REST = np.setdiff1d(np.arange(400), SEEN)


def plain(**changes: Any) -> StructureGP:
    return StructureGP(PLACES, [STRUCTURE], reach=4.0, **changes)


def deep(**changes: Any) -> DeepKernelGP:
    return DeepKernelGP(PLACES, STRUCTURE, reach=4.0, **changes)


@pytest.mark.parametrize("make", [plain, deep])
@pytest.mark.parametrize("truth", [BY_STRUCTURE, BY_PLACE])
def test_it_finds_out_by_itself_what_the_property_goes_by(make: Any, truth: Any) -> None:
    model = make()
    model.fit(SEEN, truth[SEEN])
    mean, sd = model.predict(REST)
    errors = mean - truth[REST]
    assert np.std(errors) < 0.6 * np.std(truth)
    assert 0.8 < np.mean(np.abs(errors) < 1.96 * sd)


def test_it_tells_what_its_values_go_by() -> None:
    for truth, name in ((BY_STRUCTURE, "structure"), (BY_PLACE, "place")):
        model = plain()
        model.fit(SEEN, truth[SEEN])
        assert max(model.shares(), key=lambda part: model.shares()[part]) == name
        assert sum(model.shares().values()) == pytest.approx(1.0)


def test_the_slope_of_the_likelihood_is_its_slope() -> None:
    model = plain()
    model.fit(SEEN[:20], BY_STRUCTURE[SEEN[:20]])
    squares = model._squares(SEEN[:20], SEEN[:20])
    scales = model._expected + np.array([0.3, -0.2, 0.4, -0.5, 0.1])
    slope = approx_fprime(scales, lambda at: model._loss(at, squares)[0], 1e-7)
    assert model._loss(scales, squares)[1] == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("make", [plain, deep])
def test_two_of_the_same_seed_predict_the_same_in_units_of_their_values(make: Any) -> None:
    first, second, scaled = make(seed=3), make(seed=3), make(seed=3)
    first.fit(SEEN, BY_STRUCTURE[SEEN])
    second.fit(SEEN, BY_STRUCTURE[SEEN])
    scaled.fit(SEEN, 8.0 * BY_STRUCTURE[SEEN])  # a power of two: no rounding
    mean, sd = first.predict(REST)
    assert (second.predict(REST)[0] == mean).all()
    assert scaled.predict(REST)[0] == pytest.approx(8.0 * mean)
    assert scaled.predict(REST)[1] == pytest.approx(8.0 * sd)


@pytest.mark.parametrize("make", [plain, deep])
def test_values_that_are_all_alike_are_no_trouble(make: Any) -> None:
    model = make()
    model.fit(SEEN, np.full(len(SEEN), 2.5))
    mean, sd = model.predict(REST)
    assert mean == pytest.approx(2.5)
    assert np.isfinite(sd).all()


@pytest.mark.parametrize("make", [plain, deep])
@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [1.0, 2.0, 3.0]])
def test_what_is_no_set_of_values_is_refused(make: Any, values: list[float]) -> None:
    model = make()
    with pytest.raises(RuntimeError, match="fit before"):
        model.predict(REST)
    with pytest.raises(ValueError, match="2 finite values"):
        model.fit(SEEN[:2], np.array(values))


def test_structure_that_is_not_finite_is_refused() -> None:
    broken = STRUCTURE.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        StructureGP(PLACES, [broken], reach=4.0)
    with pytest.raises(ValueError, match="finite"):
        DeepKernelGP(PLACES, broken, reach=4.0)
    with pytest.raises(ValueError, match="not finite"):
        whitened(broken, 2)
    with pytest.raises(ValueError, match=r"needs blocks of \(N, F\)"):
        StructureGP(PLACES, [STRUCTURE[:10]], reach=4.0)


def test_whitened_is_the_principal_components_and_drops_what_does_not_vary() -> None:
    wide = np.column_stack([10 * STRUCTURE[:, 0], STRUCTURE[:, 1], np.full(400, 4.0)])
    found = whitened(wide, 5)
    assert found.shape == (400, 2)
    assert found[:, 0].std() == pytest.approx(1.0)
    assert abs(np.corrcoef(found[:, 0], STRUCTURE[:, 0])[0, 1]) > 0.99
    assert whitened(np.ones((400, 2)), 2).shape == (400, 0)

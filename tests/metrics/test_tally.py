from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest

from corpuscle.core import Table
from corpuscle.errors import SettingsError
from corpuscle.metrics import METRICS, find
from corpuscle.metrics.boundary import BoundaryTally, boundary
from corpuscle.metrics.instances import InstanceTally, instances
from corpuscle.metrics.pixels import PixelTally, pixels
from corpuscle.metrics.tally import Counted, metric_id, metric_of, named, plus, ratio, vector


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_found_has_a_version_and_survives_pickling(name: str) -> None:
    found = find(name)
    assert metric_of(found)[0].name == name
    assert metric_of(found)[0].conventions["undefined"]
    assert pickle.loads(pickle.dumps(found)) is found


def test_a_metric_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match="only \\['instances', 'pixels', 'boundary'\\]"):
        find("accuracy")


def test_bound_settings_are_part_of_the_name() -> None:
    assert metric_id(instances) == "instances/1"
    assert metric_id(partial(instances, strict=True)) == "instances/1(strict=True)"
    assert metric_id(partial(partial(instances, strict=True), strict=False)) == "instances/1(strict=False)"


def test_a_function_without_version_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        metric_id(lambda truth, guess: PixelTally())
    assert caught.value.rule == "metric-version"
    with pytest.raises(SettingsError, match="by position"):
        metric_id(partial(pixels, Table({})))


@pytest.mark.parametrize("kind", [InstanceTally, PixelTally, BoundaryTally])
def test_an_empty_tally_is_zero_to_adding_and_has_no_score(
    kind: type[InstanceTally] | type[PixelTally] | type[BoundaryTally],
) -> None:
    zero = kind()
    assert isinstance(zero, Counted)
    assert plus(zero, kind()) == zero
    assert not zero.counts.any()
    for name, value in zero.scores().items():
        assert np.isnan(value) or (value == 0 and (name.startswith("n_") or name in ("splits", "merges"))), name


def test_a_vector_and_its_names_are_inverse() -> None:
    tally = BoundaryTally(1, 2, 3, (4, 5, 6), (7, 8, 9))
    assert vector(tally).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    back = named(BoundaryTally(), np.stack([vector(tally), 2 * vector(tally)]))
    assert back["n_truth"].tolist() == [2, 4]
    assert back["guess_near"].tolist() == [[7, 8, 9], [14, 16, 18]]


def test_tallies_of_two_kinds_do_not_add() -> None:
    with pytest.raises(SettingsError, match="PixelTally and BoundaryTally"):
        plus(PixelTally(), BoundaryTally())  # type: ignore[type-var, misc, unused-ignore]


def test_a_share_of_nothing_is_not_a_number() -> None:
    assert np.array_equal(ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [0.5, np.nan], equal_nan=True)


def test_metrics_agree_on_what_the_functions_are_called() -> None:
    assert [find(name) for name in METRICS] == [instances, pixels, boundary]

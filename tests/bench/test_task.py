from __future__ import annotations

import json
import pickle
from functools import partial

import numpy as np
import pytest

from corpuscle.bench import Task, describe, score_record
from corpuscle.core import Image, Record, Space
from corpuscle.errors import LayerError, LayerMissing, SettingsError
from corpuscle.metrics.instances import InstanceTally, instances

TASK = Task("nuclei", ("dna",), "nuclei", partial(instances, strict=True), "well")


def labels(values: list[list[int]]) -> Image:
    return Image(np.array(values), Space("yx"), labels_of="dna")


RECORD = Record(
    "p1_B03",
    {"plate": "p1", "well": "B03"},
    {
        "nuclei": labels([[1, 1, 0, 2]]),
        "nuclei@otsu": labels([[7, 7, 0, 0]]),
        "nuclei@bad": labels([[1, 1, -1, 2]]),
        "cells@otsu": labels([[1, 1, 0, 2]]),
    },
)


def test_a_record_is_scored() -> None:
    tally = score_record(TASK, RECORD, "nuclei@otsu")
    assert isinstance(tally, InstanceTally)
    assert (tally.tp[0], tally.n_truth, tally.n_guess) == (1, 2, 1)


def test_the_truth_itself_may_be_scored_and_shows() -> None:
    tally = score_record(TASK, RECORD, "nuclei")
    assert isinstance(tally, InstanceTally)
    assert tally.n_identical == 1


def test_a_description_is_json_and_names_version_settings_and_conventions() -> None:
    told = json.loads(json.dumps(describe(TASK)))
    assert told == describe(TASK)
    assert told["metric"]["id"] == "instances/1(strict=True)"
    assert told["metric"]["settings"] == {"strict": True}
    assert told["metric"]["conventions"]["thresholds"][4] == 0.7
    assert told["reads"] == ["dna"]


def test_a_task_travels_to_another_process() -> None:
    assert describe(pickle.loads(pickle.dumps(TASK))) == describe(TASK)


def test_a_guess_at_something_else_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        score_record(TASK, RECORD, "cells@otsu")
    assert caught.value.rule == "guess-other-truth"


def test_a_missing_guess_names_the_record() -> None:
    with pytest.raises(LayerMissing, match="p1_B03"):
        score_record(TASK, RECORD, "nuclei@unet")


def test_a_broken_guess_names_record_and_layer() -> None:
    with pytest.raises(LayerError, match="p1_B03: nuclei@bad: the guess has the label -1") as caught:
        score_record(TASK, RECORD, "nuclei@bad")
    assert caught.value.rule == "labels-negative"


@pytest.mark.parametrize(("reads", "truth"), [(("dna",), "nuclei@otsu"), (("dna",), ""), (("nuclei",), "nuclei")])
def test_a_task_that_cannot_be_meant(reads: tuple[str, ...], truth: str) -> None:
    with pytest.raises(SettingsError):
        Task("nuclei", reads, truth, instances, "well")

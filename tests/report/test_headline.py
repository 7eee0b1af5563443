from __future__ import annotations

import math

import pytest

from corpuscle.bench.board import Row
from corpuscle.bench.bootstrap import Score
from corpuscle.errors import SettingsError
from corpuscle.report.headline import audited, boards, cell, chosen, different, headline, published


def row(guess: str, value: float = 0.5, *, n: int = 4, split: str = "all", metric: str = "mean_f1") -> Row:
    score = Score(metric, value, math.nan, math.nan, n, "micro", 2, 0)
    return Row("nuclei", guess, split, "m/1", "d", None, n, (score,))


def test_an_audited_part_leads_back_to_its_published_one() -> None:
    for split in ("published/test", "ours/train", "all"):
        assert published(audited(split)) == split


def test_a_guess_that_lacks_records_has_no_place() -> None:
    head = headline([row("a", 0.9, n=3), row("b", 0.2), row("c", 0.4)])
    assert [(p, r.guess) for p, r in head.places] == [(1, "c"), (2, "b"), (None, "a")]


def test_a_task_without_known_scores_shows_its_own() -> None:
    head = headline([row("a", metric="own")])
    assert head.columns == (("own", "own"),)


def test_rows_of_two_corpora_are_not_ranked() -> None:
    other = Row("nuclei", "b", "all", "m/1", "another", None, 4, row("b").scores)
    with pytest.raises(SettingsError, match="corpus"):
        headline([row("a"), other])


def test_audited_parts_that_lost_nothing_are_left_out() -> None:
    rows = [row("a", split=s, n=n) for s, n in (("p/train", 4), ("p-audited/train", 4), ("p/test", 3),
                                               ("p-audited/test", 2))]  # fmt: skip
    by = {s: r for (_, s), r in boards(rows).items()}
    assert list(different(by)) == ["p/train", "p/test", "p-audited/test"]


@pytest.mark.parametrize(
    ("splits", "among"),
    [(["all"], "all"), (["all", "p/test"], "all"), (["all", "p/train", "p/test"], "p/train"),
     (["all", "p/train", "p/dev", "p-audited/dev", "p/test"], "p/dev"), (["q/val", "p/train"], "q/val")],
)  # fmt: skip
def test_the_best_guess_is_not_chosen_where_it_is_tested(splits: list[str], among: str) -> None:
    # It was the best over all records, test records among them.
    by = {s: [row("a", 0.9 if s == among else 0.1, split=s), row("b", 0.5, split=s)] for s in splits}
    assert chosen(by) == ("a", among)


def test_none_is_chosen_of_none() -> None:
    with pytest.raises(SettingsError, match="bench-nothing"):
        chosen({})


def test_an_undefined_score_is_no_number() -> None:
    assert cell(row("a", math.nan).scores[0]) == "undefined"

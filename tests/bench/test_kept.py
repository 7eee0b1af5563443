from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.report.small import STUDY, small

from corpuscle.bench.kept import latest, read
from corpuscle.bench.run import Run, benchmark, keep
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.shelf import Made
from corpuscle.corpus.complete import complete
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.split import Split
from corpuscle.recipes import load

TASKS = load("nuclei").tasks[:2]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return small(tmp_path / "corpus", n=4)


def scored(corpus: Corpus, guesses: Sequence[str] = ()) -> Run:
    return benchmark(corpus, TASKS, engine=Local(1), guesses=guesses)


def as_text(run: Run) -> list[str]:
    return [r.to_json() for r in run.rows]


def test_what_was_kept_comes_back(corpus: Corpus) -> None:
    run = scored(corpus)
    keep(corpus, run)
    back = latest(corpus, TASKS)
    assert back is not None
    assert as_text(back) == as_text(run)
    assert repr(dict(back.records)) == repr({k: dict(v) for k, v in run.records.items()})


def test_before_the_first_run_there_is_none(corpus: Corpus) -> None:
    assert latest(corpus, TASKS) is None


def test_a_run_of_some_guesses_is_not_the_whole(corpus: Corpus) -> None:
    keep(corpus, scored(corpus, guesses=["nuclei@good"]))
    assert latest(corpus, TASKS) is None


def test_a_run_of_other_guesses_of_the_same_name_no_longer_holds(corpus: Corpus) -> None:
    keep(corpus, scored(corpus))
    name = next(iter(corpus))
    corpus.shelf.put(corpus.shelf.record(name), ["nuclei@good"], Made("c" * 64, {}))
    assert latest(Corpus.open(corpus.root), TASKS) is None


def test_a_run_of_another_split_no_longer_holds(corpus: Corpus) -> None:
    keep(corpus, scored(corpus))
    names = tuple(corpus)
    again = complete(corpus.root, "nuclei", STUDY, [Split("published", {"train": names[:1], "test": names[1:]})])
    assert latest(again, TASKS) is None


def test_a_run_of_another_corpus_no_longer_holds(corpus: Corpus) -> None:
    keep(corpus, scored(corpus))
    from dataclasses import replace

    assert latest(complete(corpus.root, "nuclei", replace(STUDY, title="another")), TASKS) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": 3}', '{"rows": [{}]}', '{"rows": [], "records": []}', "1"])
def test_a_file_that_is_no_run_is_passed_over(corpus: Corpus, text: str) -> None:
    keep(corpus, scored(corpus))
    bad = corpus.layout.runs / "bench-zz.json"
    bad.write_text(text)
    assert read(bad) is None or read(bad) == Run((), {})
    assert latest(corpus, TASKS) is not None

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.report.small import small

from corpuscle.cli import judge
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpusError, SettingsError, StoreError


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return small(tmp_path / "corpus")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(x) for x in capsys.readouterr().out.splitlines()]


def test_scores_are_one_object_a_line(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge.run_bench(corpus.root, [], [], workers=1, as_json=True) == 0
    told = [x for x in lines(capsys) if "metric" in x]
    assert {"task", "guess", "split", "metric", "value", "low", "high", "n", "average", "n_groups", "n_undefined",
            "flags", "metric_version", "corpus"} <= set(told[0])  # fmt: skip
    assert {x["guess"] for x in told} == {"nuclei@good", "nuclei@bad"}
    assert {x["corpus"] for x in told} == {corpus.digest}
    assert {"all", "published/train", "published/test"} <= {x["split"] for x in told}
    keys = [(x["task"], x["guess"], x["split"], x["metric"], x["average"]) for x in told]
    assert len(keys) == len(set(keys))
    assert len(list(corpus.layout.runs.glob("bench-*.json"))) == 1


def test_the_leaderboard_has_the_best_first(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    judge.run_bench(corpus.root, [], ["nuclei"], workers=1, as_json=False)
    out = capsys.readouterr().out
    assert out.index("nuclei@good") < out.index("nuclei@bad")
    assert "published-audited/test" in out
    assert "published-audited/train" not in out
    assert "boundary" not in out


def test_the_truth_as_a_guess_is_warned_of(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    for name in corpus:
        record = corpus.shelf.record(name)
        truth = record.image("nuclei")
        own = replace(truth, array=np.asarray(truth.read()), levels=())
        corpus.shelf.put(record.with_layer("nuclei@mine", own), ["nuclei@mine"], corpus.shelf.made(name)["nuclei"])
    judge.run_bench(corpus.root, ["nuclei@mine"], ["nuclei"], workers=1, as_json=False)
    assert "warning: nuclei@mine: identical" in capsys.readouterr().out


def test_guesses_and_tasks_that_are_not_there(corpus: Corpus) -> None:
    with pytest.raises(SettingsError, match="nuclei@good"):
        judge.run_bench(corpus.root, ["nuclei@none"], [], workers=1, as_json=True)
    with pytest.raises(SettingsError, match="foreground"):
        judge.run_bench(corpus.root, [], ["none"], workers=1, as_json=True)


def test_leaks_are_one_object_a_line(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge.run_audit(corpus.root, None, as_json=True) == 1
    found = [x for x in lines(capsys) if x["kind"] == "well"]
    (leak,) = found
    assert {"kind", "level", "value", "parts", "records", "severity", "advice"} <= set(leak)
    assert (leak["level"], leak["value"], leak["parts"]) == ("well", "p1/A03", ["train", "test"])


def test_a_split_file_may_name_records_that_are_absent(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["p1_A02f00"], "test": ["p1_A02f09d0", "p2_A02f00d0"]}))
    assert judge.run_audit(corpus.root, path, as_json=False) == 1
    out = capsys.readouterr().out
    assert "well p1/A02" in out
    assert "p2" not in out.replace("published", "")


def test_a_clean_split_has_no_leaks(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["x_A01f00"], "test": ["y_A01f00"]}))
    assert judge.run_audit(corpus.root, path, as_json=False) == 0
    assert "no leaks found" in capsys.readouterr().out
    with pytest.raises(StoreError):
        judge.run_audit(corpus.root, tmp_path / "none.json", as_json=True)


def test_a_split_of_our_own_cuts_no_well(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    judge.run_split(corpus.root, by="well", scheme="ours", parts="train=0.5,test=0.5", seed=1, as_json=True)
    assert lines(capsys) == [{"scheme": "ours", "by": "well", "seed": 1, "sizes": {"train": 4, "test": 4}}]
    ours = Corpus.open(corpus.root).splits()["ours"]
    wells = {n: e.groups["well"] for n, e in corpus.entries.items()}
    assert not {wells[n] for n in ours.parts["train"]} & {wells[n] for n in ours.parts["test"]}
    assert "published" in Corpus.open(corpus.root).splits()
    judge.run_split(corpus.root, by="well", scheme="ours", parts="train=0.5,test=0.5", seed=1, as_json=False)
    assert "wells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("by", "scheme", "parts"),
    [("animal", "ours", "a=1"), ("well", "published", "a=1"), ("well", "ours", "a"), ("well", "ours", "=1"),
     ("well", "ours", "train=0.5,train=0.5"), ("well", "ours", "a=0,b=0"), ("well", "ours", "a=inf"),
     ("well", "ours", "a=nan"), ("well", "ours", "a/b=1"), ("well", "../../x", "a=1"), ("well", "", "a=1"),
     ("well", "a b", "a=1"), ("well", "ours", "a=x"), ("well", "ours", "a=-1"),
     ("well", "ours", "a=1,b=1,c=1,d=1,e=1")],
)  # fmt: skip
def test_a_split_that_cannot_be_meant(corpus: Corpus, by: str, scheme: str, parts: str) -> None:
    before = corpus.splits()
    with pytest.raises(SettingsError):
        judge.run_split(corpus.root, by=by, scheme=scheme, parts=parts, seed=0, as_json=True)
    assert Corpus.open(corpus.root).splits() == before


def test_the_report_uses_the_run_that_is_kept(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge.run_report(corpus.root, tmp_path / "a.html", workers=1)
    assert len(list(corpus.layout.runs.glob("bench-*.json"))) == 1
    monkeypatch.setattr(judge, "benchmark", None)
    judge.run_report(corpus.root, tmp_path / "b.html", workers=1)
    a, b = ((tmp_path / n).read_text() for n in ("a.html", "b.html"))
    assert a == b
    assert "nuclei@good" in a


def test_a_sound_corpus_has_no_problems(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    victim = next(iter(corpus.entries.values()))
    (corpus.root / victim.layers["intensity"].path).unlink()
    assert judge.run_check(corpus.root, as_json=True) == 1
    told = lines(capsys)
    assert told
    assert all({"file", "rule", "reason", "fix"} <= set(x) for x in told)
    assert judge.run_check(corpus.root, as_json=False) == 1


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for run in (judge.run_check, lambda p, as_json: judge.run_audit(p, None, as_json=as_json)):
        for name in ("", "none", "file", "file/below"):
            with pytest.raises(CorpusError) as e:
                run(tmp_path / name, as_json=True)
            assert (e.value.asked, e.value.rule) == (True, "corpus-missing")


def test_a_broken_corpus_is_no_slip_of_who_asks(corpus: Corpus) -> None:
    corpus.layout.corpus.write_text("{}")
    with pytest.raises(CorpusError) as e:
        judge.opened(corpus.root)
    assert not e.value.asked


def test_a_split_has_a_seed_that_can_be_meant(corpus: Corpus) -> None:
    with pytest.raises(SettingsError, match="split-seed"):
        judge.run_split(corpus.root, by="well", scheme="ours", parts="a=1", seed=-1, as_json=True)


@pytest.mark.parametrize("where", ["corpus/corpus.json", "corpus/new.html", "corpus", "notes.txt", "no/a.html", "."])
def test_a_report_takes_no_ones_place(corpus: Corpus, tmp_path: Path, where: str) -> None:
    # `report CORPUS CORPUS/corpus.json` overwrote the header, and the corpus was none any more.
    (tmp_path / "notes.txt").write_text("mine")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(SettingsError) as e:
        judge.run_report(corpus.root, tmp_path / where, workers=1)
    assert (e.value.rule, e.value.asked) == ("report-target", True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_report_takes_the_place_of_one(corpus: Corpus, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("<!DOCTYPE html><p>old")
    judge.run_report(corpus.root, page, workers=1)
    assert "<p>old" not in page.read_text()


def test_what_too_few_groups_make_doubtful_has_a_mark(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    # Intervals from four wells were printed as if they were any good.
    judge.run_bench(corpus.root, [], ["nuclei"], workers=1, as_json=False)
    out = capsys.readouterr().out
    assert "]*" in out
    (note,) = [x for x in out.splitlines() if x.startswith("* ")]
    assert "4 groups only: the interval is likely too narrow (all" in note


def test_of_further_tasks_only_all_records_are_shown(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    judge.run_bench(corpus.root, [], [], workers=1, as_json=False)
    out = capsys.readouterr().out
    titles = [x for x in out.splitlines() if " record" in x and "(" in x and ", " in x]
    assert sum(x.startswith("nuclei, published/test") for x in titles) == 1
    assert sum(x.startswith("foreground, ") for x in titles) == 1
    assert out.count("the parts of splits are shown for nuclei alone") == 1

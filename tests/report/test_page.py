from __future__ import annotations

import builtins
import datetime
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.report.small import EVIL, small

from corpuscle.bench.run import Run, benchmark
from corpuscle.blocks.engines.local import Local
from corpuscle.core import Study
from corpuscle.corpus.complete import complete, write_splits
from corpuscle.corpus.corpus import Corpus, write_header
from corpuscle.corpus.layout import Layout
from corpuscle.corpus.leaks import leaks_of
from corpuscle.corpus.split import Split
from corpuscle.errors import ExtraMissing
from corpuscle.recipes import load
from corpuscle.report.page import render

DAY = datetime.date(2026, 1, 2)
TASKS = load("nuclei").tasks
VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Page(HTMLParser):
    """What is in a page: tags with their attributes, and whether every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for t, attributes in self.tags if t == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small(tmp_path_factory.mktemp("page") / "corpus")


@pytest.fixture(scope="module")
def run(corpus: Corpus) -> Run:
    return benchmark(corpus, TASKS, engine=Local(1))


@pytest.fixture(scope="module")
def page(corpus: Corpus, run: Run) -> str:
    leaks = {s: leaks_of(corpus, split) for s, split in corpus.splits().items()}
    return render(corpus, run, leaks, TASKS, date=DAY)


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    return Page(page)


def test_the_page_needs_nothing_from_anywhere(page: str, parsed: Page) -> None:
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            told = attributes.get(name)
            assert told is None or told.startswith(("data:", "#")), f"<{tag} {name}={told[:50]}>"
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?://", page)


def test_what_others_wrote_stays_text(page: str, parsed: Page) -> None:
    assert EVIL not in page
    assert [t for t, _ in parsed.tags].count("script") == 1
    assert parsed.text.count(EVIL) >= 3
    assert "A. <b>Author</b>" in parsed.text


def test_every_tag_is_closed_in_turn(parsed: Page) -> None:
    assert parsed.open == []


def test_ids_are_unique_and_every_link_leads_somewhere(parsed: Page) -> None:
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in parsed.of("a")} <= {f"#{i}" for i in ids}


def test_it_can_be_read_without_eyes(parsed: Page) -> None:
    assert parsed.of("html")[0]["lang"] == "en"
    assert all(a.get("alt") for a in parsed.of("img"))
    assert all(a.get("scope") for a in parsed.of("th"))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in parsed.of("svg"))
    levels = [int(t[1]) for t, _ in parsed.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_it_says_where_the_best_guess_was_chosen(parsed: Page, page: str) -> None:
    assert "by its scores in “published/train”" in page
    assert "<small>in published/train</small>" in page


def test_names_of_records_break_at_their_joints(page: str) -> None:
    assert "p1_<wbr>A01f01" in page


def test_in_each_column_the_best_is_bold(run: Run, page: str) -> None:
    # The best row was bold as a whole, also where another guess was better.
    bold = re.findall(r'<td class="n best" title="([^:]+): ([^,]+),[^>]*">([0-9.]+)', page)
    assert bold
    for guess, metric, told in bold:
        rows = [r for r in run.rows if any(s.metric == metric for s in r.scores) and r.split == "all"]
        assert guess in {r.guess for r in rows}
        assert 0 <= float(told) <= 1


def test_it_says_what_it_is_of(corpus: Corpus, parsed: Page) -> None:
    assert corpus.digest[:16] in parsed.text
    assert corpus.digest in {a.get("title") for a in parsed.of("code")}
    for words in ("2026-01-02", "nuclei@good", "nuclei@bad", "CC0-1.0", "instances/1", "published/test", "well p1/A03"):
        assert words in parsed.text, words


def test_scores_are_those_of_the_run(run: Run, parsed: Page) -> None:
    for row in run.rows:
        if row.task == "nuclei" and row.split == "all":
            assert f"{row.score('mean_f1').value:.3f}" in parsed.text


def test_the_audited_part_follows_the_published_one(parsed: Page) -> None:
    at = parsed.text.index("published/test 3 records")
    assert at < parsed.text.index("published-audited/test 2 records")


def test_the_worst_objects_are_of_the_best_guess(corpus: Corpus, parsed: Page) -> None:
    told = [a["title"] or "" for a in parsed.of("figure") if "crop" in (a.get("class") or "")]
    assert told
    assert all("truth object 1," in t for t in told)
    assert {t.split(", ")[0].removeprefix("record ") for t in told} <= set(corpus)


def test_the_same_run_gives_the_same_page(corpus: Corpus, run: Run, page: str) -> None:
    leaks = {s: leaks_of(corpus, split) for s, split in corpus.splits().items()}
    assert render(corpus, run, leaks, TASKS, date=DAY) == page


def test_a_guess_that_is_the_truth_is_suspect(corpus: Corpus, run: Run) -> None:
    from dataclasses import replace

    rows = tuple(replace(r, flags=("identical: the guess equals the truth",)) for r in run.rows)
    text = Page(render(corpus, replace(run, rows=rows), {}, TASKS)).text
    assert "nuclei@good: identical: the guess equals the truth" in text
    assert "suspect" in text


def test_a_corpus_without_guesses_and_splits_has_a_page(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    corpus = small(root, n=1)
    (root / "splits.parquet").unlink()
    text = Page(render(corpus, Run((), {}), {}, TASKS)).text
    assert "carries no split" in text


def test_names_without_a_record_are_counted_apart(tmp_path: Path) -> None:
    corpus = small(tmp_path / "corpus", n=2)
    write_splits(corpus.root, {"theirs": Split("theirs", {"train": tuple(corpus), "test": ("p1_A01f07",)})})
    corpus = Corpus.open(corpus.root)
    leaks = {s: leaks_of(corpus, split) for s, split in corpus.splits(absent=True).items()}
    text = Page(render(corpus, Run((), {}), leaks, TASKS)).text
    assert "Split theirs train 2, test 1; 1 of these names have no record here and were audited by name" in text
    assert "well p1/A01 is in train (2 records) and test (1 record)" in text


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    study = Study("Nothing yet")
    write_header(Layout(tmp_path), "nuclei", study)
    corpus = complete(tmp_path, "nuclei", study)
    assert "Nothing yet" in Page(render(corpus, Run((), {}), {}, ())).text


def test_a_missing_extra_is_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import: Callable[..., Any] = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("jinja2"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtraMissing, match=r"corpuscle\[report\]"):
        render(corpus, Run((), {}), {}, ())

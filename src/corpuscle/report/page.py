"""The page: everything about a corpus and what was measured on it, in one file that needs no other."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from corpuscle import __version__
from corpuscle.bench.board import environment
from corpuscle.bench.run import Run
from corpuscle.bench.task import Task, describe
from corpuscle.corpus.audit import Leak
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import extra_missing
from corpuscle.report import findings, gallery, results
from corpuscle.report.survey import survey

if TYPE_CHECKING:
    from jinja2 import Environment


def render(
    corpus: Corpus,
    run: Run,
    leaks: Mapping[str, Sequence[Leak]],
    tasks: Sequence[Task],
    *,
    date: datetime.date | None = None,
) -> str:
    """One HTML page that works offline: style, script, plots and pictures are all inside.

    The same corpus, run and date give the same page, to the byte.

    Parameters
    ----------
    leaks
        What the audit found, by the scheme of each split.
    tasks
        What the run was asked, for the conventions of its metrics.
    date
        The day to print on it; none is printed where it is None.

    Raises ExtraMissing where the extra ``report`` is not installed.
    """
    pages = _pages()
    looked = survey(corpus)
    told: dict[str, Any] = {
        "corpus": corpus,
        "study": corpus.study,
        "date": date.isoformat() if date else "",
        # That of the figures, which may have been kept since another day.
        "environment": run.rows[0].environment if run.rows else environment(),
        "version": __version__,
        "survey": looked,
        "overview": findings.overview(corpus, looked, run),
        "warnings": findings.warnings(corpus, run, leaks),
        "leaks": leaks,
        "splits": corpus.splits(),
        "audited": corpus.splits(absent=True),
        "sheet": gallery.sheet(corpus, looked, run),
        "plates": gallery.plates(corpus, looked, run),
        "spread": gallery.spread(looked, run),
        "results": results.results(corpus, run),
        "tasks": [describe(t) for t in tasks],
        "notes": findings.notes(corpus, run, looked),
        "commands": findings.commands(corpus),
    }
    return pages.get_template("report.html").render(told)


def _pages() -> Environment:
    try:
        import jinja2
        import markupsafe
    except ImportError as e:
        raise extra_missing("report", "the report") from e

    folder = files("corpuscle.report") / "pages"
    texts = {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.is_file()}
    pages = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Only what this package draws is let through unescaped: its plots, its style, its script.
    pages.filters["drawn"] = markupsafe.Markup
    pages.filters["broken"] = lambda name: markupsafe.Markup(re.sub("([_-])", r"\1<wbr>", str(markupsafe.escape(name))))
    pages.globals["source"] = lambda name: markupsafe.Markup(texts[name])
    return pages

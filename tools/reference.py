"""Pages that are made while mkdocs builds: the reference by package, the help of every verb, the rules of check."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from typer.testing import CliRunner

from corpuscle.cli.app import app
from corpuscle.corpus.rules.problem import RULES

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "corpuscle"
# In the order in which one builds on the other, as the page on the design has them.
ORDER = (
    *("errors", "core", "ops", "formats", "metrics", "store", "blocks", "corpus", "worlds"),
    *("annotate", "train", "bench", "report", "publish", "recipe", "recipes", "serve", "cli"),
)


def pages() -> dict[str, str]:
    """The text of each page, by its name: a heading, then a line per module for mkdocstrings to fill in."""
    return {name: _page(name) for name in ORDER if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def _page(name: str) -> str:
    top = PACKAGE / name
    files = sorted(p for p in top.rglob("*.py") if p.stem != "__init__") if top.is_dir() else [top.with_suffix(".py")]
    modules = [".".join(("corpuscle", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in files]
    first = _docstring(top / "__init__.py") if top.is_dir() else ""
    return "\n\n".join([f"# corpuscle.{name}", first, *(f"::: {m}" for m in modules)]) + "\n"


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def commands() -> str:
    """What the command line says of itself, verb by verb."""
    verbs = [c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands]
    parts = ["# The command line", "What `--help` says; exit codes and `--json` are told [at the start](index.md)."]
    for verb in verbs:
        said = CliRunner().invoke(app, [verb, "--help"], prog_name="corpuscle", env={"COLUMNS": "80"}).output
        parts.append(f"## {verb}\n\n```text\n{said.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def rules() -> str:
    """Every rule that `corpuscle check` knows, as a table."""
    rows = "\n".join(f"| `{rule}` | {what} |" for rule, what in sorted(RULES.items()))
    return f"""# What does check find?

`corpuscle check CORPUS` reads everything and lists every problem at once: its rule, its place within the corpus, what
is wrong, what to do. It changes nothing. The exit code is 1 where it found anything; `--json` prints one problem a
line. Rules keep their names, so scripts may rely on them.

| rule | what is wrong |
| --- | --- |
{rows}
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages at the end of the navigation."""
    assert config.nav is not None, "mkdocs.yml has a nav"
    config.nav.append({"Reference": [{name: f"reference/{name}.md"} for name in pages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the files of the site."""
    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    files.append(File.generated(config, "commands.md", content=commands()))
    files.append(File.generated(config, "rules.md", content=rules()))
    return files

"""What the documentation shows is run: the README, the pages of the docs, the tutorials."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corpuscle.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(page: Path) -> str:
    """All Python of a page, in order, as one script; what is included from elsewhere is run there."""
    found = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return "\n".join(b for b in found if "--8<--" not in b)


def run(script: Path, *args: str, cwd: Path) -> str:
    """What a script prints, run as a stranger would, warnings being errors."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(script), *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script.name}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_page(page: Path, cwd: Path) -> str:
    script = cwd / f"{page.stem}_page.py"
    script.write_text(blocks(page), encoding="utf-8")
    return run(script, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the README's Python has been run, and what it printed."""
    folder = tmp_path_factory.mktemp("readme")
    return folder, run_page(ROOT / "README.md", folder)


def test_the_readme_runs(built: tuple[Path, str]) -> None:
    folder, said = built
    assert (folder / "corpus" / "corpus.json").exists()
    assert "nuclei" in said


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
def test_a_page_runs(page: Path, built: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(built[0] / "corpus", tmp_path / "corpus")
    run_page(page, tmp_path)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda p: p.stem)
def test_a_tutorial_runs(script: Path, tmp_path: Path) -> None:
    assert run(script, str(tmp_path), cwd=tmp_path).strip()


def test_every_tutorial_has_its_page() -> None:
    shown = "".join((ROOT / "docs" / "tutorials").joinpath(p.name).read_text() for p in PAGES if "tutorials" in p.parts)
    assert [p.name for p in EXAMPLES if f"examples/{p.name}" not in shown] == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    made = {"commands.md", "rules.md"}  # while the docs are built
    inner = [t for t in links if not t.startswith(("http:", "https:")) and t not in made]
    assert [t for t in inner if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: p.stem)
def test_commands_are_spelt_right(page: Path) -> None:
    """Every command line on a page names a verb that there is, and only options that this verb has."""
    runner = CliRunner()
    for line in re.findall(r"^    corpuscle (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        verb, *words = shlex.split(line, comments=True)
        told = runner.invoke(app, [verb, "--help"])
        assert told.exit_code == 0, line
        assert [w for w in words if w.startswith("--") and f"{w} " not in told.output] == [], line


def test_pages_are_all_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [p for p in PAGES if p.relative_to(ROOT / "docs").as_posix() not in nav] == []

"""The requirements of one dependency group of pyproject.toml, one a line, for a pip that cannot read groups."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def group(name: str) -> list[str]:
    """What pyproject.toml lists under ``[dependency-groups]`` for this name; KeyError where there is none."""
    with PROJECT.open("rb") as f:
        listed: list[str] = tomllib.load(f)["dependency-groups"][name]
    return listed


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in group(sys.argv[1])))

"""Which picture goes with which annotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpuscle.errors import FormatError
from corpuscle.formats.pairs import Pair, pairs, subject

ROOT = Path("raw")


def told(*names: str) -> tuple[dict[str, str | None], list[str]]:
    found = list(pairs([ROOT / n for n in names], ROOT))
    good = {f.name: f.annotation.name if f.annotation else None for f in found if isinstance(f, Pair)}
    return good, [f.rule for f in found if isinstance(f, FormatError)]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("a.png", "a_objects.png"), {"a": "a_objects.png"}),
        (("dsb_img2d.tif", "dsb_mask2d.tif"), {"dsb_img2d": "dsb_mask2d.tif"}),
        (("images/7.tif", "labels/7.tif"), {"7": "7.tif"}),
        (
            ("x/images/7.tif", "x/masks/7.tif", "y/images/7.tif", "y/masks/7.tif"),
            {"x/images/7": "7.tif", "y/images/7": "7.tif"},
        ),
        (("a.tif", "a_masks.tif", "b.tif"), {"a": "a_masks.tif", "b": None}),
        (("cell.nuclei.png", "cell.png"), {"cell": "cell.nuclei.png"}),
    ],
)
def test_pairs_are_told_by_names_and_folders(names: tuple[str, ...], wanted: dict[str, str]) -> None:
    assert told(*names) == (wanted, [])


def test_an_annotation_alone_is_an_error() -> None:
    assert told("a_objects.png", "b.png") == ({"b": None}, ["annotation-orphan"])


def test_two_pictures_for_one_annotation_are_an_error_and_stay() -> None:
    good, rules = told("a.png", "a_raw.png", "a_mask.png")
    assert good == {"a": None, "a_raw": None}
    assert rules == ["annotation-ambiguous"]


def test_equal_names_in_two_folders_are_told_apart() -> None:
    good, rules = told("p/a.png", "q/a.png")
    assert (good, rules) == ({"p/a": None, "q/a": None}, [])


def test_the_subject_is_what_is_left_of_a_name() -> None:
    assert subject("p1_B03f02d0_objects") == ("p1_B03f02d0", True)
    assert subject("masks") == ("", True)

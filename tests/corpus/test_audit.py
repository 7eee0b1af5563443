from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.realdata import real

from corpuscle.core import Box
from corpuscle.core.plate import parse
from corpuscle.corpus.audit import Item, Leak, audit, clean, oddities, placed
from corpuscle.corpus.duplicates import Match
from corpuscle.corpus.split import Split, by_group, read_split
from corpuscle.errors import SettingsError

P = "MFGTMPcx7_"
WELLS = {
    (f"{P}170702090001/A08", ("train", "dev")),
    (f"{P}170702090001/K22", ("train", "dev")),
    (f"{P}170731090001/B05", ("train", "dev")),
    (f"{P}170731090001/B14", ("train", "test")),
    (f"{P}170731090001/I12", ("train", "test")),
}
PLATES = {
    (f"{P}170702000001", ("train", "dev", "test")),
    (f"{P}170702090001", ("train", "dev", "test")),
    (f"{P}170731090001", ("train", "dev", "test")),
    (f"{P}170801050001", ("train", "test")),
    (f"{P}170802000001", ("train", "dev")),
    (f"{P}170803210001", ("train", "test")),
}


def official() -> Split:
    return read_split(real("nuclei/aitslab/official_split.json"))


def told(leaks: tuple[Leak, ...], kind: str) -> set[tuple[str, tuple[str, ...]]]:
    return {(k.value, k.parts) for k in leaks if k.kind == kind}


def match(a: str, b: str, *, exact: bool = False) -> Match:
    return Match(a, b, 0.99, 0.98, "rotate 90", 1.0, 1.0, exact, True)


def test_the_published_split_leaks_five_wells_and_six_plates_and_nothing_else() -> None:
    leaks = audit(official(), {})
    assert told(leaks, "well") == WELLS
    assert told(leaks, "plate") == PLATES
    assert {k.kind for k in leaks} == {"well", "plate"}
    shared = next(k for k in leaks if k.value.endswith("I12"))
    assert shared.records == {
        "train": (f"{P}170731090001_I12f02d0", f"{P}170731090001_I12f07d0"),
        "test": (f"{P}170731090001_I12f05d0",),
    }
    assert [k.severity for k in leaks] == ["serious"] * 5 + ["minor"] * 6


@pytest.mark.parametrize("seed", range(3))
def test_the_same_with_plates_wells_and_fields_renamed(seed: int) -> None:
    split, rng = official(), random.Random(seed)
    names = {n: t for n in split.names if (t := parse(n))}
    plates = sorted({t.plate for t in names.values()})
    new_plate = dict(zip(plates, rng.sample([f"screen_{i:04d}" for i in range(99)], len(plates)), strict=True))
    every = [f"{r}{c:02d}" for r in "ABCDEFGHIJKLMNOP" for c in range(1, 25)]
    new_well = {p: dict(zip(every, rng.sample(every, len(every)), strict=True)) for p in plates}
    new_field = {f"f{i:02d}": f"f{j:02d}" for i, j in enumerate(rng.sample(range(32), 32))}
    renamed = {
        n: f"{new_plate[t.plate]}_{new_well[t.plate][t.well]}{new_field[t.field or '']}d0" for n, t in names.items()
    }
    copy = Split("copy", {part: tuple(renamed[n] for n in held) for part, held in split.parts.items()})
    leaks = audit(copy, {})
    want = {(f"{new_plate[(pw := v.split('/'))[0]]}/{new_well[pw[0]][pw[1]]}", parts) for v, parts in WELLS}
    assert told(leaks, "well") == want
    assert told(leaks, "plate") == {(new_plate[v], parts) for v, parts in PLATES}
    assert len(leaks) == 11


def test_records_at_hand_and_records_known_by_name_are_audited_together() -> None:
    split = official()
    at_hand = {n: Item(n, t.groups) for n in (*split.parts["train"], *split.parts["dev"]) if (t := parse(n))}
    assert audit(split, at_hand) == audit(split, {})


def test_the_audited_split_keeps_train_and_drops_what_leaks_into_dev_and_test() -> None:
    split = official()
    leaks = audit(split, {})
    left = clean(split, leaks)
    assert left.scheme == "published-audited"
    assert left.sizes == {"train": 30, "dev": 7, "test": 8}
    assert left.parts["train"] == split.parts["train"]
    assert told(audit(left, {}), "well") == set()
    assert clean(split, leaks, least="minor").sizes == {"train": 30, "dev": 0, "test": 0}
    assert clean(split, leaks, least="critical").sizes == split.sizes
    with pytest.raises(SettingsError):
        clean(split, leaks, least="mild")  # type: ignore[arg-type]


NAMES = st.dictionaries(
    st.integers(0, 60).map(lambda i: f"r{i}"), st.tuples(st.sampled_from("pqr"), st.sampled_from("ABCD")), min_size=1
)


@given(NAMES, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_wells_found_are_the_wells_shared_and_cleaning_leaves_none(
    wells: dict[str, tuple[str, str]], rng: random.Random
) -> None:
    items = {n: Item(n, {"plate": p, "well": w}) for n, (p, w) in wells.items()}
    parts: dict[str, list[str]] = {"dev": [], "train": [], "test": []}
    for name in items:
        parts[rng.choice(list(parts))].append(name)
    split = Split("s", {p: tuple(n) for p, n in parts.items()})
    leaks = audit(split, items)
    shared = {
        f"{p}/{w}"
        for p, w in set(wells.values())
        if sum(any(wells[n] == (p, w) for n in names) for names in parts.values()) > 1
    }
    assert {k.value for k in leaks if k.kind == "well"} == shared
    left = clean(split, leaks)
    assert left.parts["train"] == split.parts["train"]
    assert not [k for k in audit(left, items) if k.severity != "minor"]


def test_a_split_by_group_has_no_leak_of_that_group() -> None:
    items = {f"{w}.{i}": Item(f"{w}.{i}", {"plate": f"p{w % 3}", "well": str(w)}) for w in range(20) for i in range(3)}
    split = by_group({n: f"{i.groups['plate']}/{i.groups['well']}" for n, i in items.items()})
    assert {k.kind for k in audit(split, items)} == {"plate"}


def test_a_name_in_two_parts_is_the_worst_and_told_once() -> None:
    items = {"a": Item("a", {"animal": "m1"}), "b": Item("b", {"animal": "m2"})}
    leaks = audit(Split("s", {"train": ("a", "b"), "test": ("a",)}), items)
    assert [(k.kind, k.value, k.parts, k.severity) for k in leaks] == [("name", "a", ("train", "test"), "critical")]
    assert leaks[0].message == "record a is in train (1 record) and test (1 record)"


def test_groups_of_other_kinds_and_levels() -> None:
    items = {
        "a": Item("a", {"day": "1", "animal": "m1", "organ": "left"}),
        "b": Item("b", {"day": "1", "animal": "m1", "organ": "right"}),
        "c": Item("c", {"day": "2", "animal": "m1", "organ": "left"}),
    }
    leaks = audit(Split("s", {"train": ("a",), "test": ("b", "c")}), items)
    assert [(k.kind, k.value, k.severity) for k in leaks] == [("animal", "1/m1", "serious"), ("day", "1", "minor")]


def test_two_channels_of_one_field_leak_at_every_level() -> None:
    leaks = audit(Split("s", {"train": ("p_A01f00d0",), "test": ("p_A01f00d1", "p_A02f00d0")}), {})
    assert [(k.kind, k.value) for k in leaks] == [("field", "p/A01/f00"), ("well", "p/A01"), ("plate", "p")]


def test_names_that_say_nothing_are_returned() -> None:
    split = Split("s", {"train": ("cat",), "test": ("p_A01f00d0",)})
    found, lost = placed(split, {})
    assert list(found) == ["p_A01f00d0"]
    assert lost == ("cat",)
    assert audit(split, {}) == ()


def test_fields_that_overlap_or_touch_across_parts() -> None:
    def at(name: str, y: int, x: int, frame: str | None = "stage") -> Item:
        return Item(name, {}, Box((y, x), (y + 100, x + 100)), frame)

    items = {i.name: i for i in (at("a", 0, 0), at("b", 0, 90), at("c", 0, 190), at("d", 300, 0), at("e", 50, 50, "x"))}
    items["f"] = Item("f", {}, Box((0, 0), (0, 0)), "stage")
    split = Split("s", {"train": ("a", "d", "f"), "test": ("b", "c", "e")})
    leaks = audit(split, items)
    assert [(k.kind, k.value, k.severity) for k in leaks] == [("overlap", "a and b", "critical")]
    split = Split("s", {"train": ("b",), "test": ("c", "d")})
    assert [(k.kind, k.value, k.severity) for k in audit(split, items)] == [("adjacent", "b and c", "serious")]
    assert clean(split, audit(split, items)).parts == {"train": ("b",), "test": ("d",)}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 12)), min_size=2, max_size=25))
@settings(max_examples=60, deadline=None)
def test_overlaps_equal_those_of_every_pair(boxes: list[tuple[int, int, int]]) -> None:
    items = {f"r{i}": Item(f"r{i}", {}, Box((y, x), (y + n, x + n)), "stage") for i, (y, x, n) in enumerate(boxes)}
    parts = {"train": tuple(items)[::2], "test": tuple(items)[1::2]}
    found = {k.value for k in audit(Split("s", parts), items) if k.kind == "overlap"}
    want = set()
    for a in parts["train"]:
        for b in parts["test"]:
            one, two = items[a].box, items[b].box
            if one and two and one.clip(two).size:
                want.add(" and ".join(sorted((a, b))))
    assert found == want


def test_copies_across_parts_are_critical_and_within_one_part_none() -> None:
    split = Split("s", {"train": ("a", "b"), "test": ("c", "d")})
    leaks = audit(split, {}, duplicates=[match("c", "a", exact=True), match("a", "b"), match("b", "elsewhere")])
    assert [(k.kind, k.value, k.records) for k in leaks] == [
        ("duplicate", "a and c", {"train": ("a",), "test": ("c",)})
    ]
    assert "to the pixel" in leaks[0].advice
    assert clean(split, leaks).parts == {"train": ("a", "b"), "test": ("d",)}


def test_a_leak_is_plain_data() -> None:
    leak = audit(Split("s", {"train": ("p_A01f00d0",), "test": ("p_A01f01d0",)}), {})[0]
    data = json.loads(json.dumps(leak.as_json()))
    assert data["kind"] == "well"
    assert data["records"] == {"train": ["p_A01f00d0"], "test": ["p_A01f01d0"]}
    assert data["message"] == "well p/A01 is in train (1 record) and test (1 record)"


def test_two_fields_of_the_published_split_do_not_fit_its_layout() -> None:
    items, _ = placed(official(), {})
    assert {o.value for o in oddities(items)} == {"f28", "f29"}
    assert "4 x 4" in oddities(items)[0].message


def test_oddities_need_a_layout() -> None:
    def plate(*fields: int) -> dict[str, Item]:
        return {f"r{i}": Item(f"r{i}", {"plate": "p", "field": f"f{n:02d}"}) for i, n in enumerate(fields)}

    assert oddities(plate(0, 1, 2, 30)) == ()
    assert [o.value for o in oddities(plate(0, 1, 2, 30), fields=20)] == ["f30"]
    assert oddities(plate(*range(20))) == ()
    assert oddities(plate(*[n % 16 for n in range(100)])) == ()
    assert oddities({"a": Item("a", {"field": "middle"}), "b": Item("b")}, fields=4) == ()


def test_ten_thousand_records_take_a_second() -> None:
    items = {
        f"r{i}": Item(f"r{i}", {"plate": f"p{i % 30}", "well": f"{i % 1000}"}, Box((9 * i, 0), (9 * i + 10, 10)), "s")
        for i in range(10_000)
    }
    names = list(items)
    leaks = audit(Split("s", {"train": tuple(names[::2]), "test": tuple(names[1::2])}), items)
    assert sum(k.kind == "overlap" for k in leaks) == 9999

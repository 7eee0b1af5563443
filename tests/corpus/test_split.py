from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.realdata import real

from corpuscle.core.plate import parse
from corpuscle.corpus.split import THIRDS, Split, by_group, folds, parted, read_split, stable
from corpuscle.errors import FormatError, SettingsError, StoreError

WELLS = st.sampled_from([f"well {i}" for i in range(9)])
RECORDS = st.dictionaries(st.text(min_size=1, max_size=6), WELLS, max_size=40)


def enough(records: dict[str, str], parts: int) -> bool:
    return len(set(records.values())) >= parts


@given(RECORDS.filter(lambda r: enough(r, 3)), st.integers(0, 5), st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_split_never_parts_a_group_and_keeps_every_record_once(
    records: dict[str, str], seed: int, classes: bool
) -> None:
    strata = {n: str(len(n)) for n in records} if classes else None
    split = by_group(records, seed=seed, strata=strata)
    assert parted(split, records) == {}
    assert sorted(n for names in split.parts.values() for n in names) == sorted(records)
    assert list(split.parts) == ["train", "dev", "test"]
    assert all(split.parts.values())
    backwards = dict(reversed(records.items()))
    assert by_group(backwards, seed=seed, strata=strata) == split


@given(RECORDS, RECORDS, st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_a_stable_split_never_moves_a_record_when_others_come(
    records: dict[str, str], more: dict[str, str], seed: int
) -> None:
    before = stable(records, seed=seed)
    grown = more | records
    after = stable(grown, seed=seed)
    assert parted(after, grown) == {}
    assert sorted(n for names in after.parts.values() for n in names) == sorted(grown)
    assert all(after.part_of(n) == before.part_of(n) for n in records)


@given(RECORDS.filter(lambda r: enough(r, 4)), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_folds_hold_every_record_out_once_with_its_group(records: dict[str, str], k: int) -> None:
    made = folds(records, k)
    assert len({f.scheme for f in made}) == k
    assert sorted(n for f in made for n in f.parts["test"]) == sorted(records)
    for fold in made:
        assert parted(fold, records) == {}
        assert set(fold.names) == set(records)


@given(st.lists(st.integers(1, 5), min_size=10, max_size=40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_sizes_are_within_two_of_the_target_for_groups_of_up_to_five(sizes: list[int], seed: int) -> None:
    records = {f"{g}.{i}": str(g) for g, size in enumerate(sizes) for i in range(size)}
    got = by_group(records, seed=seed).sizes
    assert all(abs(got[part] - share * len(records)) <= 2.01 for part, share in THIRDS.items())


def test_another_seed_is_another_split() -> None:
    records = {f"{g}.{i}": str(g) for g in range(30) for i in range(1 + g % 3)}
    assert len({by_group(records, seed=s).parts["test"] for s in range(5)}) == 5


def test_a_stable_split_meets_the_fractions_on_average() -> None:
    sizes = stable({str(i): str(i) for i in range(4000)}).sizes
    assert sizes["train"] == pytest.approx(2400, abs=120)
    assert sizes["test"] == pytest.approx(800, abs=100)


def test_strata_are_levelled() -> None:
    records = {f"{g}.{i}": str(g) for g in range(40) for i in range(2)}
    strata = {n: "drug" if int(g) % 4 == 0 else "control" for n, g in records.items()}
    split = by_group(records, strata=strata)
    assert split.sizes == {"train": 48, "dev": 16, "test": 16}
    assert [sum(strata[n] == "drug" for n in names) for names in split.parts.values()] == [12, 4, 4]


@pytest.mark.parametrize("seed", range(5))
def test_aitslab_splits_by_well_without_a_shared_well(seed: int) -> None:
    official = read_split(real("nuclei/aitslab/official_split.json"))
    wells = {n: f"{told.plate}/{told.well}" for n in official.names if (told := parse(n))}
    assert len(wells) == 50
    assert len(parted(official, wells)) == 5
    ours = by_group(wells, seed=seed)
    assert parted(ours, wells) == {}
    assert ours.sizes == {"train": 30, "dev": 10, "test": 10}


def test_read_split_reads_the_published_file() -> None:
    split = read_split(real("nuclei/aitslab/official_split.json"))
    assert split.scheme == "published"
    assert split.sizes == {"train": 30, "dev": 10, "test": 10}


@pytest.mark.parametrize(
    "text",
    [
        '{"train": ["a", "b, c"], "test": ["d"]}',
        '\ufeff{"a": "train", "b, c": "train", "d": "test"}',
        'name,part\na,train\n"b, c",train\n\nd,test\n',
        "split\tother\timage\r\ntrain\t1\ta\r\ntrain\t2\tb, c\r\ntest\t3\td\r\n",
    ],
)
def test_every_form_reads_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_split(path, scheme="x") == Split("x", {"train": ("a", "b, c"), "test": ("d",)})


def test_a_name_in_two_parts_and_an_empty_part_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["a", "b"], "dev": [], "test": ["b"]}))
    split = read_split(path)
    assert split.part_of("b") == ("train", "test")
    assert split.names == ("a", "b")
    assert split.parts["dev"] == ()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "split-empty"),
        (b"{}", "split-empty"),
        (b'{"train": []}', "split-empty"),
        (b"name,part\n", "split-empty"),
        (b'{"train": ["a", "a"]}', "split-twice"),
        (b'{"train": ["a"], "train": ["b"]}', "split-twice"),
        (b"name,part\na,x\na,x\n", "split-twice"),
        (b'{"train": ["a"', "split-form"),
        (b'["a"]', "split-form"),
        (b'{"train": [1]}', "split-form"),
        (b'{"train": {"a": 1}}', "split-form"),
        (b'{"train": [""]}', "split-form"),
        (b"[" * 100_000, "split-form"),
        (b"hello world", "split-form"),
        (b"name,part\na\n", "split-form"),
        (b"name,part\na,\n", "split-form"),
        (b"name,part\n" + b"a" * 200_000 + b",x\n", "split-form"),
        (b"\xff\xfe\x00\x01", "split-text"),
    ],
)
def test_what_is_no_split_is_refused_with_its_rule(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "split"
    path.write_bytes(content)
    with pytest.raises(FormatError) as e:
        read_split(path)
    assert e.value.rule == rule
    assert e.value.where == str(path)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as unread:
        read_split(tmp_path / "none.json")
    assert unread.value.rule == "split-unread"
    with pytest.raises(StoreError):
        read_split(tmp_path)
    with (tmp_path / "huge.json").open("wb") as f:
        f.truncate(1 << 31)
    with pytest.raises(FormatError) as large:
        read_split(tmp_path / "huge.json")
    assert large.value.rule == "split-size"


def test_what_cannot_be_split_is_refused() -> None:
    records = {"a": "1", "b": "1", "c": "2"}
    with pytest.raises(SettingsError, match="3 parts cannot be made of 2 groups"):
        by_group(records)
    for bad in ({}, {"train": 0.0}, {"train": 1.0, "test": -1.0}, {"train": float("nan")}, {"train": float("inf")}):
        with pytest.raises(SettingsError):
            by_group(records, fractions=bad)
        with pytest.raises(SettingsError):
            stable(records, fractions=bad)
    with pytest.raises(SettingsError):
        folds(records, 1)
    with pytest.raises(SettingsError):
        Split("", {})

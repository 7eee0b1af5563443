from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.corpus.fields import ALTERED, Bytes, cropped, grey, jpeg, nuclei, rescaled
from tests.realdata import real

from corpuscle.corpus.duplicates import SYMMETRIES, Duplicates, among, candidates, find, verify
from corpuscle.corpus.sketch import Fingerprint, fingerprint


def dsb() -> dict[str, Bytes]:
    found = {}
    with zipfile.ZipFile(real("nuclei/dsb2018/stage1_train_fluo_dev.zip")) as held:
        for name in held.namelist():
            if "/images/" in name and name.endswith(".png"):
                found[f"dsb {name.split('/')[1][:12]}"] = np.array(Image.open(io.BytesIO(held.read(name))))[..., 0]
    return found


def aitslab(folder: Path) -> dict[str, Bytes]:
    paths = [p for p in sorted(folder.glob("*/*.png")) if not p.stem.endswith("_objects")]
    return {p.stem: np.array(Image.open(p)) for p in paths}


def planted(originals: Mapping[str, Bytes], kinds: Callable[[int], list[str]]) -> dict[str, Callable[[], Bytes]]:
    named: dict[str, Callable[[], Bytes]] = {name: partial(np.asarray, image) for name, image in originals.items()}
    for i, (name, image) in enumerate(originals.items()):
        for kind in kinds(i):
            named[f"{name}|{kind}"] = partial(ALTERED[kind], image)
    return named


def tally(named: Mapping[str, object], found: Duplicates) -> tuple[float, dict[str, list[str]], list[str]]:
    """Share of plants found, those missed by kind, and groups that join two originals."""
    home = {name: group for group in found.groups for name in group}
    plants = [n for n in named if "|" in n]
    missed: dict[str, list[str]] = {}
    for plant in plants:
        original, kind = plant.split("|")
        if original not in home.get(plant, ()):
            missed.setdefault(kind, []).append(original)
    false = [" + ".join(g) for g in found.groups if len({n.split("|")[0] for n in g}) > 1]
    return 1 - sum(map(len, missed.values())) / len(plants), missed, false


def test_sixty_plants_are_found_and_nothing_else() -> None:
    originals = {f"field {i}": nuclei(i, count=(6, 25, 80)[i % 3]) for i in range(12)}
    kinds = list(ALTERED)
    named = planted(originals, lambda i: [kinds[(5 * i + j) % len(kinds)] for j in range(5)])
    recall, missed, false = tally(named, find(named))
    assert len(named) == 72
    assert (recall, missed, false) == (1.0, {}, [])


def test_real_images_of_one_series_are_no_copies_but_their_copies_are() -> None:
    originals = dsb()
    assert len(originals) == 53
    kinds = list(ALTERED)
    named = planted(originals, lambda i: [kinds[i % len(kinds)]])
    recall, missed, false = tally(named, find(named))
    assert (recall, missed, false) == (1.0, {}, [])


@pytest.mark.slow
def test_a_thousand_plants_among_real_and_generated_images() -> None:
    originals = {**dsb(), **aitslab(real("nuclei/aitslab"))}
    originals |= {f"field {i}": nuclei(i, count=(3, 8, 25, 80)[i % 4], side=(256, 400)[i % 2]) for i in range(32)}
    kinds = list(ALTERED)
    named = planted(originals, lambda i: [kinds[(8 * i + j) % len(kinds)] for j in range(8)])
    assert sum("|" in n for n in named) == 1000
    recall, missed, false = tally(named, find(named))
    assert recall >= 0.99, missed
    assert not false
    assert not [kind for kind, names in missed.items() if len(names) > 1], missed


@pytest.mark.slow
def test_neighbouring_pieces_of_one_plate_are_no_copies() -> None:
    pieces = {
        f"{name} {y} {x}": fingerprint(image[276 * y : 276 * (y + 1), 276 * x : 276 * (x + 1)])
        for name, image in aitslab(real("nuclei/aitslab")).items()
        for y in range(4)
        for x in range(4)
    }
    assert among(pieces).matches == ()


@pytest.mark.parametrize("k", range(8))
def test_the_transform_is_named_and_lays_b_on_a(k: int) -> None:
    image = nuclei(5)[:, :200]
    turns: list[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = [
        lambda a: a, np.rot90, lambda a: np.rot90(a, 2), lambda a: np.rot90(a, 3),
        lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a.T, lambda a: np.rot90(a, 2).T,
    ]  # fmt: skip
    other = grey(turns[k](image) + 1.0)
    match = verify(fingerprint(other), fingerprint(image))
    assert match.same
    assert not match.exact
    assert match.transform == SYMMETRIES[k]
    assert match.score > 0.99


def test_zoom_and_overlap_tell_a_rescaled_copy_from_a_cropped_one() -> None:
    image = nuclei(6, side=400, count=60)
    whole = fingerprint(image)
    half = verify(whole, fingerprint(rescaled(np.rot90(image), 0.5)))
    assert half.zoom == pytest.approx(0.5, rel=0.01)
    assert half.overlap > 0.97
    cut = verify(whole, fingerprint(cropped(image, 0.08)))
    assert cut.same
    assert cut.zoom == pytest.approx(1, rel=0.01)
    assert cut.overlap == pytest.approx(0.92**2, abs=0.03)


def test_exact_copies_are_told_from_altered_ones_and_come_first() -> None:
    image = nuclei(7)
    found = find(
        {"a": lambda: image, "b": lambda: grey(image + 1.0), "c": lambda: image.copy(), "d": lambda: nuclei(8)}
    )
    assert [(m.a, m.b, m.exact) for m in found.matches] == [("a", "c", True), ("a", "b", False)]
    assert found.groups == (("a", "b", "c"),)


def test_blank_images_are_reported_apart_and_never_match() -> None:
    blank = np.full((50, 50), 7, np.uint8)
    found = find({"a": lambda: blank, "b": lambda: blank, "c": lambda: nuclei(1)})
    assert found.matches == ()
    assert found.blank == ("a", "b")
    assert not verify(fingerprint(blank), fingerprint(blank)).same


def test_none_and_one_image_are_fine() -> None:
    assert find({}) == Duplicates((), ())
    assert find({"a": lambda: nuclei(1)}) == Duplicates((), ())


def strangers(kind: str, count: int = 20) -> dict[str, Bytes]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    lamp = 200 * (1 - 0.25 * (y**2 + (x - 0.2) ** 2))
    margin = np.zeros((320, 420), np.uint8)

    def framed(image: Bytes) -> Bytes:
        out = margin.copy()
        out[30:286, 80:336] = image
        return out

    made: dict[str, Callable[[int], Bytes]] = {
        "one nucleus each": lambda i: nuclei(i, count=1),
        "two nuclei each": lambda i: nuclei(i, count=2),
        "noise": lambda i: grey(rng.normal(20, 3, (256, 256))),
        "empty fields under one lamp": lambda i: grey(rng.normal(lamp, 4)),
        "one black margin": lambda i: framed(nuclei(i, count=6)),
        "confluent": lambda i: nuclei(i, count=150),
    }
    return {f"{kind} {i}": made[kind](i) for i in range(count)}


@pytest.mark.parametrize(
    "kind",
    ["one nucleus each", "two nuclei each", "noise", "empty fields under one lamp", "one black margin", "confluent"],
)
def test_strangers_that_look_alike_are_left_alone(kind: str) -> None:
    images = strangers(kind)
    assert among({n: fingerprint(i) for n, i in images.items()}).matches == ()


def test_copies_among_similar_images_are_still_found() -> None:
    images = strangers("one black margin", 10) | strangers("two nuclei each", 10)
    chosen = list(images)[::5]
    copies = {f"{n}|copy": jpeg(np.rot90(images[n])) for n in chosen}
    found = among({n: fingerprint(i) for n, i in (images | copies).items()})
    assert found.groups == tuple(sorted((n, f"{n}|copy") for n in chosen))


def sketched(rng: np.random.Generator, name: str) -> Fingerprint:
    return Fingerprint(name, (512, 512), 9.0, rng.integers(0, 256, 128 * 128, np.uint8).tobytes())


def test_candidates_of_many_images_take_seconds_and_each_pair_comes_once() -> None:
    rng = np.random.default_rng(0)
    many = {str(i): sketched(rng, str(i)) for i in range(1500)}
    twin = many["700"].tones().astype(np.uint8).reshape(128, 128)
    many["twin"] = Fingerprint("twin", (512, 512), 9.0, np.ascontiguousarray(np.rot90(twin)).tobytes())
    assert candidates(many) == (("700", "twin"),)


def test_a_thousand_similar_images_do_not_make_a_million_pairs() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (128, 128))
    alike = {
        str(i): Fingerprint(str(i), (9, 9), 9.0, (base + rng.integers(0, 20, (128, 128))).astype(np.uint8).tobytes())
        for i in range(300)
    }
    assert len(candidates(alike, most=12)) <= 300 * 12

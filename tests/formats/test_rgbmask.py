from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from tests.formats.samples import labels
from tests.realdata import real

from corpuscle.core import Image, Space
from corpuscle.errors import FormatError
from corpuscle.formats import png, rgbmask, voc


def same_partition(a: NDArray[Any], b: NDArray[Any]) -> bool:
    pairs = np.unique(a.astype(np.int64) << 32 | b)
    return len(np.unique(pairs >> 32)) == len(np.unique(pairs & 0xFFFFFFFF)) == len(pairs)


def greedy_colours(found: NDArray[np.int32]) -> NDArray[np.int32]:
    """Each object the least colour that no 8-neighbour has: what BBBC039 stores."""
    near: dict[int, set[int]] = {int(i): set() for i in np.unique(found) if i}
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = found[: found.shape[0] - dy, max(0, -dx) : found.shape[1] - max(0, dx)]
        b = found[dy:, max(0, dx) : found.shape[1] + min(0, dx)]
        edge = (a != b) & (a > 0) & (b > 0)
        for pair in np.unique(a[edge].astype(np.int64) << 32 | b[edge]).tolist():
            i, j = pair >> 32, pair & 0xFFFFFFFF
            near[i].add(j)
            near[j].add(i)
    colour = np.zeros(int(found.max()) + 1, np.int32)
    for i in near:
        colour[i] = next(c for c in range(1, 99) if c not in {int(colour[j]) for j in near[i]})
    return colour[found]


# -- Real annotations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "total"), [("train", 1283), ("dev", 375)])
def test_the_real_annotations_have_exactly_their_objects(part: str, total: int) -> None:
    folder = real("nuclei/aitslab")
    expected = json.loads((folder / "expected_counts.json").read_text())[part]
    n = 0
    for name, counts in expected.items():
        path = folder / part / f"{name}_objects.png"
        assert rgbmask.sniff(path)
        assert not rgbmask.sniff(folder / part / f"{name}.png")
        found = rgbmask.load(path)
        area = np.bincount(found.labels.ravel())[1:]
        assert counts == {
            "n": found.n,
            "fg_px": int(area.sum()),
            "lt100": int((area < 100).sum()),
            "max_area": int(area.max()),
        }
        assert (found.how, found.split, found.wrapped) == ("colour", (), False)
        np.testing.assert_array_equal(voc.indices(np.array(found.colours)), np.arange(1, found.n + 1))
        n += found.n
    assert n == total


def test_labels_equal_the_matlab_maps() -> None:
    io_ = pytest.importorskip("scipy.io")
    for path in sorted(real("nuclei/formats/hovernet_mat").glob("*.mat")):
        found = rgbmask.load(real("nuclei/aitslab/train") / f"{path.stem}_objects.png")
        assert same_partition(found.labels, io_.loadmat(path)["inst_map"])


@pytest.fixture(scope="module")
def masks() -> list[Pillow.Image]:
    folder = real("nuclei/aitslab/dev")
    out = []
    for path in sorted(folder.glob("*_objects.png"))[:3]:
        with Pillow.open(path) as image:
            out.append(image.convert("RGB"))
    return out


def test_a_jpeg_copy_is_refused_with_numbers(masks: list[Pillow.Image]) -> None:
    for quality in (95, 100):
        for mask in masks:
            stream = io.BytesIO()
            mask.crop((0, 0, 552, 552)).save(stream, "jpeg", quality=quality)
            with pytest.raises(FormatError, match=r"\d+ colours(, and \d+ of \d+ pixels| in \d+ pieces)") as e:
                rgbmask.decode(np.asarray(Pillow.open(stream)))
            assert e.value.rule == "rgbmask-lossy"


@pytest.mark.parametrize("size", [(552, 552), (1000, 1000), (1103, 1103), (1500, 1500)])
@pytest.mark.parametrize("how", [Pillow.Resampling.BILINEAR, Pillow.Resampling.BICUBIC])
def test_a_resized_copy_is_refused(masks: list[Pillow.Image], size: tuple[int, int], how: Any) -> None:
    with pytest.raises(FormatError, match="rgbmask-lossy"):
        rgbmask.decode(np.asarray(masks[0].resize(size, how)))


def test_a_copy_resized_without_smoothing_keeps_its_objects(masks: list[Pillow.Image]) -> None:
    mask = masks[0]
    found = rgbmask.decode(np.asarray(mask.resize((1500, 1500), Pillow.Resampling.NEAREST)))
    assert found.n == rgbmask.decode(np.asarray(mask)).n


def test_a_real_mask_in_few_colours_decodes_by_pieces(masks: list[Pillow.Image]) -> None:
    for mask in masks:
        truth = rgbmask.decode(np.asarray(mask)).labels
        graph = greedy_colours(truth)
        assert graph.max() <= 5
        rgba = np.zeros((*truth.shape, 4), np.uint8)
        rgba[..., 0], rgba[..., 3] = graph, 255
        for pixels in (rgba, graph.astype(np.uint8), graph.astype(np.uint8) * 60):
            found = rgbmask.decode(pixels)
            assert found.how == "graph"
            assert same_partition(found.labels, truth)


# -- Laws ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_decode_inverts_encode(n: int, seed: int) -> None:
    found = labels((30 * 4 + 8, 20 * 4 + 8), side=3, gap=1)
    found[found > n] = 0
    numbers = np.random.default_rng(seed).permutation(int(found.max())) + 1
    found = np.concatenate([[0], numbers]).astype(np.int32)[found]
    decoded = rgbmask.decode(rgbmask.encode(found))
    np.testing.assert_array_equal(decoded.labels, found)
    assert decoded.n == int(found.max())


def test_the_palette_never_repeats_a_colour() -> None:
    index = np.arange(1 << 18)
    rgb = voc.colours(index).astype(np.int64)
    codes = rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]
    assert len(np.unique(codes)) == len(index)
    np.testing.assert_array_equal(voc.indices(codes), index)


def test_random_colours_are_numbered_in_raster_order() -> None:
    truth = labels()
    colours = np.random.default_rng(0).integers(1, 256, (truth.max() + 1, 3)).astype(np.uint8)
    colours[0] = 0
    found = rgbmask.decode(colours[truth])
    assert found.how == "colour"
    np.testing.assert_array_equal(found.labels, truth)


@pytest.mark.parametrize("ground", [(255, 255, 255), (10, 20, 30)])
def test_a_background_that_is_not_black(ground: tuple[int, int, int]) -> None:
    rgb = rgbmask.encode(labels())
    rgb[labels() == 0] = ground
    found = rgbmask.decode(rgb)
    assert found.background == ground[0] << 16 | ground[1] << 8 | ground[2]
    np.testing.assert_array_equal(found.labels, labels())


def test_a_label_map_tells_the_background() -> None:
    rgb = rgbmask.encode(labels())
    rgb[labels() == 0] = (1, 2, 3)
    rgb[0] = rgb[-1] = (9, 9, 9)
    told = voc.labelmap("# label:color_rgb:parts:actions\nbackground:1,2,3::\nnucleus:9,9,9::")
    found = rgbmask.decode(rgb, background=told["background"])
    assert (found.n, len(found.split)) == (labels().max() + 1, 1)
    with pytest.raises(FormatError, match="rgbmask-labelmap"):
        voc.labelmap("background:1,2::")


def test_a_palette_image_is_read_by_its_indices(tmp_path: Path) -> None:
    image = Pillow.fromarray(labels().astype(np.uint8), "P")
    image.putpalette([7] * 768)
    image.save(tmp_path / "a.png")
    record = rgbmask.read(tmp_path / "a.png")
    np.testing.assert_array_equal(record.image("labels").read(), labels())
    assert record.facts["decoded_by"].value == "palette"
    assert record.facts["objects"].value == labels().max()


def test_what_cannot_be_seen_is_background() -> None:
    rgba = np.full((*labels().shape, 4), 200, np.uint8)
    rgba[..., :3] = rgbmask.encode(labels() + 1)
    rgba[..., 3] = (labels() > 0) * 255
    np.testing.assert_array_equal(rgbmask.decode(rgba).labels, labels())


def test_an_object_in_two_pieces_is_told() -> None:
    truth = labels()
    truth[truth == 7] = 3
    truth[truth > 7] -= 1
    found = rgbmask.decode(rgbmask.encode(truth))
    assert found.split == (3,)
    assert found.facts["split_objects"].value == "3"
    np.testing.assert_array_equal(found.labels, truth)


def test_a_palette_that_ran_out_is_suspected() -> None:
    truth = labels((200, 300), side=6, gap=2)
    assert truth.max() > 300
    wrapped = np.where(truth > 0, (truth - 1) % 255 + 1, 0)
    assert rgbmask.decode(rgbmask.encode(wrapped)).wrapped
    assert not rgbmask.decode(rgbmask.encode(truth)).wrapped


@pytest.mark.parametrize("shape", [(1, 1), (5, 7)])
def test_no_object_is_none(shape: tuple[int, int]) -> None:
    found = rgbmask.decode(np.zeros((*shape, 3), np.uint8))
    assert (found.n, found.how) == (0, "empty")
    assert found.labels.shape == shape


def test_without_a_background_it_is_refused() -> None:
    rgb = np.random.default_rng(0).integers(1, 255, (40, 40, 3)).astype(np.uint8)
    with pytest.raises(FormatError, match="rgbmask-background"):
        rgbmask.decode(rgb)
    with pytest.raises(FormatError, match="rgbmask-shape"):
        rgbmask.decode(rgb.astype(np.float64))


def test_labels_with_gaps_are_closed_up_and_said(tmp_path: Path) -> None:
    gappy = (labels() * 3).astype(np.uint16)
    losses = rgbmask.write(Image(gappy, Space("yx"), labels_of="raw"), tmp_path / "a_objects.png")
    assert {loss.what for loss in losses} == {"labels", "dtype"}
    np.testing.assert_array_equal(rgbmask.read(tmp_path / "a_objects.png").image("labels").read(), labels())


def test_the_record_is_named_after_the_image(tmp_path: Path) -> None:
    path = tmp_path / "MFGTMPcx7_170702090001_A08f12d0_objects.png"
    path.write_bytes(png.encode(rgbmask.encode(labels())))
    record = rgbmask.read(path)
    assert record.name == "MFGTMPcx7_170702090001_A08f12d0"
    assert record.group("well") == "MFGTMPcx7_170702090001/A08"


# -- What is an object image, and what is a picture ----------------------------------------------------------------


def discs(side: int, n: int) -> NDArray[np.int32]:
    rng = np.random.default_rng(n)
    y, x = np.mgrid[:side, :side]
    found = np.zeros((side, side), np.int32)
    for i in range(n):
        cy, cx = rng.integers(0, side, 2)
        found[(y - cy) ** 2 + (x - cx) ** 2 <= 36] = i + 1
    return found


@pytest.mark.parametrize(("side", "n"), [(12, 1), (40, 3), (64, 12), (200, 90)])
def test_small_and_crowded_object_images_are_known_by_their_colours(side: int, n: int, tmp_path: Path) -> None:
    # They pack less than 50-fold, so they were taken for pictures in colour.
    truth = discs(side, n)
    colours = rgbmask.encode(truth)
    rng = np.random.default_rng(0)
    strange = np.concatenate([[[0, 0, 0]], rng.integers(1, 256, (n, 3))]).astype(np.uint8)[truth]
    for i, pixels in enumerate((colours, strange)):
        (tmp_path / f"{i}.png").write_bytes(png.encode(pixels))
        Pillow.fromarray(pixels).save(tmp_path / f"{i}p.png")
        assert rgbmask.sniff(tmp_path / f"{i}.png")
        assert rgbmask.sniff(tmp_path / f"{i}p.png")
        assert rgbmask.load(tmp_path / f"{i}.png").n == len(np.unique(truth)) - 1


def test_an_object_image_that_says_so_is_one_whatever_it_holds(tmp_path: Path) -> None:
    noise = Image(np.arange(64, dtype=np.int32).reshape(8, 8), Space("yx"), labels_of="raw")
    rgbmask.write(noise, tmp_path / "a.png")
    assert rgbmask.sniff(tmp_path / "a.png")
    np.testing.assert_array_equal(rgbmask.read(tmp_path / "a.png").image("labels").read(), noise.array)


@pytest.mark.parametrize("name", ["a.png", "a_objects.png"])
@pytest.mark.parametrize("how", ["noise", "blue", "smooth", "grey", "photo of discs", "blank"])
def test_a_picture_in_colour_is_none(how: str, name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96]
    pixels = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
    if how == "blue":
        pixels = np.zeros((96, 96, 3), np.uint8)
        pixels[..., 2] = np.maximum(0, 200 - ((y - 48) ** 2 + (x - 48) ** 2) / 4 + rng.normal(0, 4, y.shape))
    elif how == "smooth":
        pixels = np.stack([y * 2, x * 2, (x + y)], axis=-1).astype(np.uint8)
        pixels ^= rng.integers(0, 2, pixels.shape).astype(np.uint8)
    elif how == "grey":
        pixels = np.repeat(np.kron(rng.integers(1, 256, (16, 16)), np.ones((6, 6))).astype(np.uint8)[..., None], 3, -1)
    elif how == "photo of discs":
        pixels = np.clip(rgbmask.encode(discs(96, 9)) + rng.normal(0, 3, (96, 96, 3)), 0, 255).astype(np.uint8)
    elif how == "blank":
        pixels = np.full((16, 16, 3), 7, np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / name)
    assert not rgbmask.sniff(tmp_path / name)


def test_grey_values_are_objects_where_the_name_says_so(tmp_path: Path) -> None:
    truth = discs(64, 9)
    for name, said in (("a_objects.png", True), ("a.png", False)):
        Pillow.fromarray(truth.astype(np.uint8)).save(tmp_path / name)
        assert rgbmask.sniff(tmp_path / name) == said
    assert rgbmask.load(tmp_path / "a_objects.png").n == len(np.unique(truth)) - 1

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.sample import build

from corpuscle.blocks.engines.local import Local
from corpuscle.core import Image
from corpuscle.core.pyramid import downsample
from corpuscle.corpus.check import RULES, check
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.entry import checksum
from corpuscle.errors import CorpusError
from corpuscle.formats import omezarr
from corpuscle.store import parquet

FIELD = "plates/p1-*.zarr/B/3/f00"
LABELS = f"{FIELD}/labels/nuclei"
RECORD = "records/*/p1_b03f00-*/record.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sample") / "corpus")


@pytest.fixture
def corpus(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "corpus"))


def one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    assert len(found) == 1, f"{pattern} is {found}"
    return found[0]


def edit(path: Path, change: Callable[[Any], None], *, signed: bool = False) -> None:
    """Change a JSON file, and its own checksum with it where `signed`."""
    body = json.loads(path.read_bytes())
    change(body)
    if signed:
        body["checksum"] = checksum(body)
    path.write_bytes((json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode())


def put(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change pixels the way any other program would: through the array, checksums and all."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    array = ts.open(spec, open=True).result()
    array[...] = change(array.read().result())


def found(root: Path) -> list[str]:
    return [p.rule for p in check(root)]


def flip(path: Path, at: int, by: int = 0x10) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= by
    path.write_bytes(data)


# Laws


def test_a_sound_corpus_has_no_problem(sound: Path) -> None:
    assert check(sound) == ()


def test_a_guess_by_hand_is_no_problem(corpus: Path) -> None:
    opened = Corpus.open(corpus)
    truth = opened["p1_B03f00"].image("nuclei")
    opened.put("p1_B03f00", "nuclei@mine", Image(truth.read(), truth.space, labels_of="raw"))
    assert check(corpus) == ()


def test_workers_change_nothing(corpus: Path) -> None:
    put(one(corpus, LABELS) / "1", lambda a: a + 1)
    flip(one(corpus, f"{FIELD}/0/c/0/0/0"), 9)
    with Local(2) as engine:
        assert check(corpus, engine=engine) == check(corpus)
    assert found(corpus) == ["chunk-checksum", "level-wrong"]


def test_problems_are_sorted_and_of_known_rules(corpus: Path) -> None:
    (corpus / "notes.txt").write_text("mine")
    edit(corpus / "corpus.json", lambda b: b["study"].update(title="TODO"))
    problems = check(corpus)
    assert [p.rule for p in problems] == ["study-placeholder", "file-orphan"]
    assert list(problems) == sorted(problems, key=lambda p: p.order)
    assert {p.rule for p in problems} <= RULES.keys()
    assert all(p.message and p.fix for p in problems)


# Planted faults: each is found, and nothing else


def torn_shard(root: Path) -> None:
    path = one(root, f"{FIELD}/0/c/0/0/0")
    path.write_bytes(path.read_bytes()[:-40])


def torn_shard_of_labels(root: Path) -> None:
    path = one(root, f"{LABELS}/0/c/0/0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_shard(root: Path) -> None:
    one(root, f"{LABELS}/0/c/0/0").write_bytes(b"")


def missing_shard(root: Path) -> None:
    one(root, f"{FIELD}/0/c/1/0/0").unlink()


def flipped_chunk(root: Path) -> None:
    flip(one(root, f"{FIELD}/0/c/0/0/0"), 1000)


def flipped_index(root: Path) -> None:
    path = one(root, f"{FIELD}/0/c/0/0/0")
    flip(path, path.stat().st_size - 9)


def flipped_graph(root: Path) -> None:
    flip(one(root, "records/*/p1_b03f00-*/neighbours.geff/nodes/props/y/values/c/0"), 20)


def flipped_table(root: Path) -> None:
    flip(one(root, "records/*/p1_b03f00-*/objects.parquet"), 60)


def flipped_record(root: Path) -> None:
    path = one(root, RECORD)
    flip(path, path.read_bytes().index(b"px") if b"px" in path.read_bytes() else 40, 0x01)


def flipped_index_table(root: Path) -> None:
    flip(root / "index.parquet", 100)


def flipped_plate(root: Path) -> None:
    flip(one(root, "plates/p1-*.zarr/zarr.json"), 2, 0x29)


def flipped_readme(root: Path) -> None:
    flip(root / "README.md", 5)


def scale_zero(root: Path) -> None:
    def change(body: Any) -> None:
        body["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][1] = 0

    edit(one(root, f"{FIELD}/zarr.json"), change)


def scale_of_level_zero(root: Path) -> None:
    def change(body: Any) -> None:
        body["attributes"]["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"] = [0, 0]

    edit(one(root, f"{LABELS}/zarr.json"), change)


def other_scale(root: Path) -> None:
    def change(body: Any) -> None:
        body["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][1] = 0.7

    edit(one(root, f"{FIELD}/zarr.json"), change)


def swapped_axes(root: Path) -> None:
    edit(one(root, f"{FIELD}/zarr.json"), lambda b: b["attributes"]["ome"]["multiscales"][0]["axes"].reverse())


def swapped_y_and_x(root: Path) -> None:
    edit(one(root, f"{LABELS}/zarr.json"), lambda b: b["attributes"]["ome"]["multiscales"][0]["axes"].reverse())


def swapped_dimension_names(root: Path) -> None:
    edit(one(root, f"{FIELD}/0/zarr.json"), lambda b: b.update(dimension_names=["c", "x", "y"]))


def swapped_throughout(root: Path) -> None:
    edit(one(root, f"{LABELS}/zarr.json"), lambda b: b["attributes"]["ome"]["multiscales"][0]["axes"].reverse())
    for k in "01":
        edit(one(root, f"{LABELS}/{k}/zarr.json"), lambda b: b["dimension_names"].reverse())


def float_labels(root: Path) -> None:
    for k in "01":
        edit(one(root, f"{LABELS}/{k}/zarr.json"), lambda b: b.update(data_type="float32", fill_value=0.0))


def float_labels_rewritten(root: Path) -> None:
    folder = one(root, f"{LABELS}/0")
    pixels = omezarr.read_image(folder.parent).read()
    shutil.rmtree(folder)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    array = ts.open(spec, create=True, dtype="float32", shape=list(pixels.shape)).result()
    array[...] = pixels.astype(np.float32)


def other_shape(root: Path) -> None:
    folder = one(root, LABELS)
    image = omezarr.read_image(folder)
    smaller = Image(image.read()[:-4], image.space, labels_of="raw")
    omezarr.write(smaller, folder, name="nuclei", source="../../", replace=True)


def other_shape_said(root: Path) -> None:
    edit(one(root, f"{LABELS}/0/zarr.json"), lambda b: b.update(shape=[264, 61]))


def other_shape_of_the_image(root: Path) -> None:
    folder = one(root, FIELD)
    image = omezarr.read_image(folder)
    labels = Path(shutil.move(folder / "labels", root.parent / "labels"))
    omezarr.write(Image(image.read()[:, :-8], image.space, image.channels), folder, replace=True)
    shutil.move(labels, folder / "labels")


def missing_well(root: Path) -> None:
    shutil.rmtree(one(root, "plates/p1-*.zarr/B/3"))


def missing_row(root: Path) -> None:
    shutil.rmtree(one(root, "plates/p1-*.zarr/C"))


def missing_plate(root: Path) -> None:
    shutil.rmtree(one(root, "plates/p2-*.zarr"))


def unlisted_well(root: Path) -> None:
    edit(one(root, "plates/p1-*.zarr/zarr.json"), lambda b: b["attributes"]["ome"]["plate"]["wells"].pop())


def well_without_metadata(root: Path) -> None:
    one(root, "plates/p1-*.zarr/B/3/zarr.json").unlink()


def well_gone_and_unlisted(root: Path) -> None:
    unlisted_well(root)
    shutil.rmtree(one(root, "plates/p1-*.zarr/C/11"))


def record_of_another_well(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b.update(groups=[["plate", "p1"], ["well", "H12"], ["field", "f00"]]))


def record_of_another_well_signed(root: Path) -> None:
    def change(body: Any) -> None:
        body["groups"] = [["plate", "p1"], ["well", "H12"], ["field", "f00"]]

    edit(one(root, RECORD), change, signed=True)


def missing_field(root: Path) -> None:
    shutil.rmtree(one(root, FIELD))


def unlisted_field(root: Path) -> None:
    edit(one(root, "plates/p1-*.zarr/B/3/zarr.json"), lambda b: b["attributes"]["ome"]["well"]["images"].pop(0))


def other_pixels(root: Path) -> None:
    put(one(root, f"{FIELD}/0"), lambda a: a + 1)


def other_pixels_throughout(root: Path) -> None:
    folder = one(root, LABELS)
    put(folder / "0", lambda a: np.where(a == 3, 300, a))
    below = omezarr.read_image(folder).read()
    put(folder / "1", lambda a: downsample(below, (2, 2), labels=True))


def other_digest(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["raw"].update(digest="0" * 64))


def other_digest_signed(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["raw"].update(digest="0" * 64), signed=True)


def orphan_label(root: Path) -> None:
    folder = one(root, LABELS)
    shutil.copytree(folder, folder.with_name("strangers"))


def orphan_label_listed(root: Path) -> None:
    orphan_label(root)
    omezarr.list_labels(one(root, FIELD))


def label_off_the_record(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"].pop("nuclei"))


def label_of_nothing(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["nuclei"].update(labels_of="rar"))


def label_without_its_image(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"].pop("raw"))


def unlisted_label(root: Path) -> None:
    edit(one(root, f"{FIELD}/labels/zarr.json"), lambda b: b["attributes"]["ome"]["labels"].pop())


def copied_record(root: Path) -> None:
    folder = one(root, RECORD).parent
    shutil.copytree(folder, root / "records" / "00" / "copy-00000000")


def renamed_to_another(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b.update(name="p1_C11f00"))


def renamed(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b.update(name="somebody"))


def twice_in_the_table(root: Path) -> None:
    path = one(root, "records/*/p1_b03f00-*/objects.parquet")
    table = pq.read_table(path)
    labels = table.column("label").to_numpy().copy()
    labels[1] = labels[0]
    pq.write_table(table.set_column(0, "label", pa.array(labels)), path)


def twice_in_the_graph(root: Path) -> None:
    put(one(root, "records/*/p1_b03f00-*/neighbours.geff/nodes/ids"), lambda a: np.where(a == 1, 0, a))


def cut_object(root: Path) -> None:
    def change(a: Any) -> Any:
        out = a.copy()
        out[np.argwhere(a == 6)[:, 0].mean().astype(int)] = 0
        return out

    put(one(root, f"{LABELS}/0"), change)


def other_type(root: Path) -> None:
    for k in "01":
        edit(one(root, f"{FIELD}/{k}/zarr.json"), lambda b: b.update(data_type="uint8"))


def other_type_of_a_level(root: Path) -> None:
    edit(one(root, f"{FIELD}/1/zarr.json"), lambda b: b.update(data_type="int16"))


def other_type_rewritten(root: Path) -> None:
    folder = one(root, "records/*/picture_e_1-*/raw.zarr")
    image = omezarr.read_image(folder)
    omezarr.write(Image(image.read().astype(np.float32), image.space), folder, replace=True)


def unheard_type(root: Path) -> None:
    edit(one(root, f"{FIELD}/0/zarr.json"), lambda b: b.update(data_type="complex64"))


def missing_level(root: Path) -> None:
    shutil.rmtree(one(root, f"{FIELD}/1"))


def missing_lowest_level(root: Path) -> None:
    shutil.rmtree(one(root, f"{LABELS}/0"))


def unlisted_level(root: Path) -> None:
    edit(one(root, f"{FIELD}/zarr.json"), lambda b: b["attributes"]["ome"]["multiscales"][0]["datasets"].pop())


def level_of_something_else(root: Path) -> None:
    put(one(root, f"{FIELD}/1"), lambda a: a[:, ::-1])


def level_one_pixel_off(root: Path) -> None:
    def change(a: Any) -> Any:
        out = a.copy()
        out[-1, -1] += 1
        return out

    put(one(root, f"{LABELS}/1"), change)


def dangling_edge(root: Path) -> None:
    put(one(root, "records/*/p1_b03f00-*/neighbours.geff/edges/ids"), lambda a: np.where(a == 2, 999, a))


def column_off_the_objects(root: Path) -> None:
    path = one(root, "records/*/p1_b03f00-*/objects.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)


def column_off_one_of_many(root: Path) -> None:
    path = one(root, "records/*/p1_b03f00-*/objects.parquet")
    parquet.write_table(parquet.read_table(path, columns=["label"]), path)


def column_off_the_index(root: Path) -> None:
    pq.write_table(pq.read_table(root / "index.parquet").drop_columns(["slug"]), root / "index.parquet")


def column_off_the_splits(root: Path) -> None:
    pq.write_table(pq.read_table(root / "splits.parquet").drop_columns(["part"]), root / "splits.parquet")


def absent_in_a_split(root: Path) -> None:
    table = pq.read_table(root / "splits.parquet")
    more = pa.table({"scheme": ["ours"], "record": ["nobody"], "part": ["test"]})
    pq.write_table(pa.concat_tables([table.replace_schema_metadata(None), more]), root / "splits.parquet")


def path_outside(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["objects"].update(path="../../elsewhere.parquet"))


def absolute_path(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["raw"].update(path="/etc"), signed=True)


def level_outside(root: Path) -> None:
    def change(body: Any) -> None:
        body["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "../../f01/0"

    edit(one(root, f"{FIELD}/zarr.json"), change)


def link_outside(root: Path) -> None:
    path = one(root, "records/*/p1_b03f00-*/objects.parquet")
    shutil.move(path, root.parent / "objects.parquet")
    path.symlink_to(root.parent / "objects.parquet")


def shard_linked_outside(root: Path) -> None:
    path = one(root, f"{FIELD}/0/c/0/0/0")
    shutil.move(path, root.parent / "shard")
    path.symlink_to(root.parent / "shard")


def study(**parts: Any) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        edit(root / "corpus.json", lambda b: b["study"].update(parts))

    plant.__name__ = "_".join(f"{k}_{str(v)[:12]}" for k, v in parts.items())
    return plant


def unknown_licence_signed(root: Path) -> None:
    edit(root / "corpus.json", lambda b: b["study"]["licences"]["images"].update(spdx="CC-BY"), signed=True)


def other_format(root: Path) -> None:
    edit(root / "corpus.json", lambda b: b.update(format=2))


def other_format_of_a_record(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b.update(format="1"))


def other_corpus_digest(root: Path) -> None:
    edit(root / "corpus.json", lambda b: b.update(digest="0" * 64), signed=True)


def other_fact(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["facts"].update(lens={"value": 20, "unit": "x", "source": "file"}))


def reformatted_record(root: Path) -> None:
    path = one(root, RECORD)
    path.write_bytes(path.read_bytes().replace(b"\n", b" ", 1))


def reformatted_header(root: Path) -> None:
    path = root / "corpus.json"
    path.write_bytes(path.read_bytes().replace(b"\n", b" ", 1))


def preview_flipped(root: Path) -> None:
    flip(one(root, "plates/p1-*.zarr/preview/0/c/0/0/0"), 7)


def preview_renamed(root: Path) -> None:
    edit(one(root, "plates/p1-*.zarr/preview/zarr.json"), lambda b: b["attributes"]["corpuscle"].update(layer="x"))


def preview_gone(root: Path) -> None:
    shutil.rmtree(one(root, "plates/p1-*.zarr/preview"))


def preview_torn(root: Path) -> None:
    one(root, "plates/p1-*.zarr/preview/zarr.json").write_text("{")


def renamed_well(root: Path) -> None:
    well = one(root, "plates/p1-*.zarr/B/3")
    well.rename(well.with_name("4"))


def link_in_a_circle(root: Path) -> None:
    (root / "records" / "loop").symlink_to("loop")


def labels_of_none(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["raw"].update(kind="labels"))


def labels_called_an_image(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b["layers"]["nuclei"].update(kind="image"))


def twice_in_the_index(root: Path) -> None:
    table = pq.read_table(root / "index.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), root / "index.parquet")


def twice_in_a_split(root: Path) -> None:
    table = pq.read_table(root / "splits.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), root / "splits.parquet")


def other_groups_in_the_index(root: Path) -> None:
    table = pq.read_table(root / "index.parquet")
    wells = pa.array(["A01"] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index("well"), "well", wells), root / "index.parquet")


def table_without_its_metadata(root: Path) -> None:
    path = one(root, "records/*/p1_b03f00-*/objects.parquet")
    table = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)


def torn_record(root: Path) -> None:
    path = one(root, RECORD)
    path.write_bytes(path.read_bytes()[:300])


def torn_header(root: Path) -> None:
    (root / "corpus.json").write_text("{")


def torn_image(root: Path) -> None:
    one(root, f"{FIELD}/zarr.json").write_text("[1, 2")


def record_without_layers(root: Path) -> None:
    edit(one(root, RECORD), lambda b: b.pop("layers"), signed=True)


def record_gone(root: Path) -> None:
    shutil.rmtree(one(root, RECORD).parent)


def record_file_gone(root: Path) -> None:
    one(root, RECORD).unlink()


def layer_gone(root: Path) -> None:
    shutil.rmtree(one(root, "records/*/p1_b03f00-*/neighbours.geff"))


def stray_file(root: Path) -> None:
    one(root, FIELD).joinpath("thumbs.db").write_bytes(b"x")


def stray_record(root: Path) -> None:
    (root / "records" / "ab" / "empty-00000000").mkdir(parents=True)


def left_by_a_killed_run(root: Path) -> None:
    (root / ".staging" / "12-ab").mkdir(parents=True)


def unfinished(root: Path) -> None:
    edit(root / "corpus.json", lambda b: b.pop("digest"), signed=True)


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (torn_shard, "shard-torn"),
    (torn_shard_of_labels, "shard-torn"),
    (empty_shard, "shard-torn"),
    (missing_shard, "shard-missing"),
    (flipped_chunk, "chunk-checksum"),
    (flipped_index, "chunk-checksum"),
    (flipped_graph, "chunk-checksum"),
    (flipped_table, "table-corrupt"),
    (flipped_index_table, "table-corrupt"),
    (flipped_plate, "file-seal"),
    (flipped_readme, "card-stale"),
    (scale_zero, "scale-zero"),
    (scale_of_level_zero, "scale-zero"),
    (other_scale, "file-seal"),
    (swapped_axes, "axes-swapped"),
    (swapped_y_and_x, "axes-swapped"),
    (swapped_dimension_names, "axes-swapped"),
    (swapped_throughout, "axes-swapped"),
    (float_labels, "labels-float"),
    (float_labels_rewritten, "labels-float"),
    (other_shape, "label-shape"),
    (other_shape_said, "label-shape"),
    (other_shape_of_the_image, "label-shape"),
    (missing_well, "well-missing"),
    (missing_row, "well-missing"),
    (missing_plate, "well-missing"),
    (unlisted_well, "well-missing"),
    (well_without_metadata, "well-missing"),
    (well_gone_and_unlisted, "well-missing"),
    (record_of_another_well, "well-missing"),
    (record_of_another_well_signed, "well-missing"),
    (missing_field, "field-missing"),
    (unlisted_field, "field-missing"),
    (other_pixels, "layer-differs"),
    (other_pixels_throughout, "layer-differs"),
    (other_digest, "layer-differs"),
    (other_digest_signed, "layer-differs"),
    (orphan_label, "label-orphan"),
    (orphan_label_listed, "label-orphan"),
    (label_off_the_record, "label-orphan"),
    (label_of_nothing, "label-orphan"),
    (label_without_its_image, "label-orphan"),
    (unlisted_label, "labels-list"),
    (copied_record, "record-duplicate"),
    (renamed_to_another, "record-duplicate"),
    (renamed, "slug-mismatch"),
    (twice_in_the_table, "id-duplicate"),
    (twice_in_the_graph, "id-duplicate"),
    (cut_object, "object-cut"),
    (other_type, "dtype-wrong"),
    (other_type_of_a_level, "dtype-wrong"),
    (other_type_rewritten, "dtype-wrong"),
    (unheard_type, "dtype-wrong"),
    (missing_level, "level-missing"),
    (missing_lowest_level, "level-missing"),
    (unlisted_level, "level-missing"),
    (level_of_something_else, "level-wrong"),
    (level_one_pixel_off, "level-wrong"),
    (dangling_edge, "edge-dangling"),
    (column_off_the_objects, "column-missing"),
    (column_off_one_of_many, "column-missing"),
    (column_off_the_index, "column-missing"),
    (column_off_the_splits, "column-missing"),
    (absent_in_a_split, "split-absent"),
    (path_outside, "path-outside"),
    (absolute_path, "path-outside"),
    (level_outside, "path-outside"),
    (link_outside, "path-outside"),
    (shard_linked_outside, "path-outside"),
    (study(title="X"), "study-placeholder"),
    (study(title=""), "study-placeholder"),
    (study(description="lorem ipsum dolor"), "study-placeholder"),
    (study(keywords=["nuclei", "TBD"]), "study-placeholder"),
    (study(authors=[{"name": "XXX", "orcid": None, "email": None, "affiliation": None}]), "study-placeholder"),
    (study(licences={"images": {"spdx": "unknown"}, "annotations": {"spdx": "MIT"}}), "licence-unknown"),
    (study(licences={"images": {"spdx": None}, "annotations": {"spdx": "MIT"}}), "licence-unknown"),
    (study(licences={"images": {"spdx": "CC0-1.0"}}), "licence-missing"),
    (study(licences={}), "licence-missing"),
    (study(licences=[]), "study-fields"),
    (unknown_licence_signed, "licence-unknown"),
    (other_format, "corpus-format"),
    (other_format_of_a_record, "record-format"),
    (other_corpus_digest, "corpus-digest"),
    (other_fact, "record-checksum"),
    (reformatted_record, "record-checksum"),
    (reformatted_header, "corpus-checksum"),
    (preview_flipped, "chunk-checksum"),
    (preview_renamed, "file-seal"),
    (preview_gone, "file-missing"),
    (preview_torn, "json-torn"),
    (renamed_well, "well-missing"),
    (link_in_a_circle, "path-outside"),
    (labels_of_none, "record-fields"),
    (labels_called_an_image, "layer-kind"),
    (twice_in_the_index, "id-duplicate"),
    (twice_in_a_split, "split-duplicate"),
    (other_groups_in_the_index, "index-stale"),
    (table_without_its_metadata, "id-duplicate"),
    (torn_record, "json-torn"),
    (torn_header, "json-torn"),
    (torn_image, "json-torn"),
    (record_without_layers, "record-fields"),
    (record_gone, "record-missing"),
    (record_file_gone, "record-missing"),
    (layer_gone, "layer-missing"),
    (stray_file, "file-orphan"),
    (stray_record, "file-orphan"),
    (left_by_a_killed_run, "file-orphan"),
    (unfinished, "corpus-unfinished"),
]


@pytest.mark.parametrize(("plant", "rule"), FAULTS, ids=[f.__name__ for f, _ in FAULTS])
def test_a_planted_fault_is_found_and_nothing_else(corpus: Path, plant: Callable[[Path], None], rule: str) -> None:
    plant(corpus)
    problems = check(corpus)
    assert {p.rule for p in problems} == {rule}, problems


def test_faults_in_several_records_are_all_found(corpus: Path) -> None:
    scale_zero(corpus)
    flip(one(corpus, "plates/p1-*.zarr/C/11/f00/0/c/0/0/0"), 50)
    put(one(corpus, "plates/p2-*.zarr/A/1/f00/labels/nuclei/1"), lambda a: a * 0 + 1)
    absent_in_a_split(corpus)
    assert sorted(found(corpus)) == ["chunk-checksum", "level-wrong", "scale-zero", "split-absent"]


# Bad input


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus"):
        check(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for k, v in items:
        yield from places(v, (*path, k))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_json_of_any_shape_is_a_problem_and_never_a_crash(sound: Path, data: st.DataObject) -> None:
    files = ["corpus.json", RECORD, f"{FIELD}/zarr.json", f"{FIELD}/1/zarr.json", f"{LABELS}/0/zarr.json",
             "plates/p1-*.zarr/zarr.json", "plates/p1-*.zarr/B/3/zarr.json", f"{FIELD}/labels/zarr.json",
             "records/*/p1_b03f00-*/neighbours.geff/zarr.json"]  # fmt: skip
    path = one(sound, data.draw(st.sampled_from(files)))
    before = path.read_bytes()
    body = json.loads(before)
    where = data.draw(st.sampled_from(list(places(body))))
    new = data.draw(JSON)
    if where:
        inner = body
        for k in where[:-1]:
            inner = inner[k]
        inner[where[-1]] = new
    else:
        body = new
    try:
        path.write_text(json.dumps(body, indent=1, ensure_ascii=True) + "\n")
        if json.loads(before) != json.loads(path.read_bytes()):
            assert check(sound)
        else:
            check(sound)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[" * 200_000, b'{"format": 1' + b"0" * 6000 + b"}", b"NaN"])
@pytest.mark.parametrize("name", ["corpus.json", RECORD, f"{FIELD}/zarr.json", f"{LABELS}/0/zarr.json"])
def test_torn_json_is_named(corpus: Path, name: str, text: bytes) -> None:
    path = one(corpus, name)
    path.write_bytes(text)
    problems = check(corpus)
    assert problems
    assert all(p.place.startswith(path.parent.relative_to(corpus).as_posix().lstrip(".")) for p in problems), problems


# Flipped bytes

SEALED = ("corpus.json", "README.md", "index.parquet", "splits.parquet")


def flips(root: Path, n: int, seed: int) -> Iterator[tuple[Path, int, int]]:
    """Places and changes, drawn by file first, so that the small files are hit as well as the large."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in root.rglob("*") if p.is_file())
    for _ in range(n):
        path = files[rng.integers(len(files))] if rng.random() < 0.8 else root / SEALED[rng.integers(len(SEALED))]
        yield path, int(rng.integers(path.stat().st_size)), int(rng.integers(1, 256))


def undetected(root: Path, n: int, seed: int) -> list[tuple[str, int, int]]:
    out = []
    for path, at, by in flips(root, n, seed):
        flip(path, at, by)
        if not check(root):
            out.append((path.relative_to(root).as_posix(), at, by))
        flip(path, at, by)
    return out


def test_a_flipped_byte_is_found(corpus: Path) -> None:
    assert undetected(corpus, 20, seed=1) == []


@pytest.mark.slow
def test_two_hundred_flipped_bytes_are_found(corpus: Path) -> None:
    assert undetected(corpus, 200, seed=2) == []
    assert check(corpus) == ()


@pytest.mark.slow
def test_every_byte_of_a_shard_is_guarded(corpus: Path) -> None:
    path = one(corpus, f"{LABELS}/1/c/0/0")
    for at in range(path.stat().st_size):
        flip(path, at, 0x40)
        assert check(corpus), at
        flip(path, at, 0x40)

"""OME-NGFF metadata says where an image lies, and only what is known."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.core import Channel, Space
from corpuscle.errors import FormatError
from corpuscle.formats import ngff

WORDS = (
    "ome version multiscales axes name type unit datasets path coordinateTransformations scale translation omero "
    "channels corpuscle binning times frame image-label"
)
KEYS = st.sampled_from(WORDS.split())
AXES = [a for t in ("", "t") for c in ("", "c") for s in ("yx", "zyx", "zx", "zy") for a in [t + c + s]]
scales = st.one_of(st.none(), st.floats(1e-4, 1e4))
origins = st.floats(-1e6, 1e6)


@st.composite
def pyramids(draw: st.DrawFn) -> list[Space]:
    axes = draw(st.sampled_from(AXES))
    known = {"c": st.none()}
    times = None
    if "t" in axes and draw(st.booleans()):
        times = sorted(draw(st.sets(st.floats(0, 1e6), min_size=1, max_size=4)))
    space = Space(
        axes,
        [draw(known.get(a, scales)) for a in axes],
        [draw(origins) for _ in axes],
        times,
        draw(st.sampled_from([(), tuple(2.0 for _ in axes)])),
        draw(st.sampled_from(["image", "stage"])),
    )
    spaces = [space]
    for _ in range(draw(st.integers(0, 3))):
        spaces.append(spaces[-1].coarser([draw(st.sampled_from([1, 2])) if a in "zyx" else 1 for a in axes]))
    return spaces


@given(pyramids(), st.sampled_from(ngff.VERSIONS))
def test_what_is_written_is_read_back(spaces: list[Space], version: ngff.Version) -> None:
    attributes = json.loads(json.dumps(ngff.multiscales(spaces, "n", version=version), allow_nan=False))
    found = ngff.parse(attributes)
    assert found.version == version
    assert found.name == "n"
    assert found.paths == tuple(str(k) for k in range(len(spaces)))
    for a, b in zip(found.spaces, spaces, strict=True):
        assert (a.axes, a.scale, a.times, a.frame) == (b.axes, b.scale, b.times, b.frame)
        assert all(math.isclose(x, y) for x, y in zip(a.binning, b.binning, strict=True))
        assert all(math.isclose(x, y, abs_tol=1e-9) for x, y in zip(a.origin, b.origin, strict=True))


@given(pyramids())
def test_unknown_scale_has_no_unit_and_known_scale_has_one(spaces: list[Space]) -> None:
    entry = ngff.multiscales(spaces, "n")["ome"]["multiscales"][0]
    for axis, scale in zip(entry["axes"], spaces[0].scale, strict=True):
        assert ("unit" in axis) == (scale is not None)


def test_levels_carry_their_half_pixel() -> None:
    space = Space("yx", scale=(0.5, 0.5))
    sets = ngff.multiscales([space, space.coarser((2, 2))], "n")["ome"]["multiscales"][0]["datasets"]
    assert sets[1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0]},
        {"type": "translation", "translation": [0.25, 0.25]},
    ]


def test_custom_axis_has_no_type_and_comes_back() -> None:
    space = Space(("angle", "y", "x"))
    axes = ngff.multiscales([space], "n")["ome"]["multiscales"][0]["axes"]
    assert axes[0] == {"name": "angle"}
    assert ngff.parse(ngff.multiscales([space], "n")).spaces == (space,)


def test_channels_keep_what_omero_has_no_word_for() -> None:
    channels = (Channel("dapi", "DAPI", 405.0, 461.0), Channel("d1", colour="12ab34"))
    attributes = ngff.multiscales([Space("cyx")], "n", channels=channels, dtype="uint8", windows=[(0, 9), (1, 300)])
    assert ngff.parse(attributes).channels == channels
    shown = attributes["ome"]["omero"]["channels"]
    assert [c["color"] for c in shown] == ["0000FF", "12AB34"]
    assert shown[1]["window"] == {"min": 0.0, "max": 300, "start": 1.0, "end": 300.0}


def test_foreign_channels_are_taken_from_omero() -> None:
    attributes = ngff.multiscales([Space("cyx")], "n", channels=[Channel("a"), Channel("b")])
    del attributes["corpuscle"]
    del attributes["ome"]["omero"]["channels"][1]["label"]
    attributes["ome"]["omero"]["channels"][1]["color"] = "not a colour"
    assert ngff.parse(attributes).channels == (Channel("a", colour="00FFFF"), Channel("c1"))


def foreign(**change: Any) -> dict[str, Any]:
    entry = {
        "version": "0.4",
        "axes": [
            {"name": "T", "type": "time", "unit": "minute"},
            {"name": "Z", "type": "space", "unit": "nanometer"},
            {"name": "Y", "type": "space", "unit": "angstrom"},
            {"name": "X", "type": "space"},
        ],
        "datasets": [
            {"path": "a/0", "coordinateTransformations": [{"type": "scale", "scale": [2, 40, 5000, 0.3]}]},
            {
                "path": "a/1",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2, 40, 10000, 0.6]},
                    {"type": "translation", "translation": [1, 20, 2500, 0.15]},
                ],
            },
        ],
    }
    return {"multiscales": [entry | change]}


def test_units_are_settled_and_a_scale_without_one_is_unknown() -> None:
    found = ngff.parse(foreign())
    assert found.spaces[0] == Space("tzyx", (120.0, 0.04, 0.5, None))
    assert found.spaces[1] == Space("tzyx", (120.0, 0.04, 1.0, None), (60.0, 0.02, 0.25, 0.5), binning=(1, 1, 2, 2))
    assert found.unitless == {"x": 0.3}


def test_transformations_around_all_levels_come_after_their_own() -> None:
    around = [
        {"type": "scale", "scale": [1, 2, 1, 1]},
        {"type": "translation", "translation": [0, 1000, 0, 0]},
    ]
    found = ngff.parse(foreign(coordinateTransformations=around))
    assert found.spaces[1].scale[1] == pytest.approx(0.08)
    assert found.spaces[1].origin[1] == pytest.approx(1.04)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"version": "0.3"}, "ngff-version"),
        ({"version": 4}, "ngff-version"),
        ({"axes": None}, "metadata"),
        ({"axes": ["t", "z", "y", "x"]}, "metadata"),
        ({"axes": [{"name": "x", "type": "space", "unit": "furlong"}]}, "unit-unknown"),
        ({"axes": [{"name": "x", "type": "space", "unit": ["m"]}]}, "unit-unknown"),
        ({"axes": [{"name": "x", "type": "space"}] * 2}, "ngff-axes"),
        ({"axes": [{"name": "phase"}, {"name": "angle"}]}, "ngff-axes"),
        ({"axes": [{"name": "q", "type": "space"}]}, "ngff-axes"),
        ({"axes": [{"name": "x" * 9999, "type": "space"}]}, "metadata"),
        ({"datasets": []}, "ngff-multiscales"),
        ({"datasets": [{"path": "../../etc", "coordinateTransformations": []}]}, "path-outside"),
        ({"datasets": [{"path": "/etc", "coordinateTransformations": []}]}, "path-outside"),
        ({"datasets": [{"path": "0"}]}, "metadata"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 0, 1]}]}, "ngff-scale"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1, 1, float("nan"), 1]}]}, "metadata"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 10**400, 1]}]}, "metadata"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}, "metadata"),
        ({"coordinateTransformations": [{"type": "scale", "path": "s"}]}, "metadata"),
        ({"coordinateTransformations": [{"type": "affine", "affine": []}]}, "ngff-transform"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(FormatError) as e:
        ngff.parse(foreign(**change), where="a.zarr")
    assert (e.value.rule, e.value.where) == (rule, "a.zarr")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
        max_leaves=30,
    )
)
def test_no_json_makes_it_fail_otherwise(value: object) -> None:
    for attributes in (value, {"ome": value}, {"ome": {"version": "0.5", "multiscales": [value]}}):
        ngff.holds(attributes)
        try:
            ngff.parse(attributes)
        except FormatError:
            continue


@pytest.mark.parametrize("axes", ["xyc", "yxc", "zct", "x", "tx", ("c", "angle", "y", "x"), ("y", "t", "x")])
def test_axes_that_ngff_lacks_are_refused(axes: str) -> None:
    with pytest.raises(FormatError, match="OME-NGFF has no images of axes"):
        ngff.multiscales([Space(axes)], "n")


def test_levels_of_different_spaces_are_refused() -> None:
    with pytest.raises(FormatError, match="level 1"):
        ngff.multiscales([Space("yx"), Space("yx", (1, 1))], "n")
    with pytest.raises(FormatError, match="versions"):
        ngff.multiscales([Space("yx")], "n", version="0.6")  # type: ignore[arg-type]

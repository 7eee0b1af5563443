"""Images that are one image: exact copies, and copies that were turned, rescaled, re-encoded or re-toned.

Three sieves, each finer and slower than the one before. A *fingerprint* is a 128 x 128 sketch of the
image's tones and a digest of its pixels. *Candidates* are pairs whose sketches, averaged down to 16 x 16,
correlate under one of the eight symmetries of a square: one matrix product per symmetry. *Verification*
registers a pair (symmetry, shift, one scale per axis) and asks for agreement both of the whole frame and
of most of its tiles: two sparse fields can share one nucleus by chance, or a black margin, but not both
the bright and the faint parts of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from corpuscle.corpus.sketch import SIDE, Fingerprint, Floats, band, fingerprint

TILE: Final = 16
SYMMETRIES: Final = (
    "identity", "rotate 90", "rotate 180", "rotate 270", "flip y", "flip x", "transpose", "anti-transpose",
)  # fmt: skip

# Measured on 93 real images, 1920 crops of them and some 3000 generated ones. Copies reach a score of 0.92 and an
# agreement of 0.70 at the worst (a nearly empty field at half size, re-encoded), 0.95 and 0.84 as a rule, and cropped
# ones 0.97 and 0.87. The nearest strangers come to 0.94 with 0.66 (two nuclei each, one frame shifted on the other),
# 0.89 with 0.54 (crops of one plate), and 0.79 with 0.88 (the same black margin).
SCORE: Final = 0.88
AGREEMENT: Final = 0.66
AGREEMENT_SHIFTED: Final = 0.84
COARSE_LEAST: Final = 0.55
SPREAD_LEAST: Final = 6


@dataclass(frozen=True, slots=True)
class Match:
    """How alike two images are once `b` is laid on `a`.

    `score` is the correlation of their band-passed tones where they overlap, `agreement` the mean of the same
    over tiles, in which a bright object counts little more than a faint one; `transform` is what turns b the
    way of a; `zoom` is b's pixels per pixel of a; `overlap` the part of a that b covers. `exact` means pixel for
    pixel, as stored; `same` is the verdict.
    """

    a: str
    b: str
    score: float
    agreement: float
    transform: str
    zoom: float
    overlap: float
    exact: bool
    same: bool


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The pairs found, and apart from them the blank images, of which nothing can be said."""

    matches: tuple[Match, ...]
    blank: tuple[str, ...]

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __len__(self) -> int:
        return len(self.matches)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names that are one image, each group sorted.

        >>> def pair(a, b):
        ...     return Match(a, b, 1.0, 1.0, "identity", 1.0, 1.0, True, True)
        >>> Duplicates((pair("a", "c"), pair("c", "b"), pair("x", "y")), ()).groups
        (('a', 'b', 'c'), ('x', 'y'))
        """
        member: dict[str, set[str]] = {}
        for m in self.matches:
            joined = member.get(m.a, {m.a}) | member.get(m.b, {m.b})
            member.update(dict.fromkeys(joined, joined))
        return tuple(sorted({tuple(sorted(names)) for names in member.values()}))


def candidates(
    fingerprints: Mapping[str, Fingerprint], *, least: float = COARSE_LEAST, most: int = 6
) -> tuple[tuple[str, str], ...]:
    """Pairs that may be one image, best first: those correlating by `least` or more at 16 x 16.

    An image brings at most its `most` best partners among those that come after it: a thousand similar images do not
    make a million pairs, and the copies of one image, however many, still hang together. Time is quadratic with a
    tiny constant (10,000 images: 8 s on one core), memory is linear. Blank images are left out.
    """
    names = [n for n, f in fingerprints.items() if not f.blank]
    if len(names) < 2:
        return ()
    coarse = np.stack([_coarse(fingerprints[n]) for n in names])
    flat = coarse.reshape(len(names), -1)
    found: list[tuple[float, int, int]] = []
    block = 1024
    for top in range(0, len(names), block):
        rows = coarse[top : top + block]
        best = flat[top : top + block] @ flat[top:].T
        for k in range(1, 8):
            turned = np.stack([_turn(c, k) for c in rows]).reshape(len(rows), -1)
            np.maximum(best, turned @ flat[top:].T, out=best)
        # Each pair once: only partners further right.
        best[np.tril_indices(len(rows), 0, best.shape[1])] = -1
        for i in np.flatnonzero(best.max(axis=1) >= least):
            js = np.flatnonzero(best[i] >= least)
            js = js[np.argsort(-best[i, js], kind="stable")][:most]
            found += [(-float(best[i, j]), top + int(i), top + int(j)) for j in js]
    return tuple((names[i], names[j]) for _, i, j in sorted(found))


def verify(a: Fingerprint, b: Fingerprint, *, names: tuple[str, str] = ("a", "b")) -> Match:
    """Register two images and say how well they agree, and whether they are one.

    Shifts up to 15 % of the frame and scales of 0.8 to 1.25 beyond the ratio of the shapes are followed, enough for
    a copy cropped by a tenth. Where few tiles hold anything, so that a chance likeness is easy to come by, more is
    asked for; and of two empty fields, whose common pattern is the lamp's and the lens's, all tiles must agree.
    """
    if a.blank or b.blank:
        return Match(*names, math.nan, math.nan, "identity", math.nan, math.nan, a.digest == b.digest, False)
    if a.digest == b.digest:
        return Match(*names, 1.0, 1.0, "identity", 1.0, 1.0, True, True)
    turn, guess = _orient(a, b)
    ta, tb = a.tones(), _turn(b.tones(), turn)
    half, other = band(_halved(ta), 1, 5), band(_halved(tb), 1, 5)
    place = _register(half, other, guess * [1, 0.5, 1, 0.5], rounds=8)
    laid, inside = _sample(other, place)
    score = _correlation(half[inside], laid[inside])
    if score < COARSE_LEAST:
        return Match(*names, score, math.nan, SYMMETRIES[turn], math.nan, float(inside.mean()), False, False)
    fine, other = band(ta, 0.8, 6), band(tb, 0.8, 6)
    place = _register(fine, other, place * [1, 2, 1, 2], rounds=4)
    laid, inside = _sample(other, place)
    score = _correlation(fine[inside], laid[inside])
    per_tile, energy = _tiles(fine, laid, inside)
    weight = np.sqrt(energy)
    agreement = float(per_tile @ weight / max(weight.sum(), 1e-12)) if len(weight) else math.nan
    # Over how many tiles the evidence is spread: a smooth blob on nothing has four at the most.
    spread = float(weight.sum() ** 2 / max(energy.sum(), 1e-12))
    centred = bool(np.all(np.abs(place - [1, 0, 1, 0]) <= [0.02, 1, 0.02, 1]))
    same = score >= SCORE and agreement >= (AGREEMENT if centred else AGREEMENT_SHIFTED)
    if spread < SPREAD_LEAST:
        same = same and centred and score >= 0.98 and agreement >= 0.9
    if max(a.relief, b.relief) < 1:
        same = same and float(per_tile.mean()) >= 0.85
    size = b.shape[::-1] if turn in (1, 3, 6, 7) else b.shape
    zoom = math.sqrt(place[0] * size[0] / a.shape[0] * place[2] * size[1] / a.shape[1])
    return Match(*names, score, agreement, SYMMETRIES[turn], zoom, float(inside.mean()), False, same)


def among(fingerprints: Mapping[str, Fingerprint]) -> Duplicates:
    """Every pair of one image among fingerprints already taken, exact ones first, then by score."""
    blank = tuple(n for n, f in fingerprints.items() if f.blank)
    first: dict[str, str] = {}
    matches = []
    for name, f in fingerprints.items():
        if not f.blank and first.setdefault(f.digest, name) != name:
            matches.append(Match(first[f.digest], name, 1.0, 1.0, "identity", 1.0, 1.0, True, True))
    # An exact copy stands for itself only once, or ten copies would crowd out an altered one.
    unlike = {name: fingerprints[name] for name in first.values()}
    tried = (verify(unlike[a], unlike[b], names=(a, b)) for a, b in candidates(unlike))
    near = sorted((m for m in tried if m.same), key=lambda m: (-m.score, m.a, m.b))
    return Duplicates((*matches, *near), blank)


def find(images: Mapping[str, Callable[[], NDArray[Any]]]) -> Duplicates:
    """Every pair of one image; each image is read once, and no two are held at a time.

    >>> rng = np.random.default_rng(0)
    >>> field = rng.random((64, 64))
    >>> found = find({"a": lambda: field, "b": lambda: rng.random((64, 64)), "c": lambda: field.T + 1})
    >>> [(m.a, m.b, m.transform) for m in found.matches]
    [('a', 'c', 'transpose')]
    """
    return among({name: fingerprint(read()) for name, read in images.items()})


def _turn(image: NDArray[Any], k: int) -> NDArray[Any]:
    """One of the eight symmetries, numbered as in SYMMETRIES."""
    if k < 4:
        return np.rot90(image, k)
    return (image[::-1], image[:, ::-1], image.T, np.rot90(image, 2).T)[k - 4]


def _halved(image: Floats) -> Floats:
    rows = image[::2] + image[1::2]
    return np.asarray(rows[:, ::2] + rows[:, 1::2], np.float32) / np.float32(4)


def _coarse(f: Fingerprint) -> Floats:
    quarter = _halved(_halved(f.tones()))
    out = _halved(band(quarter, 0.6, 4))
    out = out - out.mean()
    return np.asarray(out / max(float(np.linalg.norm(out)), 1e-9), np.float32)


def _orient(a: Fingerprint, b: Fingerprint) -> tuple[int, NDArray[np.float64]]:
    """The best of the eight symmetries, and a first shift, by circular correlation at 32 x 32."""
    small, other = (band(_halved(_halved(f.tones())), 0.5, 2) for f in (a, b))
    spectrum = np.conj(np.fft.rfft2(small - small.mean()))
    best = (-math.inf, 0, 0, 0)
    for k in range(8):
        peak = np.fft.irfft2(np.fft.rfft2(_turn(other, k)) * spectrum, s=small.shape)
        near = np.roll(peak, (4, 4), (0, 1))[:9, :9]
        y, x = divmod(int(near.argmax()), 9)
        best = max(best, (float(near[y, x]), k, y - 4, x - 4))
    return best[1], np.array([1.0, 4.0 * best[2], 1.0, 4.0 * best[3]])


def _sample(image: Floats, place: NDArray[np.float64]) -> tuple[Floats, NDArray[np.bool_]]:
    """The image at scale * i + shift along each axis, both about the middle, and where that lies inside it."""
    n = image.shape[0]
    out, inside = image, []
    for axis in (0, 1):
        at = (np.arange(n) - (n - 1) / 2) * place[2 * axis] + place[2 * axis + 1] + (n - 1) / 2
        inside.append((at >= -0.5) & (at <= n - 0.5))
        at = np.clip(at, 0, n - 1.001)
        low = at.astype(np.int64)
        part = (at - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        out = np.take(out, low, axis) * (1 - part) + np.take(out, low + 1, axis) * part
    return np.asarray(out, np.float32), inside[0][:, None] & inside[1]


def _register(fixed: Floats, moving: Floats, place: NDArray[np.float64], *, rounds: int) -> NDArray[np.float64]:
    """Refine scale and shift per axis by Gauss-Newton steps that leave gain and offset free.

    Source: Lucas and Kanade 1981, with the photometric terms of Evangelidis and Psarakis 2008.
    """
    n = fixed.shape[0]
    index = (np.arange(n) - (n - 1) / 2).astype(np.float32)
    dy, dx = (np.asarray(g, np.float32) for g in np.gradient(moving))
    most = np.array([1.25, 0.15 * n, 1.25, 0.15 * n])
    least = np.array([0.8, -0.15 * n, 0.8, -0.15 * n])
    step_most = np.array([0.05, 3, 0.05, 3])
    for _ in range(rounds):
        (w, inside), (gy, _), (gx, _) = (_sample(im, place) for im in (moving, dy, dx))
        terms = np.stack([gy * index[:, None], gy, gx * index, gx, w, inside.astype(np.float32)]) * inside
        flat = terms.reshape(6, -1)
        normal = (flat @ flat.T).astype(np.float64)
        normal[np.diag_indices(6)] += 1e-6 * np.diag(normal) + 1e-12
        solved = np.linalg.solve(normal, (flat @ fixed.ravel()).astype(np.float64))
        gain = solved[4]
        if not gain > 1e-3:
            break
        step = np.clip(solved[:4] / gain, -step_most, step_most)
        place = np.clip(place + step, least, most)
        if np.all(np.abs(step) < [2e-4, 0.01, 2e-4, 0.01]):
            break
    return place


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale > 0 else 0.0


def _tiles(a: Floats, b: Floats, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation and energy of each tile that lies mostly inside."""

    def cut(image: NDArray[Any]) -> NDArray[np.float64]:
        n = SIDE // TILE
        return image.reshape(n, TILE, n, TILE).swapaxes(1, 2).reshape(n * n, -1).astype(np.float64)

    mask = cut(inside)
    use = mask.mean(axis=1) > 0.7
    mask = mask[use]
    share = mask / mask.sum(axis=1, keepdims=True)
    u, v = cut(a)[use], cut(b)[use]
    u = (u - (u * share).sum(axis=1, keepdims=True)) * mask
    v = (v - (v * share).sum(axis=1, keepdims=True)) * mask
    energy = np.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
    return np.clip((u * v).sum(axis=1) / np.maximum(energy, 1e-12), -1, 1), energy

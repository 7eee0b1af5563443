"""Choose the one setting of `local_watershed`, on the train images alone; and, apart from that, score a part with it.

    python benchmarks/choose_classical.py choose DATA [--out benchmarks/classical.md] [--workers 2]
    python benchmarks/choose_classical.py score DATA PART [--turned] [--workers 2]

DATA holds aitslab/{train,dev} and dsb2018/stage1_train_fluo_dev.zip; PART is train, dev or dsb. `choose` varies one
value of the setting at a time around the default and reports, for each, the score over all train images, and for each
plate left out in turn, the setting that the other plates would have chosen and what it scores on that plate.

The scores are computed here, with numpy alone, so that they check those of `corpuscle.metrics` as well: an object is
found at threshold T where the IoU with a label is at least T; counts are pooled over the images.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corpuscle.ops.segment import gauss_otsu, local_watershed, otsu_components, otsu_watershed

THRESHOLDS = tuple(round(k * 0.05, 2) for k in range(10, 20))
SIZES = (0, 25, 100, 1000, 2100, 10**9)
DEFAULT = {
    "outline": 0.48,
    "contrast": 0.5,
    "edge": 3.0,
    "neck": 0.85,
    "gap": 0.05,
    "reach": 0.2,
    "least": 0.1,
}
TRIED = {
    "outline": (0.42, 0.45, 0.51, 0.54),
    "contrast": (0.4, 0.6, 0.7),
    "edge": (2.0, 4.0),
    "neck": (0.8, 0.9),
    "gap": (0.03, 0.1),
    "reach": (0.15, 0.3),
    "least": (0.07, 0.14),
}
TURNS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "as it is": lambda a: a,
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "quarter turn": np.rot90,
    "transposed": np.transpose,
}
Segmenter = Callable[[NDArray[Any]], NDArray[np.int32]]


@dataclass(frozen=True)
class Tally:
    """Counts of one image; `sizes` and `best` are the area and best IoU of each true object."""

    plate: str
    true: int
    guessed: int
    found: NDArray[np.int64]
    sizes: NDArray[np.int64]
    best: NDArray[np.float64]
    seconds: float


def images(data: Path, part: str) -> Iterator[tuple[str, NDArray[Any], NDArray[np.int64]]]:
    """Plate, pixels and true labels of each image of a part."""
    if part == "dsb":
        yield from _dsb(data / "dsb2018" / "stage1_train_fluo_dev.zip")
        return
    for objects in sorted((data / "aitslab" / part).glob("*_objects.png")):
        picture = objects.with_name(objects.name.replace("_objects", ""))
        rgb = np.asarray(Image.open(objects).convert("RGB")).astype(np.int64)
        code = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
        values, index = np.unique(code, return_inverse=True)
        truth = index.reshape(code.shape) + (0 if values[0] == 0 else 1)
        yield picture.stem.split("_")[1], np.asarray(Image.open(picture)), truth


def _dsb(path: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[np.int64]]]:
    with zipfile.ZipFile(path) as archive:
        names = [n for n in sorted(archive.namelist()) if n.endswith(".png")]
        for image in (n for n in names if "/images/" in n):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(image))).convert("RGB"))[..., 0]
            truth = np.zeros(pixels.shape, np.int64)
            folder = image.split("/images/")[0] + "/masks/"
            for k, mask in enumerate((n for n in names if n.startswith(folder)), 1):
                truth[np.asarray(Image.open(io.BytesIO(archive.read(mask))).convert("L")) > 0] = k
            yield "dsb", pixels, truth


def tally(method: Segmenter, item: tuple[str, NDArray[Any], NDArray[np.int64]]) -> Tally:
    plate, pixels, truth = item
    start = time.perf_counter()
    guess = method(pixels)
    seconds = time.perf_counter() - start
    n, m = int(truth.max()) + 1, int(guess.max()) + 1
    both = np.bincount((truth * m + guess).ravel(), minlength=n * m).reshape(n, m)
    here, there = both.sum(1)[1:], both.sum(0)[1:]
    common = both[1:, 1:]
    union = np.maximum(here[:, None] + there[None, :] - common, 1)
    iou = common / union
    # At 0.5 exactly two labels may tie for one object: it is found once.
    found = np.array([min((iou >= t).any(0).sum(), (iou >= t).any(1).sum()) for t in THRESHOLDS])
    sizes, best = here[here > 0], iou.max(1, initial=0)[here > 0]
    return Tally(plate, len(sizes), int((there > 0).sum()), found, sizes, best, seconds)


def f1(tallies: list[Tally]) -> NDArray[np.float64]:
    total = sum(t.true + t.guessed for t in tallies)
    return np.asarray(2 * np.sum([t.found for t in tallies], axis=0) / max(total, 1))


def worth(tallies: list[Tally]) -> float:
    """What the choice maximises: F1 at 0.5 and mean F1 alike."""
    scores = f1(tallies)
    return float(scores[0] + scores.mean()) / 2


def line(name: str, tallies: list[Tally]) -> str:
    scores = f1(tallies)
    sizes, best = (np.concatenate([getattr(t, k) for t in tallies]) for k in ("sizes", "best"))
    recall = []
    for low, high in pairwise(SIZES):
        some = best[(sizes >= low) & (sizes < high)]
        recall.append(f"{(some >= 0.5).mean():.2f} ({some.size})" if some.size else "-")
    guessed = sum(t.guessed for t in tallies)
    seconds = float(np.median([t.seconds for t in tallies]))
    cells = [name, *(f"{v:.4f}" for v in (scores[0], scores[4], scores[8], scores.mean())), str(guessed), *recall]
    return "| " + " | ".join([*cells, f"{seconds:.2f}"]) + " |"


HEAD = (
    "| setting | F1@.5 | F1@.7 | F1@.9 | mean F1 | guessed | <25 px | 25-100 | 100-1000 | 1000-2100 | >2100 | s |\n"
    "|" + "---|" * 12
)


def choose(data: Path, out: Path, workers: int) -> None:
    settings = [DEFAULT] + [DEFAULT | {k: v} for k, tried in TRIED.items() for v in tried]
    names = ["default"] + [f"{k} {v}" for k, tried in TRIED.items() for v in tried]
    items = list(images(data, "train"))
    rows, every = [HEAD], []
    with ProcessPoolExecutor(workers) as pool:
        for name, setting in zip(names, settings, strict=True):
            every.append(list(pool.map(partial(tally, partial(local_watershed, **setting)), items)))
            rows.append(line(name, every[-1]))
            print(rows[-1], flush=True)
    rows += ["", "| plate left out | images | chosen by the others | F1@.5 | mean F1 | default's |", "|" + "---|" * 6]
    unseen: list[Tally] = []
    for plate in sorted({t.plate for t in every[0]}):
        others = [worth([t for t in tallies if t.plate != plate]) for tallies in every]
        best = int(np.argmax(others))
        left = [t for t in every[best] if t.plate == plate]
        unseen += left
        mine, plain = f1(left), f1([t for t in every[0] if t.plate == plate])
        rows.append(
            f"| {plate} | {len(left)} | {names[best]} | {mine[0]:.4f} | {mine.mean():.4f} | {plain.mean():.4f} |"
        )
    rows.append(
        f"| all | {len(unseen)} | | {f1(unseen)[0]:.4f} | {f1(unseen).mean():.4f} | {f1(every[0]).mean():.4f} |"
    )
    default = ", ".join(f"{k} {v}" for k, v in DEFAULT.items())
    told = f"# The setting of `local_watershed`\n\nAitslab train, {len(items)} images. Default: {default}.\n\n"
    out.write_text(told + "\n".join(rows) + "\n", encoding="utf-8")


def score(data: Path, part: str, workers: int, turned: bool) -> None:
    items = list(images(data, part))
    print(HEAD)
    with ProcessPoolExecutor(workers) as pool:
        for method in (otsu_components, gauss_otsu, otsu_watershed, local_watershed):
            print(line(method.__name__, list(pool.map(partial(tally, method), items))), flush=True)
        for name, turn in list(TURNS.items())[1:] if turned else []:
            copies = [(p, np.ascontiguousarray(turn(i)), np.ascontiguousarray(turn(t))) for p, i, t in items]
            print(line(name, list(pool.map(partial(tally, local_watershed), copies))), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("choose", "score"))
    parser.add_argument("data", type=Path)
    parser.add_argument("part", nargs="?", default="train", choices=("train", "dev", "dsb"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("classical.md"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turned", action="store_true")
    told = parser.parse_args()
    if told.what == "choose":
        choose(told.data, told.out, told.workers)
    else:
        score(told.data, told.part, told.workers, told.turned)


if __name__ == "__main__":
    main()

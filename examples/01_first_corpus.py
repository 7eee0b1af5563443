"""A first corpus: fake the raw files of a small plate, build, open, read.

Run it with `python examples/01_first_corpus.py [DIR]`; without DIR it works in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import corpuscle
from corpuscle.blocks.engines.local import Local
from corpuscle.core import Box
from corpuscle.recipe import build
from corpuscle.recipes import load


def main(folder: Path) -> None:
    # A recipe is a whole data set in one value. It can fake its own raw files, in the layout of the real ones.
    recipe = load("nuclei")
    recipe.fake(folder / "raw", size="tiny", seed=1)

    # Building reads the raw files, settles each field as a record, and runs the recipe's steps over them.
    # Run it again and nothing is done twice. A bad file is told of, and the others are built all the same.
    with Local(1) as engine:
        receipt = build(recipe, folder / "raw", folder / "corpus", engine=engine, tell=print)
    print(f"{receipt.done} layers and records made, {len(receipt.failures)} failures")

    # A corpus is a folder. Opening it reads next to nothing; printing it shows what there is.
    corpus = corpuscle.open(folder / "corpus")
    print(corpus)

    # A record is one field of one well, with named layers.
    # Those without `@` were in the raw files or follow from them; those with `@` are guesses at one of them.
    name = next(n for n in corpus if "nuclei" in corpus[n].layers)
    record = corpus[name]
    print(record)

    # Layers are lazy. This reads the first channel of the stain, and the labels of a corner of it.
    raw, nuclei = record.image("raw"), record.image("nuclei")
    height, width = nuclei.shape
    stain = raw.read(Box((0, 0, 0), (1, height, width)))
    corner = nuclei.read(Box((0, 0), (128, 128)))
    print("brightest pixel:", stain.max(), "- objects in the corner:", len(set(corner.flat) - {0}))

    # Pixel sizes are micrometres, or None where nobody knows them; a guess is never made.
    print("pixel size:", raw.space.scale, "axes:", "".join(raw.space.axes))

    # Measurements came with the build, one row per object.
    objects = record.table("objects")
    print(objects)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))

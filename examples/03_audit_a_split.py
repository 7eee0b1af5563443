"""Audit a split: what do its parts share, what is left without that, and how a split is made that shares nothing.

Run it with `python examples/03_audit_a_split.py [DIR]`; without DIR it works in a temporary folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from corpuscle.core.plate import parse
from corpuscle.corpus.audit import audit, clean
from corpuscle.corpus.split import by_group, read_split

# Three wells of two plates. The fields of A01 are on both sides: cells of one culture, stained and imaged together.
PUBLISHED = {
    "train": ["p1_A01f00d0", "p1_A01f01d0", "p1_B02f00d0", "p2_C03f00d0"],
    "test": ["p1_A01f07d0", "p2_C03f05d0", "p2_D04f00d0"],
}


def main(folder: Path) -> None:
    file = folder / "split.json"
    file.write_text(json.dumps(PUBLISHED))

    # The images need not be there: plate, well and field are read from the names.
    # With a corpus, `corpuscle audit CORPUS --split split.json` also compares the pictures themselves.
    split = read_split(file)
    leaks = audit(split, {})
    for leak in leaks:
        print(f"{leak.severity:8} {leak.message}\n         {leak.advice}")

    # The audited split keeps train as it is and drops from the other parts what leaks,
    # so a model that was trained on the published split need not be trained again.
    audited = clean(split, leaks)
    print(f"{split.scheme}: {split.sizes}\n{audited.scheme}: {audited.sizes}")

    # A split of our own deals out whole wells.
    wells = {}
    for name in split.names:
        found = parse(name)
        assert found is not None, "these names tell their well"
        wells[name] = f"{found.plate}/{found.well}"
    ours = by_group(wells, fractions={"train": 0.6, "test": 0.4})
    serious = [leak.message for leak in audit(ours, {}) if leak.severity != "minor"]
    print(f"{ours.scheme}: {ours.sizes}, leaks that matter: {serious or 'none'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))

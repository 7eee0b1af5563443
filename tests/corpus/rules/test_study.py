from __future__ import annotations

from corpuscle.corpus.rules.study import known, placeholder


def test_placeholders_and_licences() -> None:
    assert all(map(placeholder, ("X", "xxx", "TODO: write", "TBD", "Lorem ipsum", "Example", "", "<title>", "N/A")))
    told = ("Example of a kidney", "X-ray tomography", "XO mice", "MaxxxV2", "Stained with DAPI, not tested")
    assert not any(map(placeholder, told))
    assert known("CC-BY-4.0", "")
    assert known("LicenseRef-lab", "https://lab.science/terms")
    assert not any(known(x, "") for x in ("", "unknown", "assumed", "CC-BY", "CC-BY-9.0", "LicenseRef-lab", "MIT OR X"))
    assert known("NOASSERTION", "not stated with the files")
    assert not known("NOASSERTION", "TODO")

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corpuscle import errors
from corpuscle.cli import main


def said(argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of the command line, and what it wrote to standard error."""
    monkeypatch.setattr(sys, "argv", ["corpuscle", *argv])
    with pytest.raises(SystemExit) as e:
        main()
    return int(e.value.code or 0), capsys.readouterr().err


ASKED = {
    "no such corpus": "check {}/none",
    "no such corpus to audit": "audit {}/none",
    "a file for a corpus": "bench {}/file.txt",
    "no such file": "info {}/none.C01",
    "no such source": "convert {}/none.C01 {}/a.png",
    "an unwritable suffix": "convert {}/a.npy {}/a.xyz",
    "an unknown scene": "convert {}/a.npy {}/b.png --scene none",
    "a file for a world": "fake nuclei {}/file.txt",
    "below a file for a world": "fake nuclei {}/file.txt/raw",
    "a file for a demo": "demo nuclei {}/file.txt",
    "a file for a new corpus": "build nuclei {} {}/file.txt",
    "no memory": "plan nuclei {} --memory 0",
    "less than no memory": "plan nuclei {} --memory -1",
    "memory that is no number": "plan nuclei {} --memory nan",
}


@pytest.mark.parametrize("what", ASKED)
def test_the_impossible_exits_with_2(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Slips in what was asked exited with 1, as bad files do, or as an internal error.
    (tmp_path / "file.txt").write_text("mine")
    npy(tmp_path / "a.npy")
    before = sorted(tmp_path.rglob("*"))
    argv = [x.replace("{}", str(tmp_path)) for x in ASKED[what].split()]
    code, told = said(argv, monkeypatch, capsys)
    assert code == 2
    assert "internal" not in told
    assert "Traceback" not in told
    assert told.count("\n") == 1
    assert "(" in told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_file_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.C01").write_bytes(b"\0\0\0\x10xx")
    assert said(["info", str(tmp_path / "a.C01")], monkeypatch, capsys)[0] == 1


def test_what_the_system_refuses_is_no_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/x")

    monkeypatch.setattr("corpuscle.cli.app.app", full)
    code, told = said(["recipes", "--json"], monkeypatch, capsys)
    assert (code, told) == (1, "")
    monkeypatch.setattr(sys, "argv", ["corpuscle", "recipes"])
    code, told = said(["recipes"], monkeypatch, capsys)
    assert told.startswith("/x: No space left on device (")


def test_whose_fault_it_was_crosses_process_borders() -> None:
    code = (
        "import pickle,sys; from corpuscle.errors import *; "
        "sys.stdout.buffer.write(pickle.dumps(FormatError('m', where='w', fix='f', rule='r', asked=True)))"
    )
    back = pickle.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert isinstance(back, errors.FormatError)
    assert (back.asked, json.loads(back.as_json())["rule"]) == (True, "r")
    assert not errors.FormatError("m").asked
    assert errors.SettingsError("m").asked


def npy(path: Path) -> None:
    np.save(path, np.ones((3, 4), np.uint8))

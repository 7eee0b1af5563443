"""Files appear whole or not at all, and a write that fails says what it lacked."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpuscle.core.disk import free_space, store_error
from corpuscle.errors import StoreError
from corpuscle.store.atomic import (
    Staging,
    publish,
    read_json,
    sweep_parts,
    write_bytes,
    write_json,
)

RULES = {
    errno.ENOSPC: ("disk-full", "the disk is full", "bytes needed"),
    errno.EDQUOT: ("disk-full", "the quota is used up", "bytes needed"),
    errno.EFBIG: ("disk-full", "the file may not grow so", "ulimit -f"),
    errno.EROFS: ("store-read-only", "read-only", "write elsewhere"),
    errno.EACCES: ("store-rights", "no right to write", "rights of the folder"),
    errno.EPERM: ("store-rights", "no right to write", "rights of the folder"),
    errno.EIO: ("store", "Input/output error", "check space"),
}


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("call", ["write", "replace"])
@pytest.mark.parametrize("code", RULES)
def test_a_failed_write_keeps_the_old_file_and_names_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str, fsync: bool
) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if call == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    elif fsync:
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StoreError) as told:
        write_bytes(path, b"new" * 1000, fsync=fsync)
    monkeypatch.undo()
    rule, *words = RULES[code]
    assert told.value.rule == rule
    assert told.value.where == str(path)
    assert all(w in str(told.value) for w in words), told.value
    assert ("3,000 bytes needed" in str(told.value)) == (rule == "disk-full")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("fsync", [False, True])
def test_what_is_written_is_there(tmp_path: Path, fsync: bool) -> None:
    write_bytes(tmp_path / "a", b"1", fsync=fsync)
    write_bytes(tmp_path / "a", b"22", fsync=fsync)
    assert (tmp_path / "a").read_bytes() == b"22"
    write_json(tmp_path / "b", {"µ": [1]})
    assert read_json(tmp_path / "b") == {"µ": [1]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_limit_on_the_size_of_files_is_met_for_real(tmp_path: Path) -> None:
    code = """if True:
        import resource, sys
        from pathlib import Path
        from corpuscle.errors import StoreError
        from corpuscle.store.atomic import write_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try: write_bytes(Path(sys.argv[1]) / "a", bytes(2000))
        except StoreError as e: print(e.rule, list(Path(sys.argv[1]).iterdir()))
    """
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "disk-full []"


def test_free_space_is_that_of_the_disk_where_it_is_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_space(tmp_path / "not" / "yet" / "there") is not None
    (tmp_path / "file").touch()
    assert free_space(tmp_path / "file" / "below") is not None

    def silent(_: object) -> None:
        raise OSError(errno.EIO, "no answer")

    monkeypatch.setattr(shutil, "disk_usage", silent)
    assert free_space(tmp_path) is None
    assert "needed" in str(store_error(OSError(errno.ENOSPC, ""), tmp_path, needed=5))
    assert "free)" not in str(store_error(OSError(errno.ENOSPC, ""), tmp_path))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"1" * 10_000, b"[" * 100_000])
def test_what_is_not_json_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(StoreError) as told:
        read_json(tmp_path / "a")
    assert told.value.rule == "json-torn"
    with pytest.raises(StoreError, match="no such file"):
        read_json(tmp_path / "b")


def test_a_folder_takes_its_place_or_vanishes(tmp_path: Path) -> None:
    staging, final = Staging(tmp_path / "staging"), tmp_path / "out" / "a.zarr"
    for text in ("old", "new"):
        with staging.place(final) as aside:
            aside.mkdir()
            (aside / "x").write_text(text)
    assert (final / "x").read_text() == "new"
    with pytest.raises(ZeroDivisionError), staging.place(final) as aside:
        (aside / f"{1 / 0}").mkdir()
    assert (final / "x").read_text() == "new"
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_killed_runs_left_is_swept(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging")
    staging.new().mkdir()
    (tmp_path / ".a.1-2.part").touch()
    (tmp_path / "a.part").touch()
    assert staging.sweep() == 1
    assert staging.sweep() == 0
    sweep_parts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.part"]


def test_a_file_that_cannot_take_its_place_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="cannot take its place: the disk is full") as told:
        publish(tmp_path / "a", tmp_path / "b", trash=tmp_path)
    assert told.value.rule == "disk-full"

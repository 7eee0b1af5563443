from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.bars import draw, verdict
from benchmarks.installed import PEERS
from benchmarks.turns import Entry, Turns, contest, faster, into_memory, out_of_memory

SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {peers!r})
from turn import serve
def job(out, add=0):
    {body}
serve(job)
"""
WRITES = "Path(out).write_text(str(add)); time.sleep(0.02); return {'add': add}"


def entry(folder: Path, name: str, body: str = WRITES, *, turns: int | None = None, add: int = 0) -> Entry:
    script = folder / f"{name}.py"
    script.write_text(SERVER.format(peers=str(PEERS), body=body), encoding="utf-8")
    return Entry(name, (sys.executable, script), told={"add": add}, turns=turns)


def test_all_take_turns_and_the_first_does_not_count(tmp_path: Path) -> None:
    seen = []
    entries = [entry(tmp_path, "a", add=1), entry(tmp_path, "slow", turns=1), entry(tmp_path, "b", add=2)]
    turns, notes = contest(entries, tmp_path, rounds=2, after=lambda n, out: seen.append((n, out.read_text())))
    assert notes == []
    assert seen == [("a", "1"), ("b", "2"), ("slow", "0")]
    assert [(t.name, len(t.seconds), len(t.cpu)) for t in turns] == [("a", 2, 2), ("slow", 1, 1), ("b", 2, 2)]
    assert turns[0].said["add"] == 1
    assert all(0.02 <= s < 5 for t in turns for s in t.seconds)
    assert all(t.idle_mb > 1 for t in turns)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("out-")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('no such thing')", "no such thing"),
        ("sys.stderr.write('dying\\n'); sys.exit(3)", "ended with 3: dying"),
    ],
)
def test_one_that_fails_is_told_of_and_keeps_no_one_else_from_it(tmp_path: Path, body: str, why: str) -> None:
    turns, notes = contest([entry(tmp_path, "bad", body), entry(tmp_path, "good")], tmp_path, rounds=1)
    assert [t.name for t in turns] == ["good"]
    assert len(notes) == 1
    assert why in notes[0]


def test_one_that_does_not_even_start_is_told_of(tmp_path: Path) -> None:
    turns, notes = contest([Entry("none", (sys.executable, "-c", "import nothing_at_all"))], tmp_path, rounds=1)
    assert turns == []
    assert "nothing_at_all" in notes[0]


def test_memory_and_processor_time_of_children_count(tmp_path: Path) -> None:
    body = (
        "import subprocess; code = 'import time; a = bytearray(90_000_000); a[::4096] = a[::4096]; t = time.time()\\n"
        "while time.time() < t + 0.6: pass'; subprocess.run([sys.executable, '-c', code], check=True)"
    )
    turns, _ = contest([entry(tmp_path, "parent", body)], tmp_path, rounds=1)
    assert turns[0].peak_mb - turns[0].idle_mb > 60
    assert turns[0].cpu[0] > 0.1


def test_the_server_answers_one_line_for_each_it_hears(tmp_path: Path) -> None:
    import subprocess

    one = entry(tmp_path, "one")
    told = "".join(json.dumps({"out": str(tmp_path / str(n)), "add": n}) + "\n" for n in range(3))
    ran = subprocess.run(list(map(str, one.command)), input=told, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[0] == {"ready": True}
    assert [line["add"] for line in lines[1:]] == [0, 1, 2]


def test_a_ratio_is_the_worse_of_medians_and_best_turns() -> None:
    a = Turns("a", (1.0, 2.0, 9.0), (1, 1, 1), 0, 0)
    b = Turns("b", (3.0, 4.0, 5.0), (1, 1, 1), 0, 0)
    assert (a.best, a.median, a.work) == (1.0, 2.0, 1)
    assert faster(a, b) == 2.0
    assert faster(a, b, least=False) == 3.0
    assert faster(a, None) is None


def test_files_are_put_into_and_out_of_memory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 100_000)
    out_of_memory([tmp_path])
    into_memory([tmp_path / "d", tmp_path / "d" / "f"])
    assert (tmp_path / "d" / "f").read_bytes() == b"x" * 100_000


def test_bars_are_drawn_in_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.bars.IMAGES", tmp_path)
    line = draw("speed", [("corpuscle", 30.0), ("a & b", 15.0)], unit="MB/s")
    assert line == "![MB/s by program](images/speed.svg)"
    text = (tmp_path / "speed.svg").read_text(encoding="utf-8")
    wide = [float(part.split('"')[1]) for part in text.split("width=")[3:]]
    assert wide == [330.0, 165.0]
    assert "a &amp; b" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "met"), (0.49, "MISSED"), (None, "not measured"), (float("nan"), "not")]
)
def test_a_verdict_says_what_was_missed(value: float | None, said: str) -> None:
    assert said in verdict("x", value, least=0.5)

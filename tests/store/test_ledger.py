"""What the ledger says is done is done, whatever ended the run, bent a bit or filled the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.errors import SettingsError, StoreError
from corpuscle.store import book as book_module
from corpuscle.store import ledger as ledger_module
from corpuscle.store.book import Book
from corpuscle.store.ledger import Ledger

KEY = "ab" * 32
TEXT = st.text(max_size=12)
FACTS = st.dictionaries(st.text(max_size=5).filter(lambda k: k not in ("self", "key", "unit")), st.integers() | TEXT)


def child(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, where forks and kills do no harm."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a.ledger"


def file_of(home: Path) -> Path:
    (path,) = (home / "units").glob("*/*.jsonl")
    return path


# Laws


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["note", "begin", "forget", "reopen"]),
            st.sampled_from(["k", "K", "k/tier1", "../k", "", "µ" * 90, "x" * 500, "a.b", "\udc80"]),
            st.sampled_from(["a", "b", 'quote" \\ and\nline', "µ", "", "\udcff"]),
            FACTS,
        ),
        max_size=30,
    )
)
def test_the_ledger_is_a_map_that_outlives_the_run(did: list[tuple[str, str, str, dict[str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "x.ledger"
        done: dict[str, dict[str, dict[str, object]]] = {}
        begun: dict[str, set[str]] = {}
        torn: dict[str, set[str]] = {}
        ledger = Ledger(home)
        try:
            for verb, key, unit, facts in [*did, ("reopen", "", "", {})]:
                if verb == "note":
                    ledger.note(key, unit, **facts)
                    done.setdefault(key, {})[unit] = facts
                    begun.get(key, set()).discard(unit)
                    torn.get(key, set()).discard(unit)
                elif verb == "begin":
                    ledger.begin(key, unit)
                    done.get(key, {}).pop(unit, None)
                    begun.setdefault(key, set()).add(unit)
                elif verb == "forget":
                    ledger.forget(key)
                    for known in (done, begun, torn):
                        known.pop(key, None)
                else:
                    ledger.close()
                    ledger = Ledger(home)
                    for k, units in begun.items():
                        torn.setdefault(k, set()).update(units)
                    begun = {}
                for k in done:
                    assert set(ledger.finished(k)) == set(done[k])
                    assert ledger.count(k) == len(done[k])
                    assert {u: ledger.done(k, u) for u in done[k]} == done[k]
                for k in torn:
                    assert ledger.torn(k) == torn[k]
            assert set(ledger.keys()) >= {k for k, units in done.items() if units}
            assert sorted(p.name for p in Path(folder).iterdir()) == ["x.ledger"]
        finally:
            ledger.close()


@pytest.mark.parametrize("line", [0, 1, 2, 3])
def test_every_flipped_bit_is_found_and_never_makes_a_unit_done(home: Path, line: int) -> None:
    with Ledger(home) as ledger:
        ledger.begin(KEY, "m1/x/0")
        ledger.note(KEY, "m1/x/0", seconds=0.05)
        ledger.note(KEY, 'm1"/x/1', seconds=0.07)
    path = file_of(home)
    whole = path.read_bytes()
    starts = [0, *(i + 1 for i, c in enumerate(whole) if c == 10)]
    for at in range(starts[line], starts[line + 1]):
        for bit in range(8):
            bent = bytearray(whole)
            bent[at] ^= 1 << bit
            path.write_bytes(bent)
            book = Book(path, KEY)
            assert book.damaged, (at, bit)
            assert book.units <= {"m1/x/0", 'm1"/x/1'}
            assert {u: book.facts(u) for u in book.units}.items() <= {
                "m1/x/0": {"seconds": 0.05},
                'm1"/x/1': {"seconds": 0.07},
            }.items()
            assert not (line == 2 and "m1/x/0" in book.units)
            assert not (line == 3 and 'm1"/x/1' in book.units)
            book.shut()


def test_a_file_cut_anywhere_opens_and_goes_on(home: Path) -> None:
    with Ledger(home) as ledger:
        for unit in "abc":
            ledger.begin(KEY, unit)
            ledger.note(KEY, unit, n=1)
    path = file_of(home)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        book = Book(path, KEY)
        kept = set(book.units)
        assert len(kept) == sum(f'"unit":"{u}","facts":{{"n":1}}}}'.encode() in whole[:cut] for u in "abc")
        book.note("d", {"n": 2})
        book.shut()
        again = Book(path, KEY)
        assert set(again.units) == kept | {"d"}
        assert again.facts("d") == {"n": 2}
        again.shut()


def test_a_line_counts_only_in_its_own_book(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.note(KEY, "a")
    path = file_of(home)
    other = Book(path, "cd" * 32)
    assert not other.units
    assert other.damaged == 2


def test_a_line_that_is_bent_after_it_was_read_no_longer_counts(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.note(KEY, "a", n=1)
        path = file_of(home)
        path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":3'))
        assert ledger.done(KEY, "a") is None
        assert ledger.count(KEY) == 0
        assert ledger.damaged(KEY) == 1


# Kills

KILLS = """
    import os, sys
    from pathlib import Path
    from corpuscle.store.ledger import Ledger

    OPS = [("begin", "a"), ("note", "a"), ("begin", "b"), ("begin", "c"), ("note", "b"), ("forget", ""), ("begin", "a"),
           ("note", "a"), ("begin", "a"), ("note", "a"), ("forget", ""), ("note", "z")]
    CALLS = ("write", "open", "unlink", "mkdir", "fstat")
    true = {name: getattr(os, name) for name in CALLS}

    def state(n):
        done, torn = set(), set()
        for verb, unit in OPS[:n]:
            if verb == "begin": done.discard(unit); torn.add(unit)
            elif verb == "note": done.add(unit); torn.discard(unit)
            else: done, torn = set(), set()
        return done, torn

    def work(home, point, mode, tell):
        ledger = Ledger(home)
        count = 0
        def hooked(name):
            def call(*words, **more):
                nonlocal count
                count += 1
                if count == point and mode == "before": os._exit(9)
                if count == point and mode == "half" and name == "write":
                    true["write"](words[0], bytes(words[1])[: len(words[1]) // 2])
                    os._exit(9)
                here = count == point
                try: return true[name](*words, **more)
                finally:
                    if here: os._exit(9)
            return call
        for name in CALLS: setattr(os, name, hooked(name))
        for verb, unit in OPS:
            getattr(ledger, verb)("k", *([unit] if unit else []))
            true["write"](tell, b".")
        os._exit(0)

    point, ended = 0, False
    while not ended:
        point += 1
        for mode in ("before", "half", "after"):
            home = Path(sys.argv[1]) / f"{point}{mode}.ledger"
            heard, tell = os.pipe()
            if (pid := os.fork()) == 0:
                os.close(heard)
                try: work(home, point, mode, tell)
                finally: os._exit(1)
            os.close(tell)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            n = len(os.read(heard, 1000)); os.close(heard)
            assert code in (0, 9), code
            if mode == "before": ended = code == 0
            with Ledger(home) as ledger:
                found = set(ledger.finished("k")), set(ledger.torn("k"))
                assert found in (state(n), state(n + 1)), (point, mode, n, found)
                assert all(ledger.done("k", u) is not None for u in found[0])
                ledger.note("k", "later")
            with Ledger(home) as ledger:
                assert set(ledger.finished("k")) == found[0] | {"later"}
    print(point)
"""


def test_a_kill_at_any_system_call_leaves_what_was_or_what_is(tmp_path: Path) -> None:
    assert int(said(child(KILLS, tmp_path))) > 15


RANDOM = """
    import os, random, signal, sys, time
    from pathlib import Path
    from corpuscle.store.ledger import Ledger

    chance = random.Random(7)
    for turn in range(60):
        home = Path(sys.argv[1]) / f"{turn}.ledger"
        heard, tell = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(heard)
            try:
                ledger = Ledger(home)
                for i in range(100000):
                    ledger.begin("k", f"u{i}")
                    os.write(tell, b"b")
                    ledger.note("k", f"u{i}", i=i)
                    os.write(tell, b"n")
                    if i % 50 == 49:
                        os.write(tell, b"F")
                        ledger.forget("k")
                        os.write(tell, b"f")
            finally: os._exit(1)
        os.close(tell)
        time.sleep(chance.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        told = b""
        while piece := os.read(heard, 65536): told += piece
        os.close(heard)
        begun, noted, forgotten = told.count(b"b"), told.count(b"n"), 50 * told.count(b"f")
        with Ledger(home) as ledger:
            found = {int(u[1:]) for u in ledger.finished("k")}
            torn = {int(u[1:]) for u in ledger.torn("k")}
        wanted = set(range(forgotten, noted))
        if told.endswith(b"F"): assert found in (wanted, set()), (turn, found)
        else:
            assert wanted <= found <= wanted | {noted}, (turn, found, noted)
            assert torn <= {noted}, torn
            assert begun == noted or noted in found | torn, (turn, begun, noted)
    print("held")
"""


def test_a_kill_at_a_random_moment_loses_nothing_and_invents_nothing(tmp_path: Path) -> None:
    assert said(child(RANDOM, tmp_path)) == "held"


FULL = """
    import resource, sys
    from pathlib import Path
    from corpuscle.errors import StoreError
    from corpuscle.store.ledger import Ledger

    home, noted = Path(sys.argv[1]), []
    with Ledger(home) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
        try:
            for i in range(1000):
                ledger.note("k", f"u{i}", words="x" * (i % 90))
                noted.append(f"u{i}")
        except StoreError as e:
            error = e
        assert error.rule == "disk-full" and "bytes needed" in error.message and error.fix, error
        assert error.where.endswith("k.jsonl")
        assert ledger.done("k", f"u{len(noted)}") is None
        assert list(ledger.finished("k")) == noted
    with Ledger(home) as ledger:
        assert list(ledger.finished("k")) == noted and not ledger.damaged("k")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ledger.note("k", "more")
        assert ledger.count("k") == len(noted) + 1
    print(error)
"""


def test_a_full_disk_is_told_and_what_was_not_written_is_not_done(home: Path) -> None:
    assert "the unit is not done" in said(child(FULL, home))


def test_after_space_is_made_the_same_run_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(home) as ledger:
        ledger.note(KEY, "a", n=1)
        true, calls = os.write, 0

        def half(fd: int, data: memoryview) -> int:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise OSError(28, "No space left on device")
            return true(fd, data[: len(data) // 2])

        def stuck(fd: int, size: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "write", half)
        for _ in range(2):  # the first is cut off again; the second cannot be
            calls = 0
            with pytest.raises(StoreError, match=r"disk is full: [0-9,]+ bytes needed, [0-9,]+ bytes free"):
                ledger.note(KEY, "b", n=2)
            assert ledger.done(KEY, "b") is None
            monkeypatch.setattr(os, "ftruncate", stuck)
        monkeypatch.undo()
        ledger.note(KEY, "c", n=3)
        assert ledger.done(KEY, "c") == {"n": 3}
    with Ledger(home) as ledger:
        assert {u: ledger.done(KEY, u) for u in ledger.finished(KEY)} == {"a": {"n": 1}, "c": {"n": 3}}
        assert ledger.damaged(KEY) == 1


# Cases


def test_the_file_can_be_read_by_people(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.begin("f/tier1", "m1/x/0")
        ledger.note("f/tier1", "m1/x/0", seconds=0.05)
    path = file_of(home)
    assert path.relative_to(home).as_posix() == "units/f%/f%2ftier1.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.pop("crc") for line in lines]
    assert lines == [
        {"key": "f/tier1", "format": 1},
        {"begin": "m1/x/0"},
        {"unit": "m1/x/0", "facts": {"seconds": 0.05}},
    ]


def test_settings_that_differ_never_mix_and_old_ones_are_pruned(home: Path) -> None:
    long = "s" * 400
    with Ledger(home) as ledger:
        ledger.note("smooth-1", "a", n=1)
        ledger.note("smooth-2", "a", n=2)
        ledger.note(long, "a", n=3)
        assert ledger.done("smooth-1", "a") == {"n": 1}
        assert ledger.done("smooth-2", "a") == {"n": 2}
        assert ledger.done("smooth-3", "a") is None
        assert set(ledger.keys()) == {"smooth-1", "smooth-2", long}
        before = ledger.size()
        freed = ledger.prune({"smooth-2", "never seen"})
        assert freed + ledger.size() == before
        assert list(ledger.keys()) == ["smooth-2"]
        assert ledger.done("smooth-1", "a") is None
        assert ledger.prune(set()) == before - freed
        assert ledger.size() == 0
        assert list((home / "units").iterdir()) == []


def test_more_books_than_are_kept_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_WARM", 3)
    with Ledger(home) as ledger:
        before = len(os.listdir("/proc/self/fd"))
        for turn in range(3):
            for i in range(10):
                ledger.begin(f"k{i}", "never")
                ledger.begin(f"k{i}", f"u{turn}")
                ledger.note(f"k{i}", f"u{turn}", turn=turn)
                assert ledger.torn(f"k{i}") == set()
        assert len(os.listdir("/proc/self/fd")) <= before + 4
        for i in range(10):
            assert [ledger.done(f"k{i}", f"u{t}") for t in range(3)] == [{"turn": t} for t in range(3)]
    with Ledger(home) as ledger:
        assert all(ledger.torn(f"k{i}") == {"never"} for i in range(10))


def test_what_an_older_release_noted_is_taken_over(home: Path) -> None:
    home.mkdir()
    lines = [
        {"step": "f", "unit": "gone", "n": 0},
        {"step": "f", "forget": True},
        {"step": "f", "unit": "a", "seconds": 0.5},
        {"step": "g", "unit": "a"},
        {"step": "h", "unit": "a"},
        {"step": "h", "forget": True},
    ]
    old = home / "units.jsonl"
    old.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step":"f","unit":"to')
    with Ledger(home) as ledger:
        assert ledger.done("f", "a") == {"seconds": 0.5}
        assert list(ledger.finished("f")) == ["a"]
        assert ledger.done("g", "a") == {}
        assert ledger.count("h") == 0
        assert not old.exists()
        ledger.note("f", "a", seconds=0.7)
    old.write_text(json.dumps(lines[2]) + "\n" + json.dumps({"step": "f", "unit": "b"}) + "\n" + json.dumps(lines[4]))
    with Ledger(home) as ledger:
        assert ledger.done("f", "a") == {"seconds": 0.7}
        assert set(ledger.finished("f")) == {"a", "b"}
        assert ledger.count("h") == 1


# Bad input


def test_a_ledger_of_a_newer_format_is_refused(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.note(KEY, "a")
    path = file_of(home)
    book = Book(path, KEY)
    path.write_bytes(book._sealed(f'","key":"{KEY}","format":2}}'))
    with Ledger(home) as ledger, pytest.raises(StoreError, match="of format 2"):
        ledger.done(KEY, "a")


def test_a_note_too_long_and_a_line_without_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "LONGEST", 3000)
    monkeypatch.setattr(book_module, "_PIECE", 1000)
    with Ledger(home) as ledger:
        ledger.note(KEY, "a", n=1)
        with pytest.raises(SettingsError, match="too many"):
            ledger.note(KEY, "b", words="x" * 3000)
        with file_of(home).open("ab") as f:
            f.write(b"\0" * 10_500 + b"\n")
    with Ledger(home) as ledger:
        ledger.note(KEY, "c", n=3, words="y" * 2000)
        ledger.note(KEY, "d", n=4)
    with Ledger(home) as ledger:
        assert list(ledger.finished(KEY)) == ["a", "c", "d"]
        assert ledger.damaged(KEY) == 1
        assert ledger.done(KEY, "a") == {"n": 1}
        assert ledger.done(KEY, "c") == {"n": 3, "words": "y" * 2000}
        assert ledger.done(KEY, "d") == {"n": 4}


def test_noise_in_place_of_a_book_is_no_book(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.note(KEY, "a")
    noise = b"\xff\x00{}\n[1]\n" * 1000 + b'{"crc":"00000000'
    file_of(home).write_bytes(noise)
    (home / "units" / "zz").mkdir()
    (home / "units" / "zz" / "%zz.jsonl").write_bytes(noise)
    (home / "units" / "zz" / "s~1.jsonl").write_bytes(noise)
    with Ledger(home) as ledger:
        assert ledger.done(KEY, "a") is None
        assert ledger.damaged(KEY) == 2001
        assert list(ledger.keys()) == [KEY]


@pytest.mark.slow
def test_a_million_units_open_in_seconds(home: Path) -> None:
    with Ledger(home) as ledger:
        for i in range(1_000_000):
            ledger.begin(KEY, f"kidney/nuclei/{i}")
            ledger.note(KEY, f"kidney/nuclei/{i}", seconds=0.0512)
    code = """
        import sys, time
        from pathlib import Path
        from corpuscle.store.ledger import Ledger
        with Ledger(Path(sys.argv[1])) as ledger:
            start = time.process_time()
            assert ledger.count(sys.argv[2]) == 1_000_000
            held = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
            print(time.process_time() - start, int(held) / 1024)
    """
    seconds, megabytes = map(float, said(child(code, home, KEY)).split())
    assert seconds <= 5
    assert megabytes <= 400


@pytest.mark.slow
def test_a_unit_costs_microseconds(home: Path) -> None:
    took = []
    with Ledger(home) as ledger:
        for i in range(20_000):
            start = time.perf_counter()
            ledger.begin(KEY, f"kidney/nuclei/{i}")
            ledger.note(KEY, f"kidney/nuclei/{i}", seconds=0.0512)
            took.append(time.perf_counter() - start)
    assert sorted(took)[10_000] <= 40e-6

from __future__ import annotations

import sys
from importlib import import_module

import pytest
from benchmarks.__main__ import NAMES, main
from benchmarks.finding import Finding, cell
from benchmarks.process import kill, peak_of, run, start

HOLD = "import time; held = bytearray(80_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.5)"


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-"), (float("nan"), "-"), (0.0, "0"), (3, "3"), (123.4, "123"), (1.2345, "1.23"), (2e-7, "2.0e-07")],
)
def test_cells_have_as_many_digits_as_mean_something(value: float | None, said: str) -> None:
    assert cell(value) == said


def test_a_finding_is_a_section_with_a_table() -> None:
    text = Finding("T", ("name", "n"), (("a|b", 1), ("c", None)), "Said.", ("Note.",)).markdown()
    table = "| name | n |\n| --- | ---: |\n| a\\|b | 1 |\n| c | - |"
    assert text == f"## T\n\nSaid.\n\n{table}\n\nNote.\n"
    with pytest.raises(ValueError, match="1 cells under 2"):
        Finding("T", ("a", "b"), (("x",),))


def test_the_peak_is_the_programs_own_and_not_that_of_whoever_starts_it() -> None:
    ours = bytearray(150_000_000)
    ours[::4096] = b"x" * len(ours[::4096])
    assert run([sys.executable, "-c", "pass"]).peak_mb < 60
    ran = run([sys.executable, "-c", HOLD])
    assert ran.code == 0
    assert 80 < ran.peak_mb < 130


def test_children_count_in_the_peak_of_all() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    child = start([sys.executable, "-c", code])
    peak, _, err = peak_of(child, every=0.05)
    assert (child.returncode, err) == (0, "")
    assert 80 < peak.child < 130
    assert peak.own < 60
    assert peak.processes == 2


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match=r"took more than 0 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)
    child = start([sys.executable, "-c", "import time; time.sleep(60)"])
    kill(child)
    assert child.returncode == -9


def test_every_benchmark_can_be_run_and_others_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        assert callable(import_module(f"benchmarks.{name}").measure)
    assert main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err

"""Whatever dies, each unit comes out once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corpuscle.blocks.engines.line import RETRIES, Line, Ticket
from corpuscle.blocks.engines.outcome import Outcome


@given(
    units=st.integers(0, 30),
    room=st.integers(1, 8),
    bad=st.sets(st.integers(0, 29), max_size=4),
    fates=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=200),
)
def test_each_unit_comes_out_once_and_only_the_bad_ones_are_given_up(
    units: int, room: int, bad: set[int], fates: list[tuple[int, int]]
) -> None:
    line = Line(iter(range(units)))
    flying: list[Ticket[int]] = []
    out: list[Outcome[int]] = []
    accidents = dict.fromkeys(range(units), 0)
    fate = iter(fates)
    while True:
        while len(flying) < room and (ticket := line.draw(len(flying))) is not None:
            flying.append(ticket)
        if not flying:
            break
        which, luck = next(fate, (0, 9))
        ticket = flying.pop(which % len(flying))
        if ticket.unit in bad:
            given_up = line.struck(ticket, "killed", for_memory=luck < 5)
            out += [given_up] if given_up else []
        elif luck == 0 and accidents[ticket.unit] < RETRIES:
            accidents[ticket.unit] += 1
            assert line.struck(ticket, "killed") is None
        elif luck == 1:
            line.back(ticket)
        else:
            out.append(Outcome(ticket.unit, None, None, 0.0))
    assert sorted(o.unit for o in out) == list(range(units))
    assert {o.unit for o in out if o.error} == {b for b in bad if b < units}


def test_a_unit_struck_twice_waits_until_it_is_alone() -> None:
    line = Line(iter("ab"))
    a = line.draw(0)
    assert a is not None
    assert line.struck(a, "killed") is None
    assert (again := line.draw(0)) is a
    assert line.struck(again, "killed") is None
    b = line.draw(0)
    assert b is not None
    assert b.unit == "b"
    assert line.draw(1) is None
    assert line.draw(0) is a
    assert line.draw(1) is None


def test_a_cluster_that_has_tried_again_by_itself_is_believed_the_second_time() -> None:
    line = Line(iter("a"))
    for last in (False, True):
        ticket = line.draw(0)
        assert ticket is not None
        given_up = line.struck(ticket, "lost", deaths=4)
        assert (given_up is not None) is last
    assert given_up is not None
    assert "8 workers died" in str(given_up.error)

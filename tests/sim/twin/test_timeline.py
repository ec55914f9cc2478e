"""Things that happen at a time."""

from __future__ import annotations

import math

from sim.twin.timeline import Timeline


def test_things_happen_in_the_order_of_their_times_then_of_their_coming() -> None:
    timeline, log = Timeline(), list[str]()
    for time, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        timeline.put(time, log.append, name)
    due = []
    while timeline.due < math.inf:
        due.append(timeline.due)
        timeline.happen()
        assert timeline.now == due[-1]
    assert log == ["a", "b", "c"]
    assert due == [1.0, 1.0, 2.0]


def test_what_happens_may_put_in_more() -> None:
    timeline, log = Timeline(), list[int]()

    def again(n: int) -> None:
        log.append(n)
        if n < 3:
            timeline.put(timeline.now, again, n + 1)

    timeline.put(1.0, again, 1)
    while timeline.due < math.inf:
        timeline.happen()
    assert log == [1, 2, 3]

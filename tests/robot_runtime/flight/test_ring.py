from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from robot_runtime.flight.ring import Frame, RecorderStatus, Ring, make_ring

SIZE = 1 << 10


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.none()), max_size=120))
def test_what_was_put_comes_out_in_order_however_it_wraps(steps: list[bytes | None]) -> None:
    ours = make_ring(SIZE)
    theirs = Ring(os.dup(ours.fd), SIZE)
    waiting: list[bytes] = []
    lost = 0
    for step in steps:
        if step is None:  # the other side takes what there is
            assert [data for _, data in theirs.take(theirs.head)] == waiting
            waiting.clear()
        elif ours.put(Frame.RAW, step):
            waiting.append(step)
        else:
            lost += 1
            assert sum(len(w) + 15 & ~7 for w in waiting) + 2 * (len(step) + 15) > SIZE - SIZE // 3
    assert [data for _, data in theirs.take(theirs.head)] == waiting
    assert theirs.empty
    assert theirs.lost == lost
    ours.close()
    theirs.close()


def test_takes_only_what_was_there_when_somebody_looked() -> None:
    ring = make_ring(SIZE)
    ring.put(Frame.ROW, b"first")
    seen = ring.head
    ring.put(Frame.ROW, b"second")
    assert list(ring.take(seen)) == [(Frame.ROW, b"first")]
    assert not ring.empty
    ring.close()


def test_a_frame_larger_than_the_ring_is_lost_and_counted() -> None:
    ring = make_ring(SIZE)
    assert not ring.put(Frame.RAW, bytes(2 * SIZE))
    assert ring.lost == 1
    assert ring.put(Frame.RAW, b"next")
    ring.close()


def test_both_sides_see_the_status() -> None:
    ours = make_ring(SIZE)
    theirs = Ring(os.dup(ours.fd), SIZE)
    theirs.set_status(RecorderStatus.DISK_FULL, 28)
    theirs.set_beat(7)
    assert (ours.status, ours.errno, ours.beat) == (RecorderStatus.DISK_FULL, 28, 7)
    ours.close()
    ours.close()
    theirs.close()

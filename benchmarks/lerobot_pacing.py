"""lerobot's pacing, for benchmarks/loop.py: for every line "PERIOD CYCLES" on standard input, a line of JSON with how
late each cycle began (s).

The loop is the one of its recording and teleoperation scripts: a pause of the period less what the cycle took. So each
cycle is measured against the beginning of the one before it; what adds up from cycle to cycle is not held against it.
"""

from __future__ import annotations

import gc
import json
import sys
import time

from lerobot.utils.robot_utils import precise_sleep


def main() -> None:
    gc.disable()
    for line in sys.stdin:
        period, cycles = float(line.split()[0]), int(line.split()[1])
        late = []
        start = time.perf_counter()
        for _ in range(cycles):
            precise_sleep(max(period - (time.perf_counter() - start), 0.0))
            now = time.perf_counter()
            late.append(now - start - period)
            start = now
        print(json.dumps(late), flush=True)


if __name__ == "__main__":
    main()

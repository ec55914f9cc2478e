"""When something counts as a fault: the windows and margins of the monitor, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

RUNAWAY_SHARE, RUNAWAY_TIME = 0.5, 0.5
"""A joint faster than this share of its velocity limit for so long (s) while stopping is driven by the stop itself:
braking from the full velocity takes 0.1 to 0.3 s, lowering uses a quarter of it.
"""

BLOCKED_ERROR, BLOCKED_LAG, BLOCKED_TIME = 0.35, 0.1, 0.3
"""rad that a joint is behind on the way to rest, besides velocity times lag (s), for so long (s): the spring of a held
torque joint is close to its full torque there.
"""

START_ERROR = 0.3
"""rad: a held torque joint hangs in a soft spring, up to 0.18 rad off on the worst of the gaps; more means blocked."""


OFF_PATIENCE = 2.0
"""s for servos to confirm that their torque is off."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Windows (s), margins and shares of the monitor. The bounds in `FAULTS` are for the defaults.

    Without a source named, a figure is a choice, tried on the twin with every shipped gap.
    """

    torque: bool = True
    """Torque is meant to be on; False where somebody only looks."""

    target_silence: float | None = None
    """s without a new target; None where the target stays the same."""

    grips: bool = True
    """What a joint in current-based position mode pushes without moving is a grasp; False where nothing is held."""

    silent_time: float = 0.03
    silent_reads: int = 5
    """s since a servo's last answer and reads in a row without one. One lost packet is normal, and so are a few behind
    a dead neighbour in the chain; the servo watchdogs (0.1 s) have not tripped yet."""

    heard_reads: int = 5
    """Reads in a row that a joint must answer until it is looked at again, after it had been silent or limp."""

    loss_share: float = 0.25
    loss_time: float = 1.0
    """Share of the reads in which a joint's answer is missing, averaged over so many s. libfranka gives up at 0.1 of
    packets that it sends blindly. Here one lost packet takes along those of the servos behind it in the chain: at
    200 Hz, where a cycle has no time to ask again, 4 % of lost packets make 0.15 for the last of five servos."""

    skip_share: float = 0.2
    skip_time: float = 1.0
    """Share of the cycles that came too late and were skipped, averaged over so many s."""

    late_share: float = 0.5
    """One cycle later than this share of the servo watchdog: at the whole of it the servos stop by themselves."""

    following_error: float = 0.35
    following_lag: float = 0.1
    following_time: float = 0.5
    """rad between a position goal and the joint, besides velocity times lag (s), for so long (s). A position loop
    without an integral part sags by up to 0.1 rad, and commands arrive up to 60 ms late on the harshest gap."""

    following_speed: float = 0.5
    """Share of a velocity joint's limit by which it may miss what it was told, as long."""

    stall_share: float = 0.8
    stall_speed: float = 0.05
    stall_time: float = 1.0
    """Share of a joint's torque limit that it makes while slower than this (rad/s), for so long (s). A servo's own
    overload protection lets a full stall pass for 1 to 5 s; a motor gets hot in several."""

    overload_share: float = 0.35
    overload_time: float = 3.0
    overload_ahead: float = 1.0
    """Share of a servo's full load, averaged over so many s, from which on its overload protection lets go; s that this
    is to be seen ahead. The manual says only "persistent load"; an XM430 that held 0.41 of its stall current gave up
    after about 5 s (ROBOTIS-GIT/DynamixelSDK#285), and this average then takes 5.8. What it saves and what it ends for
    nothing on the twin, whose servos are assumed to count like that: benchmarks/tired_servos.py."""

    over_speed: float = 1.2
    over_speed_slack: float = 0.1
    over_speed_time: float = 0.02
    """Times a joint's velocity limit, plus rad/s for the velocity register's noise, for so long (s)."""

    outside: float = 0.1
    outside_time: float = 0.02
    """rad beyond a joint's limits, for so long (s). Torque comes on up to 0.05 rad outside."""

    hot_time: float = 0.3
    """s above a joint's temperature limit."""

    volts_time: float = 0.1
    under_volts: float = 0.85
    over_volts: float = 1.05
    """s outside what the supply may be in motion: this share of the arm file's lowest voltage, because cables sag when
    motors pull, but never below the servo's rated range; the arm file's highest, but never this much above the range.
    """

    ood_time: float = 0.2
    ood_gap: float = 0.1
    """s outside what the calibration knows, with no longer gap (s) in between."""

"""The one table of what can go wrong in a flight: how it is noticed, what is done, how soon, and what proves it.

`docs/safety.md` shows this table; a test compares them.
"""

from __future__ import annotations

import math

from robot_runtime.arm.arm import HEALTH_EVERY
from robot_runtime.flight.recorder import STUCK
from robot_runtime.flight.ring import DISK_TOLD
from robot_runtime.operator_inputs import LOOK_EVERY, PRESSES, SECOND_REQUEST
from robot_runtime.safety.fault_kind import REACTIONS, Bound, Ending, Fault, FaultKind, Stop, worst
from robot_runtime.safety.load import LATELY, seen_within
from robot_runtime.safety.settings import (
    BLOCKED_ERROR,
    BLOCKED_LAG,
    BLOCKED_TIME,
    OFF_PATIENCE,
    RUNAWAY_SHARE,
    RUNAWAY_TIME,
    START_ERROR,
    Settings,
)
from robot_runtime.spec import SPLIT

__all__ = ["FAULTS", "Bound", "Ending", "Fault", "FaultKind", "Stop", "markdown_table", "worst"]

_S = Settings()


def _average(time: float) -> float:
    """Seconds until a running average over `time` passes its limit, when what it averages is twice that from now on."""
    return time * math.log(2.0)


_SILENT = Bound(_S.silent_time, _S.silent_reads + 2)
_IN_HEALTH = Bound(0.0, HEALTH_EVERY + 2)
_APART = Bound(0.0, 2 * HEALTH_EVERY + 2)  # two registers take turns, where servos have no common indirect block
_NOW = Bound()
_SECOND_LOOK = Bound(cycles=3)
_AT_A_LOOK = Bound(LOOK_EVERY)

LOST_REPLIES = FaultKind(
    "lost-replies",
    "a joint that is not heard may be limp, or go on with its last torque; its limits cannot be guarded",
    f"a servo silent for {_S.silent_time * 1e3:.0f} ms and {_S.silent_reads} reads in a row",
    Stop.LOWER,
    _SILENT,
    Ending.BUS,
    "check its cable, plugs and power",
    ("servo-silent", "servo-dead"),
)
BUS_SILENT = FaultKind(
    "bus-silent",
    "nothing is known of the arm any more",
    "all servos silent, as above",
    Stop.LOWER,
    _SILENT,
    Ending.BUS,
    "check the arm's power and the cable to the first servo; where a twin answers: this computer was too busy for it",
    ("packet-lost", "power-cycled"),
)
PORT_GONE = FaultKind(
    "port-gone",
    "nothing can be sent: servos go on with their last goal",
    "the port's own error; the servos notice by their watchdogs",
    Stop.TORQUE_OFF,
    Bound(cycles=0, watchdogs=1),
    Ending.BUS,
    "put the USB plug back; the servos stopped by themselves",
    ("unplugged",),
)
STALE_STATE = FaultKind(
    "stale-state",
    "policy and envelope act on old news",
    f"a joint missing in {_S.loss_share:.0%} of the reads, averaged over {_S.loss_time:g} s "
    "(bound: for twice as many losses)",
    Stop.LOWER,
    Bound(_average(_S.loss_time)),
    Ending.BUS,
    "a bad plug, a long cable, a hub, or two servos with one ID",
    ("packet-flipped",),
)
LATE_CYCLE = FaultKind(
    "late-cycle",
    "while the computer was away nobody watched, and a torque went on",
    f"a cycle begun later than {_S.late_share:.0%} of the servo watchdog (bound: from when the computer is back)",
    Stop.BRAKE_HOLD,
    _NOW,
    Ending.COMPUTER,
    "see the scheduling lines of the preflight; end what else runs on this computer",
    ("late-cycle",),
)
OVERRUN = FaultKind(
    "overrun",
    "the loop does not keep its rate: reactions are late",
    f"{_S.skip_share:.0%} of the cycles skipped, averaged over {_S.skip_time:g} s (bound: for twice as many)",
    Stop.LOWER,
    Bound(_average(_S.skip_time)),
    Ending.COMPUTER,
    "lower --rate, or see the scheduling lines of the preflight",
    ("overrun",),
)
HARDWARE_ERROR = FaultKind(
    "hardware-error",
    "a servo protects itself: it switches off now or soon",
    "the alert bit that every reply carries",
    Stop.LOWER,
    _NOW,
    Ending.SERVO,
    "find the cause, then 'robot-setup reboot'",
    ("overload", "voltage-dip", "hot"),
)
TORQUE_LOST = FaultKind(
    "torque-lost",
    "the joint is limp",
    f"the servo's Torque Enable, in the health read every {HEALTH_EVERY} cycles (apart from it, every "
    f"{2 * HEALTH_EVERY}, where servos have no common indirect block)",
    Stop.LOWER,
    _APART,
    Ending.SERVO,
    "the servo switched itself off, or another program did: see its hardware error",
    (),
    (
        "test_what_happens_to_the_arm_is_seen_in_time",
        "test_torque_that_went_is_seen_in_time_where_servos_have_no_indirect_block",
    ),
)
SERVO_RESTARTED = FaultKind(
    "servo-restarted",
    "the joint is limp, and its mode, gains and watchdog are those of the factory or the EEPROM",
    "its memory is wiped or its clock began anew, in the health read (bound: from when it answers again)",
    Stop.LOWER,
    _IN_HEALTH,
    Ending.SERVO,
    "check its supply and plugs",
    (),
    ("test_a_restarted_servo_is_told_from_one_that_is_silent",),
)
WATCHDOG_TRIPPED = FaultKind(
    "watchdog-tripped",
    "the servo stopped by itself and takes no goals: braked in position and velocity mode, limp in current mode",
    f"its Bus Watchdog register, in the health read every {HEALTH_EVERY} or {2 * HEALTH_EVERY} cycles, as above "
    "(bound: from when it answers again)",
    Stop.BRAKE_HOLD,
    _APART,
    Ending.COMPUTER,
    "the computer or the cable was away for longer than bus.watchdog; support the arm, it lets go after a while",
    (),
    ("test_a_watchdog_that_tripped_is_seen",),
)
TOO_HOT = FaultKind(
    "too-hot",
    "a motor burns out, or the servo switches itself off",
    f"above the joint's temperature limit for {_S.hot_time:g} s (a servo set by 'robot-setup arm' switches itself "
    "off at once)",
    Stop.LOWER,
    Bound(_S.hot_time, 2 * HEALTH_EVERY + 2),
    Ending.SERVO,
    "let it cool; less load, less hold, or a lower torque limit",
    (),
    ("test_what_happens_to_the_arm_is_seen_in_time",),
)
UNDER_VOLTAGE = FaultKind(
    "under-voltage",
    "servos lose torque, then restart",
    f"below {_S.under_volts:.0%} of the arm file's lowest voltage (or the servo's rating) for {_S.volts_time:g} s",
    Stop.LOWER,
    Bound(_S.volts_time, 2 * HEALTH_EVERY + 2),
    Ending.SERVO,
    "a stronger supply, shorter or thicker cables",
    (),
    ("test_what_happens_to_the_arm_is_seen_in_time",),
)
OVER_VOLTAGE = FaultKind(
    "over-voltage",
    "servos are damaged",
    f"above the arm file's highest voltage (or the servo's rating) for {_S.volts_time:g} s",
    Stop.LOWER,
    Bound(_S.volts_time, 2 * HEALTH_EVERY + 2),
    Ending.SERVO,
    "the wrong supply, or one that does not take what braking motors give back",
    ("over-voltage",),
)
FOLLOWING_ERROR = FaultKind(
    "following-error",
    "a joint is blocked, or a servo does not do what it is told: it pushes with all it has",
    f"position modes but the current-based one: {_S.following_error:g} rad (besides speed times {_S.following_lag:g} "
    f"s) for {_S.following_time:g} s; velocity mode: {_S.following_speed:.0%} of the limit as long",
    Stop.BRAKE_HOLD,
    Bound(_S.following_time, 3),
    Ending.MOTION,
    "something is in the way, the load is too high, or a gain too low",
    ("stuck-shaft",),
    ("test_what_happens_to_the_arm_is_seen_in_time",),
)
STALLED = FaultKind(
    "stalled",
    "a blocked motor burns out; what it presses on breaks",
    f"{_S.stall_share:.0%} of the joint's torque limit while it stands, for {_S.stall_time:g} s",
    Stop.BRAKE_HOLD,
    Bound(_S.stall_time, 3),
    Ending.MOTION,
    "something is in the way, or the load is too high",
    (),
    ("test_a_blocked_torque_joint_is_seen",),
)
OVERLOADED = FaultKind(
    "overloaded",
    "the servo's overload protection lets go of the joint, and what it holds falls",
    f"its load, averaged over {_S.overload_time:g} s, is {_S.overload_share:.0%} of the servo's full load, or will be "
    f"in {_S.overload_ahead:g} s if that of the last {LATELY:g} s goes on (bound: for twice as much)",
    Stop.LOWER,
    Bound(seen_within(_S, 2.0)),
    Ending.SERVO,
    "less load, or shorter holds, or targets nearer to the arm's base",
    ("hand",),
    ("test_a_load_that_no_servo_bears_for_long_is_lowered_before_it_falls",),
)
START_MISSED = FaultKind(
    "start-missed",
    "the policy begins where it was never trained to be",
    f"a joint more than {START_ERROR:g} rad from the start pose when the soft start is over; one in current-based "
    "position mode may hold something already",
    Stop.LOWER,
    _NOW,
    Ending.MOTION,
    "something is in the way, or the load is too high; see the interventions in the report",
    (),
    (
        "test_a_start_pose_that_is_not_reached_ends_the_flight",
        "test_what_is_gripped_already_when_the_flight_starts_does_not_end_it",
    ),
)
ENCODER_JUMP = FaultKind(
    "encoder-jump",
    "the joint's angle is wrong: a position servo races to where it thinks its goal is, limits guard another place",
    "two readings in a row that moved faster than the servo can turn; a single odd one counts as a lost reply",
    Stop.TORQUE_OFF,
    _SECOND_LOOK,
    Ending.SERVO,
    "power-cycle the servo and zero the arm again ('robot-setup zero'); if it comes back, replace the servo",
    ("encoder-jump",),
)
SERVOS_DISAGREE = FaultKind(
    "servos-disagree",
    "where two servos turn a joint: one has lost its place or its horn slips; they push against each other, and nobody "
    "knows which is right",
    f"their readings are twice in a row {SPLIT:g} rad further apart, or nearer, than they were at torque-on",
    Stop.TORQUE_OFF,
    _SECOND_LOOK,
    Ending.SERVO,
    "look at both horns, power-cycle the servos and zero the joint again ('robot-setup zero')",
    (),
    ("test_a_second_servo_that_loses_its_place_ends_the_flight",),
)
OUTSIDE_LIMITS = FaultKind(
    "outside-limits",
    "the joint runs into its stop or its cable",
    f"{_S.outside:g} rad beyond a limit for {_S.outside_time * 1e3:.0f} ms",
    Stop.BRAKE_HOLD,
    Bound(_S.outside_time, 3),
    Ending.MOTION,
    "somebody pushed it, or the arm is not zeroed as its file says",
    (),
    ("test_a_joint_beyond_its_limits",),
)
OVER_SPEED = FaultKind(
    "over-speed",
    "more energy than the limits allow: a wrong sign, a wrong gain, a push",
    f"{_S.over_speed:g} times the velocity limit + {_S.over_speed_slack:g} rad/s for {_S.over_speed_time * 1e3:.0f} ms",
    Stop.BRAKE_HOLD,
    Bound(_S.over_speed_time, 3),
    Ending.MOTION,
    "check the joint's sign, and who pushed",
    (),
    ("test_a_joint_that_is_too_fast",),
)
POLICY_NOT_FINITE = FaultKind(
    "policy-not-finite",
    "a command that means nothing",
    "NaN or infinity in what the policy says",
    Stop.BRAKE_HOLD,
    _NOW,
    Ending.POLICY,
    "look at the observations in the recording: what came before it?",
    ("policy-not-finite",),
)
MAP_NOT_FINITE = FaultKind(
    "map-not-finite",
    "a command, or a view of the arm, that means nothing",
    "NaN or infinity in what a calibration's map makes of numbers",
    Stop.BRAKE_HOLD,
    _NOW,
    Ending.POLICY,
    "fly without --calibration, or calibrate again",
    ("map-not-finite",),
    ("test_a_map_that_says_no_number_is_named_and_the_policy_is_not",),
)
POLICY_FROZEN = FaultKind(
    "policy-frozen",
    "the arm acts on no feedback",
    "the policy says the very same for long while what it sees changes (bound: from when the policy's loader says so)",
    Stop.BRAKE_HOLD,
    _NOW,
    Ending.POLICY,
    "a broken export, or an action that is clipped for good",
    ("policy-frozen",),
)
SOFTWARE_FAILED = FaultKind(
    "software-failed",
    "nobody says what the arm should do",
    "an exception out of the policy or of a program that steps the arm",
    Stop.LOWER,
    _NOW,
    Ending.POLICY,
    "see the traceback",
    ("software-failed",),
)
OUT_OF_DISTRIBUTION = FaultKind(
    "out-of-distribution",
    "the calibration guesses where it knows nothing",
    f"the calibration says so for {_S.ood_time:g} s with gaps below {_S.ood_gap:g} s",
    Stop.BRAKE_HOLD,
    Bound(_S.ood_time, 3),
    Ending.POLICY,
    "record a calibration that covers this motion",
    ("out-of-distribution",),
    ("test_the_guard_ends_a_flight_that_leaves_the_data",),
)
TARGET_SILENT = FaultKind(
    "target-silent",
    "the arm follows an old wish",
    "no new target for the silence allowed, where targets stream",
    Stop.HOLD,
    Bound(silences=1),
    Ending.POLICY,
    "the program that sends targets is gone or stuck, or all that it sends is refused",
    ("target-silent",),
)
TARGETS_ENDED = FaultKind(
    "targets-ended",
    "none: the list of targets is done",
    "end of the file or of standard input",
    Stop.LOWER,
    _NOW,
    Ending.COMPLETED,
    "",
    ("targets-ended",),
)
OPERATOR_STOP = FaultKind(
    "operator-stop",
    "somebody wants it to end",
    "Ctrl-C (or Ctrl-Z, SIGQUIT), SIGTERM, SIGHUP (the terminal was closed)",
    Stop.LOWER,
    _NOW,
    Ending.ASKED,
    "",
    ("ctrl-c", "sigterm", "sighup"),
)
OPERATOR_FREEZE = FaultKind(
    "operator-freeze",
    "somebody wants it to stand still",
    "space bar",
    Stop.FREEZE,
    _AT_A_LOOK,
    Ending.ASKED,
    "",
    ("space",),
    ("test_the_space_bar",),
)
E_STOP = FaultKind(
    "e-stop",
    "somebody is in danger",
    "the e-stop descriptor or file, looked at every cycle",
    Stop.TORQUE_OFF,
    _NOW,
    Ending.ASKED,
    "find out why before you start again; it lets go of the arm at once, wherever that is",
    ("e-stop",),
    ("test_the_emergency_stop_in_a_pipe", "test_the_emergency_stop_in_a_file"),
)
LET_GO = FaultKind(
    "let-go",
    "the stop itself is not wanted",
    f"Ctrl-C again after {SECOND_REQUEST:g} s without one, or the {PRESSES}rd press; a second SIGTERM likewise",
    Stop.TORQUE_OFF,
    _NOW,
    Ending.ASKED,
    "",
    ("let-go",),
)
PARENT_GONE = FaultKind(
    "parent-gone",
    "nobody is in charge any more",
    "the process that started this one has ended",
    Stop.LOWER,
    _AT_A_LOOK,
    Ending.ASKED,
    "",
    ("parent-gone",),
    ("test_a_parent_that_is_gone",),
)
DISK_FULL = FaultKind(
    "disk-full",
    "the flight goes on unrecorded",
    "the recorder says that little space is left, or that the disk takes nothing",
    Stop.LOWER,
    Bound(DISK_TOLD + LOOK_EVERY),
    Ending.RECORDING,
    "make room, or record elsewhere",
    ("disk-full",),
)
RECORDER_FAILED = FaultKind(
    "recorder-failed",
    "the flight goes on unrecorded",
    f"the writing process has ended (seen in {LOOK_EVERY * 1e3:.0f} ms), or gave no sign of life for {STUCK:g} s",
    Stop.LOWER,
    Bound(STUCK + LOOK_EVERY),
    Ending.RECORDING,
    "see its message",
    ("recorder-failed",),
    ("test_a_recorder_that_is_killed",),
)
RECORDER_BEHIND = FaultKind(
    "recorder-behind",
    "the recording has holes, memory fills up",
    "something did not fit into the recorder's queue",
    Stop.LOWER,
    _AT_A_LOOK,
    Ending.RECORDING,
    "a faster disk, or a lower --rate",
    ("recorder-behind",),
)
STOP_FAILED = FaultKind(
    "stop-failed",
    "the stop itself drives the arm: a wrong sign, a wrong gain",
    f"while stopping, a joint faster than {RUNAWAY_SHARE:.0%} of its velocity limit for {RUNAWAY_TIME * 1e3:.0f} ms",
    Stop.TORQUE_OFF,
    Bound(RUNAWAY_TIME, 3),
    Ending.MOTION,
    "check the joint's sign and gains ('robot-setup')",
    (),
    ("test_a_stop_that_drives_the_arm_lets_go",),
)
TORQUE_STAYS = FaultKind(
    "torque-stays",
    "everybody believes that the arm is off, and it is not",
    f"a servo that does not confirm, for {OFF_PATIENCE:g} s, that its torque is off",
    Stop.TORQUE_OFF,
    Bound(OFF_PATIENCE),
    Ending.BUS,
    "CUT THE POWER before you reach into the arm",
    (),
    ("test_torque_that_stays_on_is_told",),
)
LOWERING_BLOCKED = FaultKind(
    "lowering-blocked",
    "something or somebody is below the arm",
    f"on the way to rest, a joint {BLOCKED_ERROR:g} rad (besides speed times {BLOCKED_LAG:g} s) behind for "
    f"{BLOCKED_TIME * 1e3:.0f} ms",
    Stop.LOWER,
    Bound(BLOCKED_TIME, 3),
    Ending.MOTION,
    "free what is in the way and support the arm: it holds where it is, without pushing, and then lets go",
    ("stuck-shaft",),
    ("test_a_blocked_joint_stops_the_lowering_without_pushing",),
)

FAULTS: dict[str, FaultKind] = {kind.name: kind for kind in list(vars().values()) if isinstance(kind, FaultKind)}
"""Every kind of fault, by name."""


def markdown_table() -> str:
    """The table as `docs/safety.md` shows it."""
    head = "| fault | hazard | detection | reaction | bound | proven by |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{k.name}` | {k.hazard} | {k.detection} | {REACTIONS[k.stop]} | {k.bound} | "
        f"{', '.join(f'`{proof}`' for proof in k.proofs())} |\n"
        for k in FAULTS.values()
    )

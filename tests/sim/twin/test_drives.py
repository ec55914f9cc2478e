from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim.twin.arm_file import ArmFileError, TwinArm
from sim.twin.drives import Drives
from sim.twin.gap import Gap, GapError, JointGap, SupplyGap, load_gap
from sim.twin.servo_data import load_servo
from tests.sim.twin.rigs import NO_PLAY, SMOOTH, STIFF_SUPPLY, bench_arm, run, switch_on, tell

FITTED_TO_THE_MANUAL = ["XL430-W250", "XM430-W210", "XM430-W350", "XM540-W150", "XM540-W270"]
IDENTIFIED = ["XL330-M288"]
"""Models whose motor figures were identified on a real servo, not fitted to the manual's stall and no-load figures."""


def gravity_torque(drives: Drives) -> np.ndarray:
    """Torque that holds each joint of the open-manipulator-x against gravity, N·m."""
    mujoco.mj_forward(drives.model, drives.data)
    names = ("joint1", "joint2", "joint3", "joint4", "gripper")
    return np.array([float(drives.data.joint(name).qfrc_bias[0]) for name in names])


# --- what the data sheets say comes out ---


@pytest.mark.parametrize("model", FITTED_TO_THE_MANUAL + IDENTIFIED)
def test_the_no_load_speed_is_the_data_files(tmp_path: Path, model: str) -> None:
    drives = Drives(bench_arm(tmp_path, model, "pwm"), NO_PLAY, 1)
    switch_on(drives, goal_pwm=885)
    run(drives, 1.5)
    tolerance = 0.05 if model in FITTED_TO_THE_MANUAL else 0.08
    assert drives.joint_velocity[0] == pytest.approx(load_servo(model).motor["no_load_speed"], rel=tolerance)


@pytest.mark.parametrize("model", FITTED_TO_THE_MANUAL + IDENTIFIED)
def test_the_stall_current_is_the_data_files(tmp_path: Path, model: str) -> None:
    drives = Drives(bench_arm(tmp_path, model, "pwm"), NO_PLAY, 1)
    drives.stick(0, True)
    switch_on(drives, goal_pwm=885)
    run(drives, 0.1)
    tolerance = 0.01 if model in FITTED_TO_THE_MANUAL else 0.16
    # At full duty the supply's current, which an XL330 measures, is the motor's.
    assert drives.motor_current[0] == pytest.approx(load_servo(model).motor["stall_current"], rel=tolerance)
    assert drives.present_current[0] == pytest.approx(
        drives.motor_current[0] / load_servo(model).units.get("current", np.inf) if "XL430" not in model else 1000,
        abs=1,
    )


@pytest.mark.parametrize("model", FITTED_TO_THE_MANUAL + IDENTIFIED)
def test_the_stall_torque_is_the_data_files(tmp_path: Path, model: str) -> None:
    stall = load_servo(model).motor["stall_torque"]
    tolerance = 0.03 if model in FITTED_TO_THE_MANUAL else 0.17

    def moves_against(torque: float) -> bool:
        drives = Drives(bench_arm(tmp_path, model, "pwm"), NO_PLAY, 1)
        drives.push(0, -torque)
        switch_on(drives, goal_pwm=885)
        run(drives, 0.15)
        start = drives.joint_position[0]
        run(drives, 0.1)
        return bool(drives.joint_position[0] > start + 1e-4)

    assert moves_against((1 - tolerance) * stall)
    assert not moves_against((1 + tolerance) * stall)


# --- modes ---


def test_in_current_mode_gravity_compensation_holds_the_arm_still() -> None:
    drives = Drives(TwinArm.load("open-manipulator-x"), Gap(), 1, "home")
    torque = gravity_torque(drives)
    assert np.abs(torque).max() > 0.2
    units = [load_servo("XM430-W350").motor["torque_constant"] * load_servo("XM430-W350").units["current"]] * 4
    switch_on(drives)
    drives.goal_current[:4] = np.rint(torque[:4] / units)
    tell(drives)
    start = drives.joint_position
    run(drives, 3.0)
    assert np.abs(drives.joint_position - start).max() < 0.006, "within the play of the gears"
    assert np.abs(drives.joint_velocity).max() < 0.005
    assert drives.present_current[2] == pytest.approx(drives.goal_current[2], abs=7)


def test_without_gravity_compensation_it_falls() -> None:
    drives = Drives(TwinArm.load("open-manipulator-x"), Gap(), 1, "home")
    switch_on(drives)
    run(drives, 1.0)
    assert drives.joint_position[2] - 0.3 > 0.3


@pytest.mark.parametrize("kp", [200, 800])
def test_position_mode_sags_by_what_its_p_gain_leaves(tmp_path: Path, kp: int) -> None:
    mass, length = 0.1, 0.1
    arm = bench_arm(tmp_path, "XL330-M288", "position", mass=mass, length=length, start=np.pi / 2)
    drives, servo = Drives(arm, SMOOTH, 1), load_servo("XL330-M288")
    drives.position_p_gain[0] = kp
    switch_on(drives)
    goal = int(drives.goal_position[0])
    run(drives, 4.0)
    torque = mass * 9.81 * length * np.sin(drives.joint_position[0])
    duty = torque / servo.motor["torque_constant"] * servo.motor["resistance"] / servo.motor["nominal_voltage"]
    assert goal - drives.present_position[0] == pytest.approx(duty * 885 * 256 / kp, rel=0.03, abs=1.5)
    assert drives.present_pwm[0] == pytest.approx(duty * 885, rel=0.03)


@pytest.mark.parametrize("name", ["koch-v1.1", "open-manipulator-x"])
def test_every_joint_reaches_its_goal_in_position_mode(name: str) -> None:
    arm = TwinArm.load(name)
    drives = Drives(arm, Gap(), 1, "home")
    drives.mode[:] = 3
    drives.profile_velocity[:], drives.profile_acceleration[:] = 60, 20
    switch_on(drives)
    drives.goal_position[:] += [j.sign * (120 if j.name != "gripper" else 60) for j in arm.joints]
    tell(drives)
    assert drives.moving.all()
    run(drives, 0.05)
    assert (drives.velocity_trajectory != 0).all()
    assert (drives.moving_status & 0x02).all()
    run(drives, 2.0)
    assert drives.position_trajectory.tolist() == drives.goal_position.tolist()
    assert np.abs(drives.present_position - drives.goal_position).max() < 100, "the elbow hangs on a soft P gain"
    assert np.abs(drives.present_velocity).max() <= 2
    assert (drives.moving_status & 0x02 == 0).all()


@pytest.mark.parametrize(("model", "seen"), [("XL330-M288", "supply"), ("XM430-W350", "motor")])
def test_a_held_load_shows_the_current_where_the_servo_measures_it(tmp_path: Path, model: str, seen: str) -> None:
    arm = bench_arm(tmp_path, model, "position", mass=0.1, length=0.15, start=np.pi / 2)
    drives, unit = Drives(arm, SMOOTH, 1), load_servo(model).units["current"]
    switch_on(drives)
    run(drives, 4.0)
    amps = abs(drives.motor_current[0])
    assert amps > 0.05
    duty = abs(drives.present_pwm[0]) * load_servo(model).units["pwm"]
    assert duty < 0.4
    assert abs(drives.present_current[0]) == pytest.approx(amps * (duty if seen == "supply" else 1.0) / unit, abs=1.5)


def test_where_the_supply_is_measured_a_grip_holds_and_its_cap_is_the_supplys_current(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XL330-M288", "current_position"), NO_PLAY, 1)
    motor, volts = load_servo("XL330-M288").motor, drives.supply_voltage[0]
    switch_on(drives, goal_current=200)
    drives.goal_position[0] += 500
    tell(drives)
    run(drives, 1.0)
    assert drives.present_position[0] == pytest.approx(drives.goal_position[0], abs=20)  # free: it gets there
    drives.stick(0, True)
    drives.goal_position[0] += 1000
    tell(drives)
    run(drives, 0.2)
    assert drives.present_current[0] == 200
    assert drives.motor_current[0] == pytest.approx(np.sqrt(0.2 * volts / motor["resistance"]), rel=0.02)


def test_velocity_mode_holds_its_velocity_against_a_load(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "velocity"), NO_PLAY, 1)
    switch_on(drives, goal_velocity=80)
    run(drives, 2.0)
    assert drives.present_velocity[0] == pytest.approx(80, abs=2)
    drives.push(0, -0.8)
    run(drives, 2.0)
    assert drives.present_velocity[0] == pytest.approx(80, abs=2)
    switch_on(drives, goal_velocity=0)
    run(drives, 2.0)
    assert abs(drives.joint_velocity[0]) < 0.02


def test_current_based_position_bounds_the_squeeze(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "current_position"), NO_PLAY, 1)
    drives.stick(0, True)
    switch_on(drives, goal_current=150)
    drives.goal_position[0] += 1500
    tell(drives)
    run(drives, 0.2)
    assert drives.present_current[0] == pytest.approx(150, abs=1)


def test_the_load_of_a_goal_that_moves_on_is_not_the_kick_of_every_new_one(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XL430-W250", "position"), NO_PLAY, 1)
    switch_on(drives)
    pwm, load = [], []
    for k in range(600):
        if k % 5 == 0:
            drives.goal_position[0] += 5
            tell(drives)
        drives.step()
        if k >= 300:
            pwm.append(int(drives.present_pwm[0]) / 885)
            load.append(int(drives.present_current[0]) / 1000)
    assert max(pwm) > 0.9
    assert max(load) < 0.6
    assert np.mean(load) == pytest.approx(np.mean(pwm), abs=0.03)


def test_pwm_slope_ramps_the_pwm_as_the_manual_reckons(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XL330-M288", "pwm"), NO_PLAY, 1)
    switch_on(drives, goal_pwm=885)
    run(drives, 0.009)
    assert drives.present_pwm[0] == pytest.approx(885 / 2, rel=0.03)
    run(drives, 0.010)  # the manual's example: 18 ms at 5 V with the initial value of PWM Slope
    assert drives.present_pwm[0] == 885


# --- torque off and on ---


def test_with_torque_off_a_weight_falls_and_swings(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XL330-M288", "pwm", mass=0.15, length=0.1, start=np.pi / 2)
    drives = Drives(arm, NO_PLAY, 1)
    lowest = []
    for _ in range(1000):
        drives.step()
        lowest.append(drives.joint_position[0])
    assert min(lowest) < -0.5
    assert drives.present_pwm[0] == drives.present_current[0] == 0


def test_a_shorted_motor_brakes_where_an_open_one_does_not(tmp_path: Path) -> None:
    passed = []
    for on in (False, True):
        arm = bench_arm(tmp_path, "XL330-M288", "pwm", mass=0.15, length=0.1, start=np.pi / 2)
        drives = Drives(arm, NO_PLAY, 1)
        if on:
            switch_on(drives, goal_pwm=0)
        run(drives, 0.1)
        passed.append(np.pi / 2 - drives.joint_position[0])
    assert passed[0] > 1.4 * passed[1] > 0


@pytest.mark.parametrize("gap", ["none", "mild", "harsh"])
@pytest.mark.parametrize("name", ["koch-v1.1", "open-manipulator-x", "xl330-pendulum"])
def test_torque_on_in_the_rest_pose_does_not_move_the_arm(name: str, gap: str) -> None:
    drives = Drives(TwinArm.load(name), load_gap(gap), 1)
    run(drives, 1.0)  # what settles with torque off has settled
    drives.goal_position[:] = drives.present_position
    start = drives.joint_position
    switch_on(drives)
    run(drives, 0.5)
    assert np.abs(drives.joint_position - start).max() < 0.02


def test_an_unpowered_servo_is_free_and_powered_again_it_drives(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "pwm"), NO_PLAY, 1)
    switch_on(drives, goal_pwm=400)
    drives.powered[0] = False
    tell(drives)
    run(drives, 0.2)
    assert drives.motor_current[0] == 0.0
    drives.powered[0] = True
    tell(drives)
    run(drives, 0.2)
    assert drives.joint_velocity[0] > 1.0


# --- angles and registers ---


@pytest.mark.parametrize(("sign", "gear", "offset"), [(1, 1.0, 0.0), (-1, 1.0, 0.3), (1, 2.0, -0.2), (-1, 3.0, 0.1)])
def test_the_registers_follow_the_angle_law_of_arm_toml(tmp_path: Path, sign: int, gear: float, offset: float) -> None:
    arm = bench_arm(tmp_path, "XM430-W350", "pwm", sign=sign, gear=gear, offset=offset, start=0.25, inertia=1e-3)
    drives, servo = Drives(arm, NO_PLAY, 1), load_servo("XM430-W350")
    radian = servo.units["position"]

    def angle() -> float:
        return float(sign * (drives.present_position[0] - 2048) * radian / gear + offset)

    assert angle() == pytest.approx(0.25, abs=radian / gear)
    switch_on(drives, goal_pwm=200)
    run(drives, 0.6)
    assert angle() == pytest.approx(drives.joint_position[0], abs=radian / gear)
    assert np.sign(drives.joint_velocity[0]) == sign, "positive ticks turn the joint by its sign"
    assert drives.present_velocity[0] * servo.units["velocity"] == pytest.approx(
        sign * gear * drives.joint_velocity[0], rel=0.05
    )
    assert drives.motor_torque[0] == pytest.approx(
        sign * gear * servo.motor["torque_constant"] * drives.motor_current[0]
    )


def test_an_offset_in_the_gap_hides_from_the_encoder(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XM430-W350", "pwm", start=0.4)
    drives = Drives(arm, replace(NO_PLAY, every=replace(NO_PLAY.every, offset=0.05)), 1)
    seen = (drives.present_position[0] - 2048) * load_servo("XM430-W350").units["position"]
    assert drives.joint_position[0] == pytest.approx(0.4)
    assert seen == pytest.approx(0.35, abs=0.001)


def test_a_reversed_servo_counts_and_turns_the_other_way(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "pwm", start=0.3), NO_PLAY, 1)
    forward = int(drives.present_position[0]) - 2048
    drives.drive_mode[0] = 0x01
    switch_on(drives, goal_pwm=300)
    assert drives.present_position[0] - 2048 == -forward
    run(drives, 0.3)
    assert drives.joint_velocity[0] < -0.5
    assert drives.present_velocity[0] > 0
    assert drives.present_current[0] > 0


def test_a_reversed_servo_holds_its_position(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "position", start=0.3), NO_PLAY, 1)
    drives.drive_mode[0] = 0x01
    tell(drives)
    drives.goal_position[0] = int(drives.present_position[0]) + 100
    switch_on(drives)
    run(drives, 1.0)
    assert drives.present_position[0] == pytest.approx(drives.goal_position[0], abs=30)
    assert drives.joint_position[0] < 0.2


def test_the_homing_offset_is_added(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "pwm"), NO_PLAY, 1)
    drives.homing_offset[0] = -300
    tell(drives)
    assert drives.present_position[0] == 1748


def test_a_restart_forgets_turns_and_position_mode_does_so_at_torque_on(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "pwm"), NO_PLAY, 1)
    switch_on(drives, goal_pwm=885)
    run(drives, 2.0)
    drives.torque_on[0] = False
    tell(drives)
    run(drives, 2.0)
    far = int(drives.present_position[0])
    assert far > 4096
    drives.restart(0)
    assert drives.present_position[0] == far % 4096
    drives.encoder_jump(0, 8192)
    assert drives.present_position[0] == far % 4096 + 8192
    drives.mode[0] = 3
    drives.goal_position[0] = far % 4096
    switch_on(drives)
    assert drives.present_position[0] == far % 4096
    run(drives, 0.1)
    assert abs(drives.joint_velocity[0]) < 0.1


# --- the world around ---


def test_goals_of_a_running_servo_are_late_by_the_command_delay(tmp_path: Path) -> None:
    gap = replace(NO_PLAY, command_delay=0.015)
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "current"), gap, 1)
    switch_on(drives, goal_current=0)
    run(drives, 0.05)
    drives.goal_current[0] = 100
    tell(drives)
    currents = []
    for _ in range(20):
        drives.step()
        currents.append(drives.motor_current[0])
    assert currents[:15] == [0.0] * 15
    assert currents[15] == pytest.approx(0.269, rel=0.01)


def test_a_goal_set_before_torque_on_is_not_late(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XM430-W350", "position", start=0.5)
    drives = Drives(arm, replace(NO_PLAY, command_delay=0.030), 1)
    drives.goal_position[0] = 0
    tell(drives)
    run(drives, 0.01)
    drives.goal_position[0] = drives.present_position[0]
    switch_on(drives)
    run(drives, 0.2)
    assert drives.joint_position[0] == pytest.approx(0.5, abs=1e-3)


def test_settings_and_torque_off_take_effect_at_once_despite_the_delay(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "current"), replace(NO_PLAY, command_delay=0.015), 1)
    switch_on(drives, goal_current=100)
    run(drives, 0.05)
    drives.torque_on[0] = False
    tell(drives)
    drives.step()
    assert drives.motor_current[0] == 0.0


def test_a_push_is_felt_in_position_mode_and_resisted(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "position"), NO_PLAY, 1)
    switch_on(drives)
    drives.push(0, 1.0)
    run(drives, 1.0)
    assert 0.0 < drives.joint_position[0] < 0.15
    assert drives.present_pwm[0] < -50
    drives.push(0, 0.0)
    run(drives, 1.0)
    assert abs(drives.present_position[0] - 2048) < 30


def test_heat_shows_in_the_temperature_register_and_cools_again(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XL330-M288", "pwm"), replace(NO_PLAY, ambient=22.0), 1)
    assert drives.present_temperature[0] == 22
    drives.stick(0, True)
    switch_on(drives, goal_pwm=885)
    run(drives, 12.0)
    hot = int(drives.present_temperature[0])
    assert hot > 24
    drives.set_temperature(0, 75.0)
    assert drives.present_temperature[0] == 75
    drives.torque_on[0] = False
    tell(drives)
    run(drives, 10.0)
    assert drives.present_temperature[0] < 75


def test_a_voltage_dip_shows_and_passes(tmp_path: Path) -> None:
    drives = Drives(bench_arm(tmp_path, "XM430-W350", "pwm"), NO_PLAY, 1)
    assert drives.present_input_voltage[0] == 120
    drives.set_supply(8.2)
    run(drives, 0.03)
    assert drives.present_input_voltage[0] == 82
    drives.set_supply(None)
    run(drives, 0.03)
    assert drives.present_input_voltage[0] == 120


def test_one_stalled_servo_pulls_down_the_voltage_of_its_rail() -> None:
    arm = TwinArm.load("open-manipulator-x")
    drives = Drives(arm, Gap(every=JointGap(), supply=SupplyGap(internal_resistance=0.5)), 1)
    drives.mode[:] = 16
    drives.stick(1, True)
    drives.goal_pwm[:] = 0
    switch_on(drives)
    drives.goal_pwm[1] = 885
    tell(drives)
    run(drives, 0.1)
    assert drives.supply_voltage == pytest.approx(np.full(5, 12.0 - 0.5 * drives.motor_current[1]), rel=1e-3)
    assert drives.present_input_voltage[0] < 112


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    def readings(seed: int) -> list[list[int]]:
        drives = Drives(TwinArm.load("koch-v1.1"), load_gap("harsh"), seed, "home")
        switch_on(drives)
        seen = []
        for _ in range(20):
            run(drives, 0.005)
            seen.append([*drives.present_position.tolist(), *drives.present_current.tolist()])
        return seen

    assert readings(5) == readings(5)
    assert readings(5) != readings(6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["koch-v1.1", "open-manipulator-x", "xl330-pendulum"])
def test_no_drawn_gap_upsets_the_simulation(name: str, seed: int) -> None:
    """The stiff parts (play, stops, dry friction) stay calm under full torque back and forth."""
    drives = Drives(TwinArm.load(name), Gap.random(seed), seed)
    drives.mode[:] = 16
    drives.goal_pwm[:] = 0
    switch_on(drives)
    fastest = np.array([load_servo(j.servo_model).motor["no_load_speed"] for j in TwinArm.load(name).joints])
    for k in range(6):
        drives.goal_pwm[:] = 885 * (-1) ** k
        tell(drives)
        for _ in range(250):
            drives.step()
            assert np.all(np.abs(drives.joint_velocity) < 4 * fastest)
    assert drives.data.warning.number.sum() == 0


def test_a_gap_for_another_arm_and_an_unknown_pose_are_refused() -> None:
    arm = TwinArm.load("xl330-pendulum")
    with pytest.raises(GapError, match="no joint elbow"):
        Drives(arm, Gap(joints={"elbow": JointGap()}), 1)
    with pytest.raises(ArmFileError, match="no pose 'nowhere'"):
        Drives(arm, Gap(supply=STIFF_SUPPLY), 1, "nowhere")

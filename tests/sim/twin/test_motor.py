import numpy as np
import pytest

from sim.twin.gap import Gap, JointGap, SupplyGap
from sim.twin.motor import COPPER, Motors
from sim.twin.servo_data import load_servo


def motors(*models: str, resistance: float = 0.0, ambient: float = 25.0) -> Motors:
    servos = [load_servo(model) for model in models]
    gap = Gap(supply=SupplyGap(internal_resistance=resistance), ambient=ambient)
    built = Motors(servos, [JointGap()] * len(models), gap)
    built.switch(np.ones(len(models), dtype=bool))
    return built


@pytest.mark.parametrize("model", ["XL330-M288", "XL430-W250", "XM430-W350", "XM540-W270"])
def test_the_stall_current_is_voltage_over_resistance(model: str) -> None:
    figures, bench = load_servo(model).motor, motors(model)
    bench.drive_voltage(np.array([1.0]), np.array([0.0]))
    assert bench.current[0] == pytest.approx(figures["nominal_voltage"] / figures["resistance"])
    bench.drive_voltage(np.array([-0.5]), np.array([0.0]))
    assert bench.current[0] == pytest.approx(-0.5 * figures["nominal_voltage"] / figures["resistance"])


def test_back_emf_takes_the_current_away_and_brakes_beyond() -> None:
    bench = motors("XL330-M288")
    free = bench.volts / bench.torque_constant
    bench.drive_voltage(np.array([1.0]), free)
    assert bench.current[0] == pytest.approx(0.0, abs=1e-12)
    bench.drive_voltage(np.array([0.0]), free)  # a shorted motor brakes
    assert bench.current[0] < -1.0


def test_an_open_bridge_carries_no_current() -> None:
    bench = motors("XL330-M288", "XM430-W350")
    bench.switch(np.array([False, True]))
    bench.drive_voltage(np.array([1.0, 1.0]), np.array([3.0, 0.0]))
    assert bench.current[0] == 0.0
    assert bench.current[1] > 2.0
    bench.drive(np.array([-1.0, -1.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([3.0, 0.0]))
    assert bench.current.tolist() == [0.0, 1.0]


def test_a_current_controller_holds_its_current_until_the_voltage_runs_out() -> None:
    bench, full = motors("XM430-W350"), np.array([1.0])
    kt, resistance, volts = bench.torque_constant[0], load_servo("XM430-W350").motor["resistance"], bench.volts[0]
    bench.drive(-full, full, np.array([0.7]), np.array([2.0]))
    assert bench.current[0] == pytest.approx(0.7)
    assert bench.duty[0] == pytest.approx((0.7 * resistance + kt * 2.0) / volts)
    bench.drive(-full, full, np.array([2.0]), np.array([4.0]))
    assert bench.current[0] == pytest.approx((volts - kt * 4.0) / resistance)
    bench.drive(-0.1 * full, 0.1 * full, np.array([2.0]), np.array([0.0]))  # PWM limit
    assert bench.current[0] == pytest.approx(0.1 * volts / resistance)


@pytest.mark.parametrize("speed", [0.0, 3.0, -1.0])
@pytest.mark.parametrize("amps", [0.2, -0.2, 0.004])
def test_where_the_supply_is_measured_a_current_controller_holds_the_supplys_current(amps: float, speed: float) -> None:
    bench, full, speeds = motors("XL330-M288", "XM430-W350"), np.ones(2), np.array([speed, speed])
    kt, resistance, volts = bench.torque_constant[0], load_servo("XL330-M288").motor["resistance"], bench.volts[0]
    bench.drive(-full, full, np.array([amps, amps]), speeds)
    assert bench.current[1] == bench.measured()[1] == pytest.approx(amps)
    assert bench.measured()[0] == pytest.approx(amps)
    assert bench.current[0] * amps > 0
    assert bench.duty[0] == pytest.approx((bench.current[0] * resistance + kt * speed) / volts)
    if speed == 0.0:
        assert abs(bench.current[0]) == pytest.approx(np.sqrt(abs(amps) * volts / resistance))


def test_no_current_from_the_supply_is_none_in_the_winding() -> None:
    bench = motors("XL330-M288")
    bench.drive(-np.ones(1), np.ones(1), np.zeros(1), np.array([3.0]))
    assert bench.current.tolist() == [0.0]


def test_duty_and_current_driven_servos_share_a_bus() -> None:
    bench = motors("XM430-W350", "XM430-W350")
    low, high = np.array([0.3, -1.0]), np.array([0.3, 1.0])
    bench.drive(low, high, np.array([0.3, 0.5]), np.zeros(2))
    assert bench.current == pytest.approx([0.3 * 12.0 / load_servo("XM430-W350").motor["resistance"], 0.5])


def test_the_supply_sags_for_all_servos_of_a_rail_and_no_other() -> None:
    bench = motors("XL430-W250", "XL430-W250", "XL330-M288", resistance=0.4)
    nominal = bench.volts.copy()
    for _ in range(30):
        bench.drive_voltage(np.array([1.0, 0.0, 0.0]), np.zeros(3))
    drop = nominal - bench.volts
    assert drop[0] == pytest.approx(0.4 * bench.current[0], rel=1e-3)
    assert drop[1] == pytest.approx(drop[0])
    assert drop[2] == pytest.approx(0.0, abs=1e-12)


def test_a_braking_motor_lifts_the_supply() -> None:
    bench = motors("XL330-M288", resistance=1.0)
    for _ in range(30):
        bench.drive_voltage(np.array([0.5]), np.array([12.0]))
    assert bench.volts[0] > 5.1


def test_servos_hang_on_the_highest_voltage_of_the_arm_that_they_bear() -> None:
    """An XL430 is made for 11.1 V and bears 12; an XL330 bears 6 and gets its 5 from a converter."""
    bench = motors("XM430-W350", "XL430-W250", "XL330-M288")
    assert bench.volts == pytest.approx([12.0, 12.0, 5.0])
    bench.set_supply(10.0)
    for _ in range(30):
        bench.drive_voltage(np.zeros(3), np.zeros(3))
    assert bench.volts == pytest.approx([10.0, 10.0, 5.0])


def test_a_sagging_supply_settles_even_with_all_servos_stalled() -> None:
    bench = motors(*["XL330-M288"] * 6, resistance=0.6)
    last = []
    for _ in range(200):
        bench.drive_voltage(np.ones(6), np.zeros(6))
        last.append(float(bench.volts[0]))
    expected = 5.0 / (1 + 6 * 0.6 / load_servo("XL330-M288").motor["resistance"])
    assert last[-20:] == pytest.approx([expected] * 20, rel=1e-3)


def test_a_dip_of_the_supply_reaches_the_converter_only_when_it_runs_dry() -> None:
    bench = motors("XL430-W250", "XL330-M288")
    for volts, expected in ((8.0, [8.0, 5.0]), (4.0, [4.0, 4.0]), (None, [11.1, 5.0])):
        bench.set_supply(volts)
        for _ in range(40):
            bench.drive_voltage(np.zeros(2), np.zeros(2))
        assert bench.volts == pytest.approx(expected, rel=1e-6)


def test_losses_heat_the_winding_first_and_the_case_in_the_end() -> None:
    figures, bench = load_servo("XL330-M288").motor, motors("XL330-M288", ambient=20.0)

    def heat(seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            resistance = figures["resistance"] * (1 + COPPER * (bench.winding - 25.0))
            bench.drive_voltage(0.3 * resistance / bench.volts, np.zeros(1))  # 0.3 A
            bench.heat(0.1)

    heat(5.0)
    assert bench.winding[0] - 20.0 > 3 * (bench.case[0] - 20.0) > 0
    heat(3600.0)
    hot = figures["resistance"] * (1 + COPPER * (bench.winding[0] - 25.0))
    assert bench.winding[0] - 20.0 == pytest.approx(0.3**2 * hot * figures["thermal_resistance"], rel=0.01)
    assert bench.case[0] == pytest.approx(20.0 + 0.7 * (bench.winding[0] - 20.0), rel=0.01)


def test_a_hot_winding_draws_less() -> None:
    bench = motors("XL330-M288")
    bench.drive_voltage(np.ones(1), np.zeros(1))
    cold = bench.current[0]
    bench.set_temperature(0, 75.0)
    bench.drive_voltage(np.ones(1), np.zeros(1))
    assert bench.current[0] == pytest.approx(cold / (1 + COPPER * 50.0))


def test_the_gap_changes_constant_resistance_and_voltage() -> None:
    plain = motors("XM430-W350")
    bench = Motors(
        [load_servo("XM430-W350")],
        [JointGap(torque_constant=0.9, resistance=1.1)],
        Gap(supply=SupplyGap(voltage_factor=0.95, internal_resistance=0.0)),
    )
    bench.switch(np.ones(1, dtype=bool))
    bench.drive_voltage(np.ones(1), np.zeros(1))
    plain.drive_voltage(np.ones(1), np.zeros(1))
    assert bench.torque_constant[0] == pytest.approx(0.9 * plain.torque_constant[0])
    assert bench.current[0] == pytest.approx(plain.current[0] * 0.95 / 1.1)

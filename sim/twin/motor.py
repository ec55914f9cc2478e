"""The electric side of all servos at once: voltage -> current -> torque, the supply that sags, the windings that heat.

Struct of arrays, one entry a servo. Signs and speeds are those of the servo's registers; torque and speed are seen at
the output shaft, as the figures of the servo data files are. The winding's inductance is left out: its time constant
is well below the 1 ms of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.twin.arrays import Flags, Floats
from sim.twin.gap import Gap, JointGap
from sim.twin.servo_data import ServoData

COPPER = 0.0039
"""1/K, how fast the resistance of copper grows with temperature (any handbook, at 20-25 °C)."""
ROOM = 25.0
"""°C, where data sheets state a winding's resistance."""
WINDING_RESISTANCE_SHARE = 0.3
"""Share of the servo's thermal resistance that lies between winding and case. Estimate: small motors list 0.2-0.5."""
WINDING_CAPACITY_SHARE = 0.1
"""Share of the servo's heat capacity that is winding. Estimate: copper's share of the weight of a small servo."""
SUPPLY_SHARE = 0.5
"""Share of the way to its new value that the supply's voltage goes in a step: capacitors smooth it. Estimate."""


class Motors:
    """Motors, gears' torque constant, and the rails that feed them."""

    def __init__(self, servos: Sequence[ServoData], gaps: Sequence[JointGap], gap: Gap) -> None:
        """Take each motor's figures from its data file and change them by the gap."""
        n = len(servos)

        def figure(name: str) -> Floats:
            return np.array([float(s.motor[name]) for s in servos])

        self.torque_constant = figure("torque_constant") * [g.torque_constant for g in gaps]
        self._cold_resistance = figure("resistance") * [g.resistance for g in gaps]
        self._thermal_resistance, self._thermal_capacity = figure("thermal_resistance"), figure("thermal_capacity")
        self._ambient = gap.ambient

        self._rail = _rails(servos)  # V
        same_rail = self._rail[:, None] == self._rail[None, :]
        self._sag = same_rail * (gap.supply.internal_resistance * SUPPLY_SHARE)
        self._voltage_factor = gap.supply.voltage_factor
        self._fed = np.empty(n)  # what each rail is fed with, times SUPPLY_SHARE

        self.volts = np.empty(n)  # V at each servo
        self.current = np.zeros(n)  # A through each winding
        self.duty = np.zeros(n)  # share of the supply voltage at each winding, signed
        self.winding = np.full(n, gap.ambient)  # °C
        self.case = np.full(n, gap.ambient)  # °C
        self._on = np.zeros(n, dtype=bool)
        self._resistance = np.empty(n)
        self._conductance = np.empty(n)  # 1/resistance; 0 where the bridge is open
        self._emf, self._work, self._bound = np.empty(n), np.empty(n), np.empty(n)
        self._senses_supply = np.array([s.senses_supply for s in servos])
        self._any_senses_supply = bool(self._senses_supply.any())
        self.set_supply(None)
        self.volts[:] = self._fed / SUPPLY_SHARE
        self._winding_changed()

    def set_supply(self, volts: float | None) -> None:
        """Feed the arm with this voltage; None: nominal.

        Rails of a lower voltage hang behind a converter that keeps theirs as long as the supply is above it.
        """
        source = self._rail.max() * self._voltage_factor if volts is None else volts
        rails = np.where(self._rail == self._rail.max(), source, np.minimum(self._rail * self._voltage_factor, source))
        np.multiply(rails, SUPPLY_SHARE, out=self._fed)

    def switch(self, on: Flags) -> None:
        """Close or open the bridges. Behind an open bridge the shaft turns freely: no current, no braking."""
        self._on[:] = on
        self._winding_changed()

    def set_temperature(self, i: int, celsius: float) -> None:
        """Set winding and case of one servo to a temperature."""
        self.winding[i] = self.case[i] = celsius
        self._winding_changed()

    def drive_voltage(self, duty: Floats, speed: Floats) -> None:
        """Put a share of the supply voltage on every winding. `speed`: rad/s at the output shafts."""
        np.multiply(speed, self.torque_constant, out=self._emf)
        np.multiply(duty, self.volts, out=self._work)
        np.subtract(self._work, self._emf, out=self._work)
        np.multiply(self._work, self._conductance, out=self.current)
        np.multiply(duty, self.current, out=self._work)
        self.duty[:] = duty
        self._supply()

    def drive(self, low: Floats, high: Floats, amps: Floats, speed: Floats) -> None:
        """Let the current controllers hold `amps`, as their servos measure current, as far as duties between `low` and
        `high` can.

        Where a servo gives a duty instead of a current, both bounds are that duty.
        """
        np.multiply(speed, self.torque_constant, out=self._emf)
        current = self.current
        if self._any_senses_supply:
            amps = np.where(self._senses_supply, self._in_winding(amps), amps)
        np.multiply(low, self.volts, out=self._bound)
        np.subtract(self._bound, self._emf, out=self._bound)
        np.multiply(self._bound, self._conductance, out=self._bound)
        np.maximum(amps, self._bound, out=current)
        np.multiply(high, self.volts, out=self._bound)
        np.subtract(self._bound, self._emf, out=self._bound)
        np.multiply(self._bound, self._conductance, out=self._bound)
        np.minimum(current, self._bound, out=current)
        np.multiply(current, self._resistance, out=self._work)
        np.add(self._work, self._emf, out=self._work)
        np.divide(self._work, self.volts, out=self.duty)
        np.multiply(self.duty, current, out=self._work)
        self._supply()

    def measured(self) -> Floats:
        """A that each servo's sensor sees: its winding's current, or what its bridge takes from the supply for that, in
        the sense of the winding's.
        """
        if not self._any_senses_supply:
            return self.current
        return np.where(self._senses_supply, np.abs(self.duty) * self.current, self.current)

    def _in_winding(self, amps: Floats) -> Floats:
        """A in each winding for which its bridge takes `amps` from the supply: amps volts = i (i R + emf).

        A braking motor has a second solution, with a duty against the current: a controller that came from rest stays
        with this one.
        """
        against = np.sign(amps) * self._emf
        power = np.abs(amps) * np.maximum(self.volts, 0.0)
        in_winding: Floats = np.sqrt(against**2 + 4.0 * self._resistance * power) - against
        return np.sign(amps) * in_winding / (2.0 * self._resistance)

    def _supply(self) -> None:
        """Rails drop with the current that the bridges draw (`_work`) and rise with what braking motors feed back."""
        np.dot(self._sag, self._work, out=self._bound)
        volts = self.volts
        np.multiply(volts, 1.0 - SUPPLY_SHARE, out=volts)
        np.add(volts, self._fed, out=volts)
        np.subtract(volts, self._bound, out=volts)

    def heat(self, seconds: float) -> None:
        """Let the last current heat the windings for a while, the windings the cases, and the cases the air."""
        loss = self.current**2 * self._resistance
        to_case = (self.winding - self.case) / (WINDING_RESISTANCE_SHARE * self._thermal_resistance)
        to_air = (self.case - self._ambient) / ((1 - WINDING_RESISTANCE_SHARE) * self._thermal_resistance)
        self.winding += seconds * (loss - to_case) / (WINDING_CAPACITY_SHARE * self._thermal_capacity)
        self.case += seconds * (to_case - to_air) / ((1 - WINDING_CAPACITY_SHARE) * self._thermal_capacity)
        self._winding_changed()

    def _winding_changed(self) -> None:
        self._resistance[:] = self._cold_resistance * (1 + COPPER * (self.winding - ROOM))
        self._conductance[:] = self._on / self._resistance


def _rails(servos: Sequence[ServoData]) -> Floats:
    """V that each servo is fed with: the highest nominal voltage on the arm that it bears. An XL430, made for 11.1 V,
    hangs on the 12 V of the XM430s beside it; an XL330 needs a converter.
    """
    nominal = [float(s.motor["nominal_voltage"]) for s in servos]
    return np.array([max(v for v in nominal if v <= s.motor["voltage_range"][1]) for s in servos])

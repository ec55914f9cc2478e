"""RealArm: a task's environment whose physics is an arm, or its twin.

Spaces, rewards, targets and episode lengths are those of the simulated task; preflight, envelope, monitor and stopping
are those of `robot-run`. Learners may take their time: the arm is held meanwhile.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt

from robot_runtime.bus import Bus, Port, SerialPort
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.maps import require_runnable
from robot_runtime.flying import Request
from robot_runtime.operator_inputs import Operator
from robot_runtime.port_or_twin import port_or_twin
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.safety.stopping import HOLD_FOR
from robot_runtime.safety.why import REASONS
from robot_runtime.session import Orders, bus_rate, target_size
from robot_runtime.setup.unboxed import set_up_unboxed
from sim.real_arm.errors import ArmStoppedError
from sim.real_arm.exchange import Exchange, Seen
from sim.real_arm.flight import Flight
from sim.real_arm.measured import MeasuredTask
from sim.twin import LockstepPort, Twin

Observation = npt.NDArray[np.float32]
Box = tuple[tuple[float, float, float], tuple[float, float, float]]

PATIENCE = 0.25
"""Of the bus period that a cycle waits for an action: the read and the envelope take most of the rest."""


class RealArm(gymnasium.Env[Observation, Observation]):
    """An arm that does a task, step by step. `info`: `error`, `is_success`, `interventions`, and `fault` after a stop.

    The first `reset` opens the arm, looks it over and switches torque on; `close`, or the end of the program, lets it
    down softly and switches torque off. In real time Ctrl-C and SIGTERM let the arm down at once, and the next `step`
    raises KeyboardInterrupt or SystemExit; the space bar and `estop` stop it as in `robot-run`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        task: str = "reach",
        arm: str | None = None,
        port: str | None = None,
        *,
        clock: Literal["virtual", "real"] | None = None,
        gap: str | None = None,
        faults: Sequence[str] = (),
        rate: float | None = None,
        workspace: Box | None = None,
        hold_for: float = HOLD_FOR,
        estop: int | str | None = None,
        calibration: str | Path | None = None,
        render_mode: None = None,
    ) -> None:
        """`port` None: the twin, with this reality `gap` and these `faults`, in `clock` "virtual" (the default: in this
        process, as fast as it can) or "real" (a process of its own). `rate` (Hz) of the bus; `workspace` (m) for the
        tip, two corners; `hold_for` (s) an arm that was stopped waits for somebody before it lowers itself.
        `calibration`: the arm.cal of this very arm; the learner then sees and commands the arm of the simulation.

        Raises:
            ValueError: no such task or clock, or options that exclude each other.
            ArmSpecError: no such arm, or its files cannot be used.
            ArmCalError: the calibration cannot be read or run, or was refined for one policy alone.
        """
        self.clock = clock or ("virtual" if port is None else "real")
        if self.clock not in ("virtual", "real"):
            raise ValueError(f"clock '{clock}': expected 'virtual' or 'real'")
        if port is not None and (self.clock == "virtual" or gap is not None or faults):
            raise ValueError(f"port {port}: virtual time, gaps and faults are for the twin; leave port out for them")
        if estop is not None and self.clock == "virtual":
            raise ValueError("an emergency stop needs clock='real'")
        self.render_mode = render_mode
        self.task = MeasuredTask.like(task, arm)
        self.spec_of_arm = self.task.world.spec
        self._orders = Orders(bus_rate(self.task.contract.rate, rate), hold_for=hold_for, box=workspace)
        self._port_name, self._gap, self._faults, self._estop = port, gap, tuple(faults), estop
        self._calibration = None if calibration is None else _usable(Path(calibration), self._orders.period)
        size = self.task.contract.observation_size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.task.action_size,), np.float32)
        self.port: Port | None = None
        """What the arm is on, once it was opened."""
        self._open: ExitStack | None = None
        self._flight: Flight | None = None
        self._exchange: Exchange | None = None
        self._stopped = False
        self._changed = np.zeros(len(REASONS), dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Softly to the start pose, and a new target.

        Raises:
            PreflightFailedError: the arm must not be switched on as it is.
            ArmStoppedError: a fault stopped the arm; a person must look first.
            PortError, ArmError, BusError: the arm could not be opened, or torque could not be switched on; it is off.
        """
        super().reset(seed=seed, options=options)
        if self._stopped:
            raise self._stop_error()
        self.task.reseed(0, self.np_random)
        self.task.reset()
        try:
            if self._exchange is None:
                self._begin()
            assert self._exchange is not None
            seen = self._exchange.restart(self.task.aim(0))
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        if seen.faults:
            self._note_stop()
            raise self._stop_error()
        self._changed = seen.changed
        return seen.observation, {}

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hand over an action, and wait for what comes of it one period later."""
        if self._exchange is None:
            raise gymnasium.error.ResetNeeded("the arm is not flying: call reset() first")
        task = self.task
        action = np.array(action, dtype=np.float32)
        seen = self._exchange.act(action, task.aim(int(task.steps[0]) + 1))
        if seen.faults:
            self._note_stop()
        task.measure(seen.q[task.world.index], seen.dq[task.world.index])
        task.step(np.nan_to_num(action)[None])
        info = {
            "error": float(task.error[0]),
            "is_success": bool(task.success[0]),
            "interventions": self._interventions(seen),
        }
        if seen.faults:
            info["fault"] = list(seen.faults)
        over = bool(task.truncated[0]) or bool(seen.faults)
        return seen.observation, float(task.reward[0]), bool(task.terminated[0]), over, info

    def close(self) -> None:
        """Let the arm down, switch torque off, give everything back. Closing twice is harmless."""
        atexit.unregister(self.close)
        opened, self._open, self._exchange = self._open, None, None
        if opened is None or self._flight is None:
            return
        opened.close()
        verdict = self._flight.wait_for_verdict()
        self._stopped |= verdict is not None and verdict.ending is not Ending.COMPLETED

    # -- opening -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Open the port and start the flight."""
        virtual = self.clock == "virtual"
        with ExitStack() as stack:
            port = self.port = self._virtual_port() if virtual else stack.enter_context(self._serial_port())
            operator = None if virtual else stack.enter_context(Operator(estop=self._estop))
            patience = None if virtual else PATIENCE * self._orders.period
            contract = self.task.contract
            self._exchange = Exchange(target_size(contract), patience, operator)
            self._flight = Flight(self.spec_of_arm, contract, port, self._orders, self._exchange, self._calibration)
            self._flight.start()
            stack.callback(self._flight.end)
            self._open = stack.pop_all()
        atexit.register(self.close)

    def _virtual_port(self) -> Port:
        twin = Twin.load(str(self.spec_of_arm.path), gap=self._gap)
        port = LockstepPort(twin)
        set_up_unboxed(Bus(port), self.spec_of_arm)
        for fault in self._faults:
            twin.inject(fault)
        return port

    def _serial_port(self) -> AbstractContextManager[SerialPort]:
        return port_or_twin(self._port_name, self.spec_of_arm, gap=self._gap, faults=self._faults)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _interventions(self, seen: Seen) -> dict[str, int]:
        """Reason -> joints times bus cycles of this step in which the envelope changed a command."""
        new, self._changed = seen.changed - self._changed, seen.changed
        return {str(why.name).lower(): int(n) for why, n in zip(REASONS, new, strict=True) if n}

    def _stop_error(self) -> ArmStoppedError:
        """Once the arm is down."""
        verdict = None if self._flight is None else self._flight.wait_for_verdict()
        assert verdict is not None, "only a flight that began can be stopped"
        return ArmStoppedError(verdict)

    def _note_stop(self) -> None:
        """The arm was stopped; pass on what the operator's handlers kept from Python, because the arm came first."""
        assert self._flight is not None
        self._stopped = True
        if self._flight.requests & Request.CTRL_C:
            raise KeyboardInterrupt
        for request, number in ((Request.SIGTERM, signal.SIGTERM), (Request.SIGHUP, signal.SIGHUP)):
            if self._flight.requests & request:
                raise SystemExit(128 + number)


def _usable(path: Path, period: float) -> Calibration:
    """The calibration in this file, for a learner on a bus of this period (s)."""
    found = Calibration.read(path)
    if found.refined is not None:
        raise UnfitMapError(
            f"{path}: refined for the policy {found.refined.policy[:12]} alone, and what steps this arm may be any: "
            "give the calibration that robot-calibrate fit wrote"
        )
    require_runnable(found, period)
    return found

"""One flight for a learner, in a thread of its own: preflight, torque on, cycles, down to rest, torque off."""

from __future__ import annotations

import gc
import threading

from robot_runtime.bus import Port, SerialPort
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.identity import adapter_serial
from robot_runtime.flight.recorder import NullRecorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.loop import Loop
from robot_runtime.policy.contract import Contract
from robot_runtime.preflight.gate import preflight
from robot_runtime.preflight.table import passed
from robot_runtime.realtime import Facts, RealTime, Settings
from robot_runtime.session import Orders, calibration_checks, layout_of, learnt, make_loop, target_size
from robot_runtime.spec import ArmSpec
from robot_runtime.verdict import Verdict, verdict
from sim.real_arm.errors import PreflightFailedError
from sim.real_arm.exchange import Exchange
from sim.real_arm.source import LearnerSource


class Flight:
    """Flies as the exchange asks. On a serial port the thread is punctual as far as the system lets it be."""

    def __init__(
        self,
        spec: ArmSpec,
        contract: Contract,
        port: Port,
        orders: Orders,
        exchange: Exchange,
        calibration: Calibration | None = None,
    ) -> None:
        """Nothing happens before `start`."""
        self._spec, self._contract, self._port, self._orders = spec, contract, port, orders
        self._exchange, self._calibration = exchange, calibration
        self._inputs = Inputs(target_size(contract))
        self._verdict: Verdict | None = None
        self._told = False
        # A daemon, because Python would wait for any other before it asks those who registered with atexit to end it.
        self._thread = threading.Thread(target=self._fly, name=f"flight of {spec.name}", daemon=True)

    def start(self) -> None:
        """Begin; what comes of it, the exchange tells."""
        self._thread.start()

    def end(self) -> None:
        """Let the arm down, unless it has been stopped already, and wait until its torque is off."""
        self._exchange.end()
        self._thread.join()

    @property
    def requests(self) -> int:
        """What somebody outside has asked for: bits of Request."""
        return self._inputs.request

    def wait_for_verdict(self) -> Verdict | None:
        """How it ended, once it has; None: it could not begin."""
        self._thread.join()
        return self._verdict

    def _fly(self) -> None:
        error: Exception | None = None
        try:
            with RealTime() as realtime:
                facts: Facts = ()
                if isinstance(self._port, SerialPort):
                    # A learner's memory grows, too much to lock it; and it makes garbage. What was there before stays
                    # frozen, so a collection is short.
                    facts = realtime.enter(Settings(lock_memory=False))
                    gc.enable()
                    self._port.spin = realtime.spin(self._orders.period)
                self._from_preflight_to_rest(facts)
        except Exception as caught:  # noqa: BLE001 (whatever it is, the learner's thread shall hear of it)
            error = caught
        self._exchange.over(error)

    def _from_preflight_to_rest(self, facts: Facts) -> None:
        spec, port, orders, contract = self._spec, self._port, self._orders, self._contract
        timer = port.latency_timer if isinstance(port, SerialPort) else None
        adapter = adapter_serial(port.name) if isinstance(port, SerialPort) else ""
        arm, checks = preflight(
            spec,
            port,
            orders.period,
            contract=contract,
            facts=facts,
            timer=timer,
            also=calibration_checks(self._calibration, orders, adapter),
        )
        if arm is None or not passed(checks):
            raise PreflightFailedError(checks)
        maps, friction = learnt(self._calibration, spec, orders)
        self._source = source = LearnerSource(contract, arm, orders.period, self._exchange, maps)
        recorder = NullRecorder(layout_of(spec, contract))
        loop = make_loop(
            arm,
            source,
            self._inputs,
            self._exchange,
            recorder,
            orders,
            friction=friction,
            show_cycle=self._after_cycle,
        )
        source.envelope = loop.envelope
        loop.fly()
        self._verdict = verdict(loop)
        self._tell_stop(loop)

    def _after_cycle(self, loop: Loop) -> None:
        if loop.phase is Phase.STOP:
            self._tell_stop(loop)
        elif loop.phase is Phase.RUN and self._exchange.wants_start:
            loop.go_to_start()

    def _tell_stop(self, loop: Loop) -> None:
        """The learner need not wait until the arm is down."""
        if self._told:
            return
        self._told = True
        faults = tuple(dict.fromkeys(fault.kind.name for fault in loop.monitor.seen)) or ("ended",)
        now = loop.arm.bus.port.now()
        self._exchange.show(self._source.look(loop.arm.state, loop.inputs.target, now, faults))

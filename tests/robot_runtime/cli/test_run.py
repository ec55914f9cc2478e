"""robot-run from a terminal or a script: what it says and how it ends. Flights are on the lock-step twin."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime import port_or_twin
from robot_runtime.arm import Kinematics
from robot_runtime.bus import Bus
from robot_runtime.cli import run
from robot_runtime.compiled import is_compiled
from robot_runtime.flight.reader import read_flight
from robot_runtime.flight.recorder import Level
from robot_runtime.flight.summary import tip_distance
from robot_runtime.flying import Phase
from robot_runtime.policy import PolicyFileError, Term, contract_to_json
from robot_runtime.policy.contract import Target
from robot_runtime.realtime import Settings
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import load_arm
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.cli.conftest import Desk, Ended
from tests.robot_runtime.flights import swing, swing_contract
from tests.robot_runtime.policy.networks import linear

ARM = "xl330-pendulum"


class Bench(LockstepPort):
    """The only port; somebody may press Ctrl-C at a moment of its clock."""

    latency_timer = None
    spin = 0.0
    ctrl_c_at = np.inf  # s

    def now(self) -> float:
        if super().now() >= self.ctrl_c_at:
            self.ctrl_c_at = np.inf
            os.kill(os.getpid(), signal.SIGINT)
        return super().now()


@dataclass
class Pendulum:
    """A twin, and what will happen to who flies it."""

    twin: Twin
    ctrl_c_after: float = np.inf  # s from opening the port

    def open(self, _name: str, baudrate: int) -> Bench:
        port = Bench(self.twin)
        port.set_baudrate(baudrate)
        port.ctrl_c_at = port.now() + self.ctrl_c_after
        return port

    def torque(self) -> int:
        joint = load_arm(ARM).joints[0]
        return Bus(LockstepPort(self.twin)).read(joint.servo_id, joint.servo.register("torque_enable"))


@pytest.fixture
def policy(tmp_path: Path) -> str:
    return str(swing(tmp_path, load_arm(ARM)).network.file.path)


@pytest.fixture
def pendulum(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Pendulum:
    """It is set up, and its flights are in no hurry."""
    found = Pendulum(desk.put(Twin.load(ARM)))
    set_up_unboxed(Bus(LockstepPort(found.twin)), load_arm(ARM))
    monkeypatch.setattr(port_or_twin, "SerialPort", found.open)
    monkeypatch.setattr(run, "RealTimeSettings", partial(Settings, priority=0, lock_memory=False))
    return found


def lines(ended: Ended) -> list[Any]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_explain_says_what_was_understood_and_nothing_moves(desk: Desk, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--explain")
    assert ended.code == 0
    assert "joint_position" in ended.out
    ended = desk.run(run.main, "--policy", policy, "--explain", "--json")
    assert len(lines(ended)) == 1


def test_only_the_checks(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--preflight-only")
    assert ended.code == 0
    assert "nothing stands against a flight" in ended.out
    assert not Path("flights").exists()
    assert lines(desk.run(run.main, "--policy", policy, "--preflight-only", "--json"))[-1]["exit_code"] == 0


@pytest.mark.skipif(is_compiled(), reason="the envelope is compiled: nothing to ask for")
@pytest.mark.parametrize(("rate", "quick"), [("100", False), ("400", True)])
def test_a_quick_loop_is_told_what_would_make_it_quicker(
    desk: Desk, pendulum: Pendulum, policy: str, rate: str, quick: bool
) -> None:
    ended = desk.run(run.main, "--policy", policy, "--rate", rate, "--preflight-only", "--json")
    rows = [check for line in lines(ended) for check in line.get("preflight", ())]
    told = [check for check in rows if check["ok"] is None and "compiled install" in check["advice"]]
    assert bool(told) is quick


def test_servos_from_the_box_are_refused_with_what_to_do(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    pendulum.twin = Twin.load(ARM)
    ended = desk.run(run.main, "--policy", policy, "--no-record")
    assert ended.code == 5
    assert "robot-setup arm" in " ".join(ended.out.split())


def test_a_whole_flight_for_a_program(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--duration", "0.5", "--json")
    first, last = lines(ended)
    assert ended.err == ""
    assert all(check["ok"] is not False for check in first["preflight"])
    assert (ended.code, last["verdict"], last["exit_code"]) == (0, "completed", 0)
    assert last["port"] == "bench"
    flight = read_flight(Path(last["recording"]))
    assert flight.verdict is not None
    assert not flight.truncated


def test_a_whole_flight_for_people(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--duration", "0.5", "--record", "there")
    assert ended.code == 0
    assert "checks passed" in ended.out
    assert "completed: 0.5 s" in ended.out
    assert "robot-report there/xl330-pendulum_" in ended.out


def aiming(folder: Path) -> str:
    """A policy that is given places of the tip, and does not look at them."""
    spec = load_arm(ARM)
    swings = swing_contract(spec)
    contract = replace(swings, observation=(Term("target", 3), *swings.observation), target=Target("tip_position", 3))
    weights = np.zeros((contract.observation_size, contract.action_size))
    weights[-2] = 1.0
    return str(linear(folder / "aiming.onnx", weights, metadata={"contract": contract_to_json(contract)}))


def test_the_tips_distance_from_its_targets_is_told(desk: Desk, pendulum: Pendulum, tmp_path: Path) -> None:
    Path("two.csv").write_text("0,0.1,0,0.2\n1.5,0,0.1,0.2\n3,0,0.1,0.2\n")
    ended = desk.run(run.main, "--policy", aiming(tmp_path), "--target", "two.csv", "--json")
    last = lines(ended)[-1]
    assert ended.code == 0
    assert [t["target"] for t in last["targets"]] == [[0.1, 0.0, 0.2], [0.0, 0.1, 0.2]]
    assert [t["seconds"] for t in last["targets"]] == pytest.approx([1.5, 1.5], abs=0.011)
    flight = read_flight(Path(last["recording"]))
    tip, ends = Kinematics(load_arm(ARM)).tip_position, np.flatnonzero(np.diff(flight["target"], axis=0).any(axis=1))
    far = math.dist(tip(flight["q"][ends[0] + 1]), (0.1, 0.0, 0.2))
    assert last["targets"][0]["distance"] == pytest.approx(far)
    told = tip_distance(flight)
    assert told is not None
    assert np.nanmin(np.abs(told - far)) < 0.01
    assert np.isnan(told[flight["phase"] != Phase.RUN]).all()
    assert [e.level for e in flight.events if e.name in ("target", "targets-ended")] == [Level.INFO] * 3
    ended = desk.run(
        run.main, "--policy", aiming(tmp_path), "--target", "0.1,0,0.2", "--duration", "0.2", "--no-record"
    )
    assert "mm from its target" in ended.out


def test_a_disk_that_takes_nothing_is_told_before_anything_moves(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
    try:
        ended = desk.run(run.main, "--policy", policy, "--duration", "0.5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.code == 16
    assert "flights/xl330-pendulum_" in ended.err
    assert "no larger than 5 MB here" in ended.err
    assert "ulimit -f unlimited" in ended.err
    assert pendulum.torque() == 0


def checks(ended: Ended) -> dict[str, Any]:
    return {check["name"]: check for check in lines(ended)[0]["preflight"]}


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("afile", "afile is a file, not a folder"),
        ("afile/below", "afile is a file, not a folder"),
        ("/proc/here", "/proc/here: "),  # nobody, not even root, makes files there
    ],
)
def test_a_folder_that_takes_no_recording(desk: Desk, pendulum: Pendulum, policy: str, folder: str, told: str) -> None:
    Path("afile").touch()
    ended = desk.run(run.main, "--policy", policy, "--record", folder, "--preflight-only", "--json")
    assert ended.code == 5
    row = checks(ended)["recording"]
    assert row["ok"] is False
    assert told in row["found"]
    assert "recorder" not in checks(ended)  # it was not tried
    ended = desk.run(run.main, "--policy", policy, "--record", folder)
    assert ended.code == 16
    assert told in " ".join(ended.err.split())
    assert "name another folder with --record" in " ".join(ended.err.split())
    assert pendulum.torque() == 0


def test_the_checks_leave_nothing_where_a_recording_would_go(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    Path("here").mkdir()
    ended = desk.run(run.main, "--policy", policy, "--record", "here", "--preflight-only", "--json")
    assert checks(ended)["recording"]["ok"] is True
    assert list(Path("here").iterdir()) == []


def test_a_port_without_a_name_is_no_wish_for_the_twin(desk: Desk, policy: str) -> None:
    assert run.main(["--policy", policy, "--port", "", "--preflight-only"]) == 2
    assert "leave --port out for the twin" in desk.capsys.readouterr().err


def test_readonly_sends_nothing(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--duration", "0.5", "--readonly", "--no-record", "--json")
    assert ended.code == 0
    assert lines(ended)[-1]["outcome"] == "nothing was sent"
    assert pendulum.torque() == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [("unplugged:at=5", 11), ("overload:servo=pendulum,at=5", 12)],
)
def test_a_code_for_each_class_of_ending(desk: Desk, pendulum: Pendulum, policy: str, fault: str, code: int) -> None:
    pendulum.twin.inject(fault)
    ended = desk.run(run.main, "--policy", policy, "--duration", "5", "--no-record", "--json")
    verdict = lines(ended)[-1]
    assert (ended.code, verdict["exit_code"]) == (code, code), verdict
    assert verdict["faults"]


def test_ctrl_c_ends_a_flight_in_order(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    pendulum.ctrl_c_after = 5.0
    ended = desk.run(run.main, "--policy", policy, "--no-record")
    assert ended.code == 10
    assert "lowered to rest" in ended.out
    assert pendulum.torque() == 0


def test_ctrl_c_during_the_checks_touches_nothing(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    pendulum.ctrl_c_after = 0.01
    ended = desk.run(run.main, "--policy", policy, "--no-record", "--json")
    assert ended.code == 10
    assert lines(ended)[-1]["exit_code"] == 10
    assert lines(ended)[-1]["text"].startswith("not started: asked to stop by Ctrl-C")


@pytest.mark.parametrize("listens", [False, True])
def test_a_recording_that_was_opened_gets_a_verdict(
    desk: Desk, pendulum: Pendulum, policy: str, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """A signal before anybody listens, and the sixth one that nobody has looked at."""

    def interrupt(*_: object, **__: object) -> None:
        for _number in range(6 if listens else 1):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(run, "fly" if listens else "RealTime", interrupt)
    ended = desk.run(run.main, "--policy", policy, "--json")
    last = lines(ended)[-1]
    assert (ended.code, last["exit_code"], last["text"]) == (10, 10, "interrupted")
    told = read_flight(Path(last["recording"])).verdict
    assert told is not None
    assert told["verdict"] == "asked"


def test_a_key_that_is_held_until_the_end_does_not_hide_the_verdict(
    desk: Desk, pendulum: Pendulum, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = run._tell

    def hold(*arguments: Any) -> None:
        for _ in range(30):
            signal.raise_signal(signal.SIGINT)
        tell(*arguments)

    monkeypatch.setattr(run, "_tell", hold)
    ended = desk.run(run.main, "--policy", policy, "--duration", "0.2", "--no-record", "--json")
    assert (ended.code, lines(ended)[-1]["verdict"]) == (0, "completed")


def test_a_rate_that_the_policy_does_not_divide(desk: Desk, pendulum: Pendulum, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--rate", "175", "--no-record")
    assert ended.code == 2
    assert "--rate 150 or --rate 200" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--target", "0.1,0.2"], "takes no target"),
        (["--arm", "koch-v1.1"], "asked to fly koch-v1.1"),
        (["--arm", "nobody"], "nobody"),
        (["--gap", "mild"], "leave --port out"),
        (["--duration", "-1"], "not a number above 0"),
        (["--workspace", "1,2"], "6 numbers"),
        (["--estop", "nowhere"], "there is no such file"),
        (["--estop", "."], "is a folder"),
        (["--workspace", "-1,-1,1,1,1,0"], "first the lower corner"),
        (["--target-silence", "2"], "with --target -"),
        (["--cores", "99"], "may not run on core 99"),
        (["--record", "somewhere"], "not allowed with"),
        (["--rate", "130"], "does not divide the bus rate"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    desk: Desk, pendulum: Pendulum, policy: str, arguments: list[str], told: str
) -> None:
    ended = desk.run(run.main, "--policy", policy, "--no-record", *arguments)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err
    as_json = desk.run(run.main, "--policy", policy, "--no-record", "--json", *arguments)
    assert lines(as_json)[-1]["error"]["exit_code"] == 2
    assert as_json.err == ""


def test_policies_that_are_none(desk: Desk, tmp_path: Path) -> None:
    assert desk.run(run.main, "--policy", "nothing.onnx", "--arm", ARM).code == 2
    (tmp_path / "junk.onnx").write_bytes(b"no network")
    assert desk.run(run.main, "--policy", "junk.onnx", "--arm", ARM).code == 2
    linear(tmp_path / "mute.onnx", np.zeros((4, 1)))
    ended = desk.run(run.main, "--policy", "mute.onnx", "--arm", ARM)
    assert ended.code == 2
    assert "policy.toml" in ended.err or ".toml" in ended.err
    assert "Traceback" not in ended.err


def test_targets_that_are_over_as_they_begin_move_nothing(desk: Desk, pendulum: Pendulum, tmp_path: Path) -> None:
    Path("one.csv").write_text("0,0.1,0,0.2\n")
    flight = ("--policy", aiming(tmp_path), "--target", "one.csv", "--no-record")
    ended = desk.run(run.main, *flight)
    assert ended.code == 2
    assert "one.csv:1" in ended.err
    assert desk.run(run.main, *flight, "--duration", "0.5").code == 0


def test_an_arm_of_ones_own_that_only_the_policy_names_is_asked_for(desk: Desk) -> None:
    mine = replace(swing_contract(load_arm(ARM)), arm="my-arm")
    weights = np.zeros((mine.observation_size, mine.action_size))
    network = linear(desk.folder / "mine.onnx", weights, metadata={"contract": contract_to_json(mine)})
    ended = desk.run(run.main, "--policy", str(network))
    assert ended.code == 2
    assert "made for the arm 'my-arm'" in ended.err
    assert "--arm FOLDER" in ended.err


def test_no_such_port(desk: Desk, policy: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--no-record")
    assert ended.code == 3
    assert "bench" in ended.err


def test_debug_shows_where(desk: Desk) -> None:
    with pytest.raises(PolicyFileError):
        desk.run(run.main, "--policy", "nothing.onnx", "--arm", ARM, "--debug")


def test_without_a_port_the_twin_is_started(desk: Desk, policy: str) -> None:
    assert run.main(["--policy", policy, "--preflight-only", "--json"]) == 0
    assert json.loads(desk.capsys.readouterr().out.splitlines()[-1])["port"] == "twin"
    assert run.main(["--policy", policy, "--fault", "nonsense"]) == 2
    assert "nonsense" in desk.capsys.readouterr().err

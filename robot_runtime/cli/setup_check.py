"""robot-setup check: an arm's two files, looked at before any servo is."""

from __future__ import annotations

import argparse

from robot_runtime.cli.common import ExitCode, Screen, count
from robot_runtime.cli.writing import load_own_arm
from robot_runtime.preflight.arm_file import check_arm_file
from robot_runtime.preflight.table import as_data, passed, table


def body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    """Do what `robot-setup check` was asked to."""
    spec = load_own_arm(args, screen)
    checks = check_arm_file(spec)
    failed, noted = (sum(check.ok is ok for check in checks) for ok in (False, None))
    screen.out.print(table(checks, title=spec.name))
    if failed:
        screen.say(f"\nNo flight of {spec.name} can begin: {count(failed, 'thing')} to correct.")
    elif noted:
        screen.say(f"\n{spec.name} can fly; {count(noted, 'thing')} to look at first.")
    else:
        screen.say(f"\n{spec.name} is as it should be, as far as its files can tell.")
    data = {"arm": spec.name, "arm_file": str(spec.path), "checks": as_data(checks), "ok": passed(checks)}
    screen.result(data)
    return ExitCode.FOUND if failed else ExitCode.FINE

"""A deployment as a server with its step times, as expected and at the slow and the fast end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.rig import rig_of
from plimsoll.ask.timing import DESKTOP_MEMORY
from plimsoll.catalog import calibration as shipped
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.load_figures import Pace, Paces
from plimsoll.core.load_server import servers_of
from plimsoll.core.load_steps import StepTimes
from plimsoll.core.predict import Prediction, predict
from plimsoll.core.serving import step_terms
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.load import Server
from plimsoll.domain.speed import Calibration, Phase, SpeedCase

# Many more users than saturate the server are simulated once; a sweep up to them would take too long.
_TIMES_AS_MANY = 4
_PHASES: tuple[Phase, ...] = ("throughput", "ttft", "tpot")


def paces_of(deployment: Deployment) -> tuple[Paces, Calibration]:
    """The server as expected and at both ends, and the calibration it rests on.

    Raises NoCeiling where the speed has no model, NoScheduler where the scheduler was not read.
    """
    rig = rig_of(deployment)
    if len(rig.stages) > 1:
        raise NoCeiling("cards of different kinds have no model of several requests yet")
    calibration = shipped.load(shipped.SERVING_PATH)
    # The speed of host memory that nobody told lies between that of two kinds of desktops.
    cases = [replace(rig.case, host_bytes_per_s=rate) for rate in DESKTOP_MEMORY] * rig.is_host_untold
    steps, slowest, fastest = (
        StepTimes(case, calibration.coefficients) for case in (rig.case, *(cases or (rig.case, rig.case)))
    )
    servers = servers_of(deployment, intake_s=steps.intake_s, delay_s=steps.delay_s)
    missed = {phase: _missed(rig.case, calibration, phase) for phase in _PHASES}
    run, first, each = (missed[phase] for phase in _PHASES)
    expected = _pace(servers.expected, steps)
    others = [
        replace(
            expected, ttft_factor=steps.ttft_factor * getattr(first, end) / first.seconds,
            tpot_factor=steps.tpot_factor * getattr(each, end) / each.seconds,
        )
        for end in ("low_seconds", "high_seconds")
    ]  # fmt: skip
    paces = Paces(
        expected=expected, others=tuple(others),
        slow=_pace(
            _no_smaller(servers.small, servers.expected), slowest.scaled(run.high_seconds / run.seconds)
        ),
        fast=_pace(servers.large, fastest.scaled(run.low_seconds / run.seconds)),
    )  # fmt: skip
    return paces, calibration


def _pace(server: Server, steps: StepTimes) -> Pace:
    return Pace(server=server, steps=steps, ttft_factor=steps.ttft_factor, tpot_factor=steps.tpot_factor)


def _no_smaller(server: Server, expected: Server) -> Server:
    """Where the least cache would not hold one request of the whole context, the engine would not start:
    then the expected one is taken."""
    return server if server.most_tokens >= expected.most_tokens else expected


def _missed(case: SpeedCase, calibration: Calibration, phase: Phase) -> Prediction:
    """By how much times of the phase are missed: the interval of a decode step under that phase's name."""
    found = step_terms(case, decode_sequences=1, depth_tokens=1024, phase=phase)
    return predict(found, calibration, kind=kind_of(case), machine=machine_of(case), model=case.work.model)


def loads_around(saturation_per_s: float, asked: float, *, is_users: bool, most: float) -> Sequence[float]:
    """The loads of a sweep: shares of the saturation, or users by doubling past it; and what was asked."""
    if not is_users:
        shares = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6)
        return sorted({saturation_per_s * s for s in shares} | {asked})
    last = max(math.ceil(2 * most), 4)
    if asked <= _TIMES_AS_MANY * last:
        last = max(last, round(asked))
    found = {float(min(round(asked), last)), float(last)}
    count = 1
    while count < last:
        found.add(float(count))
        count *= 2
    return sorted(found)

import math
import random
from dataclasses import replace

import pytest

from plimsoll.core.conformal import Miss, spread, spread_for, spreads, whats_new
from plimsoll.core.predict import predict
from plimsoll.core.speed import here, pair, terms
from plimsoll.domain.speed import Calibration, Spread
from tests.core.test_calibrate import EMPTY
from tests.core.test_speed import CASE


def miss(kind: str, new: str, group: int, residual: float) -> Miss:
    return Miss(kind=kind, new=new, group=str(group), residual=residual)


def test_the_interval_covers_what_it_says_on_new_draws() -> None:
    rng = random.Random(7)
    hits = 0
    for _ in range(400):
        around = spread([rng.gauss(0.1, 0.2) for _ in range(99)], 0.8)
        hits += around.low <= rng.gauss(0.1, 0.2) <= around.high
    assert hits / 400 == pytest.approx(0.8, abs=0.05)


def test_a_kind_with_few_residuals_shares_those_of_its_neighbours() -> None:
    rows = [miss("llama_cpp/cuda", "device", i, i / 100) for i in range(60)]
    rows += [miss("mlx/metal", "device", i, 9.0) for i in range(3)]
    found = spreads(rows, "decode", 0.8)
    assert spread_for(found, "decode", "llama_cpp/cuda", "device").high < 0.6
    assert "decode mlx/metal device" not in found
    assert spread_for(found, "decode", "mlx/metal", "device") == found["decode * device"]


def test_device_and_model_new_at_once_is_at_least_as_wide_as_either() -> None:
    rows = [miss("a", "device", i, i / 100) for i in range(-30, 30)]
    rows += [miss("a", "model", i, i / 50) for i in range(-10, 40)]
    found = spreads(rows, "decode", 0.8)
    both = found["decode a both"]
    assert both.low <= min(found["decode a device"].low, found["decode a model"].low)
    assert both.high >= max(found["decode a device"].high, found["decode a model"].high)


def test_what_is_new_is_told_apart() -> None:
    known = Calibration(
        version="", measurements_count=0, measurements_digest="", coverage=0.8, coefficients={}, spreads={},
        devices={"decode": ("d a/b",)}, models={"decode": ("m",)},
    )  # fmt: skip
    assert [
        whats_new(known, "decode", "a/b host", d, m)
        for d, m in (("d", "m"), ("x", "m"), ("d", "x"), ("x", "x"))
    ] == ["", "device", "model", "both"]
    assert whats_new(known, "decode", "a/other", "d", "m") == "device"


def test_a_pair_is_new_until_it_was_measured_itself() -> None:
    found = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    apart = replace(
        EMPTY, devices={"decode": (f"{CASE.device} llama_cpp/cuda",)}, models={"decode": (CASE.work.model,)},
        spreads={
            "decode * pair": Spread(low=-0.4, high=0.4, samples_count=30),
            "decode *": Spread(low=-0.1, high=0.1, samples_count=30),
        },
    )  # fmt: skip
    together = replace(apart, coefficients={pair(found): 0.0})
    told = [
        predict(found, known, kind="llama_cpp/cuda", machine=CASE.device, model=CASE.work.model)
        for known in (apart, together)
    ]
    assert [p.new for p in told] == ["pair", ""]
    assert told[0].high_seconds > told[1].high_seconds


def test_a_corrected_machine_has_the_spread_of_machines_with_own_runs() -> None:
    found = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    wide, tight = Spread(low=-1.0, high=1.0, samples_count=30), Spread(low=-0.1, high=0.1, samples_count=30)
    known = replace(EMPTY, spreads={"decode * both": wide, "decode * here": tight})

    def width(calibration: Calibration) -> float:
        p = predict(found, calibration, kind="llama_cpp/cuda", machine="x", model="y")
        return math.log(p.high_seconds / p.low_seconds)

    assert width(known) > 4 * width(replace(known, coefficients={here(found): 0.2}))


def test_a_kind_seen_on_few_machines_encloses_each_of_them() -> None:
    rows = [miss("a", "device", 0, 0.01 * i) for i in range(90)] + [miss("a", "device", 1, -2.0)] * 5
    around = spreads(rows, "decode", 0.8)["decode a device"]
    assert around.low == -2.0
    many = [miss("a", "device", i % 30, r.residual) for i, r in enumerate(rows)]
    assert spreads(many, "decode", 0.8)["decode a device"].low > -0.1


def test_a_sweep_of_a_thousand_rows_does_not_set_the_interval_alone() -> None:
    rng = random.Random(1)
    rows = [miss("a", "device", i, rng.gauss(0, 0.2)) for i in range(40)]
    sweep = [miss("a", "device", 99, rng.gauss(1.5, 0.01)) for _ in range(1000)]
    around = spreads([*rows, *sweep], "decode", 0.8)["decode a device"]
    assert around.low < -0.2 < 0.2 < around.high


def test_a_new_group_may_lie_farther_out_than_a_new_row() -> None:
    residuals = [i / 100 for i in range(-50, 51)]
    row, group = spread(residuals, 0.8), spread(residuals, 0.8, groups_count=20)
    assert group.low < row.low < row.high < group.high

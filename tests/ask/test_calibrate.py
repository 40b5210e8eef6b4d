import math
from dataclasses import replace

import pytest

from plimsoll.ask.calibrate import correct
from plimsoll.ask.measured import sample_of
from plimsoll.catalog import calibration, measurements
from plimsoll.core.calibrate import residual
from plimsoll.core.speed import ceiling_seconds
from plimsoll.domain.measurement import Measurement
from plimsoll.errors import MeasureError


def own(model: str, metric: str, speed_share: float) -> Measurement:
    """A run on an RTX 3090 at a share of the speed that is expected."""
    bare = next(m for m in measurements.load() if m.device == "rtx-3090" and m.runtime == "llama_cpp")
    m = replace(
        bare, id=f"{model} {metric}", source="own", flavour="", version="b9193", devices_count=1,
        split="none", model=model, weight_format="q4_k_m", file_bytes=0, gpu_layers_count=None,
        prompt_tokens=1024, generated_tokens=0, depth_tokens=0, sequences_count=1, power_limit_watts=0,
        metric=metric, value=1.0,
    )  # fmt: skip
    s = sample_of(m)
    expected = s.seconds / math.exp(residual(s, calibration.load().coefficients))
    return replace(m, value=speed_share * s.seconds / expected)


DENSE, MIXTURE = "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B"


def test_own_prompts_of_a_dense_model_and_a_mixture_correct_those_that_follow() -> None:
    anchors = [own(DENSE, "prefill_tps", 0.8), own(MIXTURE, "prefill_tps", 1.3)]
    found = correct(anchors)
    assert not found.refused
    assert not found.suspects
    for other, share in ((own("Qwen/Qwen3-8B", "prefill_tps", 0.8), 0.8), (anchors[1], 1.3)):
        before = residual(sample_of(other), calibration.load().coefficients)
        after = residual(sample_of(other), found.calibration.coefficients)
        assert before == pytest.approx(-math.log(share), abs=0.01)
        assert abs(after) < 0.1 * abs(before)


def test_generation_is_left_alone_by_prompts() -> None:
    found = correct([own(DENSE, "prefill_tps", 0.5)])
    other = sample_of(own(DENSE, "decode_tps", 1.0))
    assert abs(residual(other, found.calibration.coefficients)) < 0.01


def test_a_run_far_below_expectation_is_suspect_and_one_above_the_peak_refused() -> None:
    slow = own(DENSE, "decode_tps", 0.5)
    sample = sample_of(slow)
    impossible = replace(
        slow, id="fast", value=slow.value * sample.seconds / ceiling_seconds(sample.terms) * 1.2
    )
    found = correct([slow, impossible])
    assert found.suspects == (slow,)
    assert found.refused == (impossible,)


def test_rows_of_an_untold_build_count_half() -> None:
    told = own(DENSE, "decode_tps", 1.0)
    for untold in (replace(told, flavour="llamafile"), replace(told, version="via llmfit 1.1.8")):
        assert sample_of(untold).weight == sample_of(told).weight / 2


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(MeasureError, match="odd"):
        correct([replace(own(DENSE, "decode_tps", 1.0), id="odd", model="no/such-model")])

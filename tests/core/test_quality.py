"""What a format costs: as measured, never better than a measured neighbour, unknown where nobody knows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.catalog import quality as catalog
from plimsoll.core.quality import Subject, bits_of, cache_loss_of, loss_in, loss_of, spelt
from plimsoll.domain.quality import METRICS, QualityLoss, QualityMeasurement, QualityMetric
from plimsoll.formulas.quant_specs import FORMATS

TOLD = catalog.load_bits()
FORMAT_NAMES = sorted(
    {*TOLD, *FORMATS, "iq4_ks", "iq2_kt", "exl3-3.5bpw", "mlx-3bit"} - {"f16", "f32", "bf16"}
)


def measured(weight_format: str, value: float, model: str = "a/model", **other: object) -> QualityMeasurement:
    facts: dict[str, object] = {
        "source": "s", "parameters_count": 8_000_000_000, "kind": "dense", "runtime": "llama_cpp",
        "bits_per_weight": 0.0, "kv_format_k": "", "kv_format_v": "", "importance_matrix": "",
        "reference_format": "bf16", "metric": "mean_kld_nats", "benchmark": "", "dataset": "wikitext-2",
        "error": 0.0, "published_on": "", **other,
    }  # fmt: skip
    return QualityMeasurement(model=model, weight_format=weight_format, value=value, **facts)  # type: ignore[arg-type]


def subject(published_format: str = "bf16", parameters_count: int = 8_000_000_000) -> Subject:
    return Subject(
        model="a/model", parameters_count=parameters_count, kind="dense", published_format=published_format
    )


@st.composite
def row_lists(draw: st.DrawFn) -> list[QualityMeasurement]:
    made = st.builds(
        measured,
        st.sampled_from(FORMAT_NAMES),
        st.floats(0.0001, 5.0),
        st.sampled_from(["a/model", "b/model", "c/model", "d/model"]),
        parameters_count=st.sampled_from([1_000_000_000, 8_000_000_000, 70_000_000_000]),
        error=st.floats(0, 0.01),
        reference_format=st.sampled_from(["bf16", "mxfp4"]),
    )
    return draw(st.lists(made, max_size=12))


@given(row_lists(), st.sampled_from(["bf16", "mxfp4"]))
def test_what_was_not_measured_is_never_better_than_what_was_with_more_bits(
    rows: list[QualityMeasurement], published: str
) -> None:
    losses = {name: loss_of(rows, subject(published), name, TOLD) for name in FORMAT_NAMES}
    own = {name: found for name, found in losses.items() if found.basis == "measured"}
    for name, found in losses.items():
        if found.basis not in ("neighbour", "unknown"):
            continue
        for better, loss in own.items():
            if (bits_of(better, TOLD) or 0) >= (bits_of(name, TOLD) or 99):
                assert found.at_least >= loss.at_least, (name, better)


@given(row_lists())
def test_fewer_bits_never_bound_an_unknown_loss_lower(rows: list[QualityMeasurement]) -> None:
    found = [loss_of(rows, subject(), name, TOLD) for name in FORMAT_NAMES]
    unknown = [(bits_of(x.weight_format, TOLD) or 0.0, x.low) for x in found if x.basis == "unknown"]
    for bits, low in unknown:
        assert all(other >= low for fewer, other in unknown if fewer <= bits)


@given(row_lists(), st.sampled_from(FORMAT_NAMES))
def test_only_what_was_measured_has_a_value(rows: list[QualityMeasurement], name: str) -> None:
    found = loss_of(rows, subject(), name, TOLD)
    heard = [r for r in rows if spelt(r.weight_format) == spelt(name) and r.reference_format == "bf16"]
    assert (found.value is not None) == bool(heard)
    assert set(found.measurements) <= set(heard)
    assert found.low <= found.at_least <= found.at_most


@pytest.mark.parametrize("name", ["", "bf16", "BF16", "f16", "f32", "auto"])
def test_the_weights_as_published_are_the_reference(name: str) -> None:
    found = loss_of([measured("q8_0", 0.001)], subject(), name, TOLD)
    assert (found.basis, found.value, found.high) == ("reference", 0.0, 0.0)


def test_a_model_published_in_four_bits_is_its_own_reference_and_requantising_it_is_not_free() -> None:
    rows = [measured("q4_k_m", 0.03, "b/model"), measured("mxfp4", 0.05, "b/model")]
    assert loss_of(rows, subject("mxfp4"), "mxfp4", TOLD).basis == "reference"
    assert loss_of(rows, subject("mxfp4"), "bf16", TOLD).value == 0.0
    again = loss_of(rows, subject("mxfp4"), "q4_k_m", TOLD)
    assert (again.basis, again.value, again.at_most) == ("unknown", None, math.inf)


def test_the_shipped_figures_of_llama_3() -> None:
    llama = Subject(model="meta-llama/Meta-Llama-3-8B", parameters_count=8_030_261_248, kind="dense")
    found = loss_of(catalog.load(), llama, "Q4-K-M", TOLD, "mean_kld_nats")
    assert (found.basis, found.metric) == ("measured", "mean_kld_nats")
    assert found.value == pytest.approx((0.028152 + 0.031273) / 2)
    assert (found.low, found.high) == pytest.approx((0.028152 - 0.00024, 0.031273 + 0.000238))
    worse = loss_of(catalog.load(), llama, "q3_k_m", TOLD, "mean_kld_nats")
    assert worse.low > found.at_most


def test_neighbours_tell_with_their_spread_and_those_of_similar_size_first() -> None:
    rows = [
        measured("q4_k_m", value, model, parameters_count=size)
        for model, value, size in (
            ("b", 0.01, 7_000_000_000), ("c", 0.02, 9_000_000_000), ("d", 0.04, 14_000_000_000),
            ("e", 0.9, 300_000_000),
        )
    ]  # fmt: skip
    near = loss_of(rows, subject(), "q4_k_m", TOLD)
    assert (near.basis, near.value, near.low, near.high, near.models_count) == (
        "neighbour",
        0.02,
        0.01,
        0.04,
        3,
    )
    far = loss_of(rows, subject(parameters_count=900_000_000_000), "q4_k_m", TOLD)
    assert (far.low, far.high, far.models_count) == (0.01, 0.9, 4)


def test_an_own_measurement_lifts_what_neighbours_tell() -> None:
    rows = [measured("q6_k", 0.05), measured("q4_k_m", 0.02, "b/model")]
    found = loss_of(rows, subject(), "q4_k_m", TOLD)
    assert (found.basis, found.value, found.low, found.high) == ("neighbour", 0.05, 0.05, 0.05)
    assert "not below q6_k" in found.reason


def test_scales_are_not_mixed() -> None:
    rows = [measured("q4_k_m", 1.05, metric="ppl_ratio"), measured("q4_k_m", 0.3, "b/model")]
    assert loss_of(rows, subject(), "q4_k_m", TOLD).metric == "ppl_ratio"
    assert loss_of(rows, subject(), "q4_k_m", TOLD).value == pytest.approx(math.log(1.05))
    assert loss_of(rows, subject(), "q4_k_m", TOLD, "mean_kld_nats").value == 0.3
    assert loss_of(rows, subject(), "q4_k_m", TOLD, "score_percent").basis == "unknown"


@pytest.mark.parametrize(
    ("metric", "value", "loss"),
    [
        ("mean_kld_nats", 0.02, 0.02), ("ppl_ratio", math.e, 1.0), ("ppl_ratio", 0.98, 0.0),
        ("same_top_percent", 97.5, 2.5), ("score_percent", 101.0, 0.0), ("score_percent", 99.0, 1.0),
    ],
)  # fmt: skip
def test_a_value_becomes_a_loss(metric: QualityMetric, value: float, loss: float) -> None:
    assert loss_in(measured("q4_0", value, metric=metric)) == pytest.approx(loss)
    assert metric in METRICS


def test_the_cache_is_told_apart_from_the_weights() -> None:
    quantised = measured("q8_0", 0.004, kv_format_k="q4_0", kv_format_v="q4_0", reference_format="q8_0")
    rows = [quantised, measured("q4_k_m", 0.03)]
    assert loss_of(rows, subject(), "q8_0", TOLD).basis == "unknown"
    found = cache_loss_of(rows, subject(), "q4_0", "q4_0", TOLD)
    assert (found.basis, found.value, found.measurements) == ("measured", 0.004, (quantised,))
    assert cache_loss_of(rows, subject(), "f16", "auto", TOLD).basis == "reference"
    mixed = cache_loss_of(rows, subject(), "q8_0", "q4_0", TOLD)
    assert (mixed.weight_format, mixed.basis) == ("q8_0/q4_0", "unknown")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Q4-K-M", "q4_k_m"), ("EXL3_4", "exl3-4.0bpw"), ("exl3-3.50bpw-h8", "exl3-3.5bpw-h8"),
        ("FP8-dynamic", "fp8_channel"), ("MLX_4bit", "mlx-4bit"), ("int8", "w8a8"),
    ],
)  # fmt: skip
def test_spelling(typed: str, name: str) -> None:
    assert spelt(typed) == spelt(name) == name


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("iq4_xs", 4.3161), ("iq4_ks", 4.25 + 32 / 4096), ("q6_k", 6.5625), ("exl3-3.5bpw", 3.5),
        ("mlx-4bit", 4.5), ("awq", 4 + 20 / 128), ("gptq", 4 + 16 / 128), ("nvfp4", 4.5), ("fp8", 8.0),
        ("mxfp4", 4.25), ("mlx-mxfp4", 4.25), ("made-up", None),
    ],
)  # fmt: skip
def test_bits_per_weight(name: str, bits: float | None) -> None:
    assert bits_of(name, TOLD) == (None if bits is None else pytest.approx(bits))


def test_a_loss_cannot_contradict_itself() -> None:
    with pytest.raises(ValueError, match="unknown has value"):
        QualityLoss(weight_format="q4_0", metric="mean_kld_nats", basis="unknown", value=1, low=0, high=2)
    with pytest.raises(ValueError, match="does not hold"):
        QualityLoss(weight_format="q4_0", metric="mean_kld_nats", basis="measured", value=3, low=0, high=2)


def test_own_figures_scale_what_others_lose_in_the_format() -> None:
    rows = [
        measured("q4_k_s", 0.02), measured("q4_k_s", 0.04, "b/model"), measured("iq4_xs", 0.05, "b/model"),
        measured("q4_k_s", 0.03, "c/model"), measured("iq4_xs", 0.06, "c/model"),
    ]  # fmt: skip
    found = loss_of(rows, subject(), "iq4_xs", TOLD)
    assert (found.basis, found.models_count) == ("neighbour", 2)
    assert found.value == pytest.approx(0.02 * (0.05 / 0.04 + 0.06 / 0.03) / 2)
    assert (found.low, found.high) == pytest.approx((0.025, 0.04))
    assert "q4_k_s" in found.reason


def test_one_models_figures_tell_how_formats_compare_and_many_models_how_much_they_lose() -> None:
    many = [measured("q4_k_s", 0.01 * n, f"{n}/model") for n in (2, 3, 4)]
    one = [measured("q4_k_s", 0.2, "odd/model"), measured("q4_k_m", 0.1, "odd/model")]
    found = loss_of([*many, *one], subject(), "q4_k_m", TOLD)
    assert found.value == pytest.approx(0.5 * 0.035)
    assert (found.low, found.high) == pytest.approx((0.5 * 0.02, 0.5 * 0.2))


def test_benchmark_scores_are_too_noisy_to_scale() -> None:
    kept = {"metric": "score_percent", "benchmark": "mmlu"}
    rows = [
        measured("nvfp4", 98.0, **kept), measured("nvfp4", 99.9, "b/model", **kept),
        measured("awq", 99.0, "b/model", **kept),
    ]  # fmt: skip
    assert loss_of(rows, subject(), "awq", TOLD).value == 2.0  # lifted to its own nvfp4, not scaled by 20


def test_nats_of_other_models_come_before_own_scores() -> None:
    rows = [measured("q4_k_m", 99.0, metric="score_percent"), measured("q4_k_m", 0.03, "b/model")]
    assert loss_of(rows, subject(), "q4_k_m", TOLD).metric == "mean_kld_nats"
    assert loss_of(rows, subject(), "q4_k_m", TOLD, "score_percent").basis == "measured"


def test_an_unmeasured_cache_is_bounded_by_those_with_more_bits_in_both_halves() -> None:
    rows = [
        measured("f16", 0.001, kv_format_k="q8_0", kv_format_v="q8_0", reference_format="f16"),
        measured("f16", 0.004, kv_format_k="q5_1", kv_format_v="f16", reference_format="f16"),
    ]
    found = cache_loss_of(rows, subject(), "q8_0", "q4_0", TOLD)
    assert (found.basis, found.low, found.high) == ("unknown", 0.001, None)
    assert cache_loss_of(rows, subject(), "q4_0", "q4_0", TOLD).low == 0.004


def test_published_experts_stay_and_the_rest_costs_what_eight_bits_cost_others() -> None:
    rows = [measured("q8_0", 0.002, "b/model")]
    found = loss_of(rows, subject("mxfp4"), "mxfp4_moe", TOLD)
    assert (found.basis, found.value, found.low) == ("neighbour", 0.002, 0.0)
    assert loss_of(rows, subject("bf16"), "mxfp4_moe", TOLD).basis == "unknown"


def test_one_odd_figure_does_not_bound_every_other_format() -> None:
    usual = [measured("q4_0", 0.03 + 0.01 * n, f"{n}/model") for n in range(3)]
    odd = measured("nvfp4", 0.5, "odd/model")
    assert loss_of([*usual, odd], subject(), "awq", TOLD).low == pytest.approx(0.04)
    assert loss_of([odd], subject(), "awq", TOLD).low == 0.5

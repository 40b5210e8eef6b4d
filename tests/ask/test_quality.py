import pytest

from plimsoll.ask.quality import QualityQuestion, quality
from plimsoll.domain.quality import METRICS, QualityAnswer
from plimsoll.errors import BadSetting


def ask(model: str, *weights: str, kv: str = "") -> QualityAnswer:
    return quality(QualityQuestion(model=model, weights=weights, kv=kv, offline=True))


def test_a_measured_format_and_its_source() -> None:
    answer = ask("Llama-3-8B", "q4_k_m")
    found = answer.losses[0]
    assert (answer.exit_code, found.loss.basis) == (0, "measured")
    assert found.loss.value == pytest.approx(0.0297, abs=0.001)
    assert any("examples/perplexity/README.md" in s.url for s in answer.sources)


def test_all_formats_come_scale_by_scale_and_with_figures() -> None:
    answer = ask("Qwen3-30B-A3B")
    assert answer.kind == "moe"
    assert len(answer.losses) > 30
    assert [METRICS.index(f.loss.metric) for f in answer.losses] == sorted(
        METRICS.index(f.loss.metric) for f in answer.losses
    )
    assert all(f.loss.measurements and f.loss.value is not None for f in answer.losses)


def test_requantising_a_model_published_in_four_bits_is_unknown_not_free() -> None:
    answer = ask("gpt-oss-20b", "mxfp4", "q4_k_m")
    told = {f.loss.weight_format: f.loss for f in answer.losses}
    assert (told["mxfp4"].basis, told["mxfp4"].value) == ("reference", 0.0)
    assert (told["q4_k_m"].basis, told["q4_k_m"].value, told["q4_k_m"].high) == ("unknown", None, None)
    assert answer.exit_code == 3


def test_the_cache_is_told_besides_the_weights() -> None:
    answer = ask("Llama-3-8B", "q8_0", kv="q8_0")
    assert answer.cache is not None
    assert answer.cache.value == pytest.approx(0.00098)
    unmeasured = ask("Llama-3-8B", "q8_0", kv="q8_0/q4_0")
    assert unmeasured.cache is not None
    assert (unmeasured.exit_code, unmeasured.cache.value) == (3, None)
    assert unmeasured.cache.low > 0
    assert any("add up" in note for note in unmeasured.notes)


@pytest.mark.parametrize(
    ("weights", "kv", "nearest"),
    [(("q4_k_n",), "", "q4_k_m"), ((), "q9_0", "q8_0"), ((), "q8_0/q4_9", "q4_0")],
)
def test_a_misspelt_format_is_answered_with_the_nearest(
    weights: tuple[str, ...], kv: str, nearest: str
) -> None:
    with pytest.raises(BadSetting) as found:
        ask("Llama-3-8B", *weights, kv=kv)
    assert nearest in found.value.hint


def test_a_format_may_be_known_and_unmeasured() -> None:
    answer = ask("Llama-3-8B", "tq2_0", "mxfp4_moe")
    assert answer.exit_code == 3
    assert [f.loss.basis for f in answer.losses] == ["unknown", "unknown"]
    assert all("nobody measured it" in reason for reason in answer.unknowns)

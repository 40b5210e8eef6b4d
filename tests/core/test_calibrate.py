import math
import random
from dataclasses import replace

import pytest

from plimsoll.core.calibrate import (
    Sample,
    after_anchors,
    corrected,
    fit,
    is_above_peak,
    is_configuration_fault,
    prior_width,
    residual,
    with_pairs,
)
from plimsoll.core.speed import pair, seconds, terms
from plimsoll.domain.speed import Calibration, SpeedCase
from tests.core.test_speed import CASE, MIXTURE

pytest.importorskip("numpy")


def sample(case: SpeedCase, factor: float, name: str, depth: int = 0) -> Sample:
    found = terms(case, sequences_count=1, new_tokens=1, depth_tokens=depth)
    truth = {
        "decode weights: llama_cpp/cuda": math.log(1.25), "decode layers: llama_cpp/cuda": math.log(0.8),
        "decode pass: llama_cpp/cuda": -1.0,
    }  # fmt: skip
    return Sample(
        id=name, kind="llama_cpp/cuda", terms=found, seconds=factor * seconds(found, truth),
        groups={"device": case.device, "model": case.work.model, "cell": name},
    )  # fmt: skip


def samples(outlier: float = 1.0) -> list[Sample]:
    rng = random.Random(3)
    out = []
    for i in range(40):
        rate = 100 * 10**9 * (i + 2)
        case = replace(CASE if i % 2 else MIXTURE, bandwidth_bytes_per_s=rate, device=f"card-{i}")
        factor = (outlier if i == 5 else 1.0) * math.exp(rng.gauss(0, 0.02))
        out.append(sample(case, factor, f"s{i}", depth=i * 50))
    return out


def middle_error(found: dict[str, float]) -> float:
    missed = sorted(abs(math.log(s.seconds / seconds(s.terms, found))) for s in samples())
    return missed[len(missed) // 2]


def test_the_fit_finds_what_made_the_times() -> None:
    assert middle_error(fit(samples(), "decode")) < 0.03


def test_one_wrong_label_does_not_bend_the_rest() -> None:
    assert middle_error(fit(samples(outlier=20.0), "decode")) < 0.04


def test_cards_that_were_not_used_do_not_slow_the_others() -> None:
    good = samples()
    idle = [replace(s, id=f"{s.id}-idle", seconds=4 * s.seconds) for s in good[::3]]
    assert middle_error(fit([*good, *idle], "decode")) < 0.06


def test_a_card_without_rows_has_no_coefficient_and_so_inherits() -> None:
    found = fit(samples(), "decode")
    assert not any("rtx-3090" in name for name in found)
    stranger = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    known = sample(CASE, 1.0, "x").seconds
    assert seconds(stranger, found) == pytest.approx(known, rel=0.06)


def published(source: str, device: str, factor: float, name: str) -> Sample:
    s = sample(replace(CASE, device=device), factor, name)
    return replace(s, groups={**s.groups, "cell": f"{device} {source}", "rig": source})


def test_a_measured_pair_is_drawn_to_its_measurements_and_more_so_by_two_publishers() -> None:
    others = samples()
    one = published("a", "odd-card", 0.75, "odd")
    two = [one, published("b", "odd-card", 0.75, "odd-2")]
    missed = [residual(one, fit([*others, *extra], "decode")) for extra in ([one], two)]
    assert math.log(0.75) < 3 * missed[0] < 0
    assert abs(missed[1]) < abs(missed[0])


def test_what_a_pair_learns_changes_no_other_prediction() -> None:
    found = fit([*samples(), published("a", "odd-card", 0.75, "odd")], "decode")
    stranger = terms(replace(CASE, device="other-card"), sequences_count=1, new_tokens=1, depth_tokens=0)
    names = [e for e in found if e.startswith("decode pair: ")]
    shared = {e: c for e, c in found.items() if e not in names}
    assert names
    assert seconds(stranger, found) == seconds(stranger, shared)


def test_of_a_pair_the_part_that_tells_least_of_the_rest_is_held_out() -> None:
    rows = [published(source, "card-x", 1.0, f"{source}{i}") for source in "ab" for i in range(3)]
    alone = [published("a", "card-y", 1.0, f"y{i}") for i in range(3)]
    parts = [s.groups["part"] for s in with_pairs([*rows, *alone])]
    assert len(set(parts[:6])) == 2
    assert len(set(parts[6:])) == 3
    assert {s.groups["pair"] for s in with_pairs(rows)} == {pair(rows[0].terms)}


def test_launches_of_older_builds_are_never_cheaper() -> None:
    new = samples()
    old = [
        sample(replace(CASE if i % 2 else MIXTURE, era="before b6700", device=f"old-{i}"), 0.7, f"o{i}")
        for i in range(20)
    ]
    found = fit([*new, *old], "decode")
    for part in ("layers", "routing"):
        assert found.get(f"decode {part} by era: llama_cpp/cuda before b6700", 0.0) >= 0


def test_faster_than_the_memory_is_a_wrong_label() -> None:
    good = sample(CASE, 1.0, "x")
    assert not is_above_peak(good)
    assert is_above_peak(replace(good, seconds=good.seconds / 4))


def test_every_effect_has_a_prior_and_finer_ones_are_narrower() -> None:
    for case in (CASE, MIXTURE):
        found = terms(case, sequences_count=8, new_tokens=1, depth_tokens=100)
        for effect in (*found.effects, *(e for p in found.parts for e in p.effects)):
            assert prior_width(effect) > 0
    by_architecture = prior_width("decode weights by architecture: llama_cpp/cuda sm 8.6")
    assert by_architecture < prior_width("decode weights: llama_cpp/cuda")
    assert prior_width("prefill products anywhere:") == prior_width("prefill products: llama_cpp/cuda")
    with pytest.raises(KeyError):
        prior_width("decode nonsense: llama_cpp/cuda")


EMPTY = Calibration(
    version="", measurements_count=0, measurements_digest="", coverage=0.8, coefficients={}, spreads={},
    devices={}, models={},
)  # fmt: skip


def test_far_below_expectation_is_a_fault_of_the_configuration() -> None:
    found = fit(samples(), "decode")
    good = sample(CASE, 1.0, "x")
    assert not is_configuration_fault(good, found)
    assert is_configuration_fault(replace(good, seconds=good.seconds / 0.6), found)


def test_one_dense_and_one_mixture_run_correct_their_kind_on_this_machine() -> None:
    dense, mixture = sample(CASE, 1.5, "a"), sample(MIXTURE, 0.8, "b")
    here = corrected(EMPTY, [dense, mixture])
    for anchor in (dense, mixture):
        before, after = residual(anchor, {}), residual(anchor, here.coefficients)
        assert abs(after) < 0.1 * abs(before)
    assert len(here.coefficients) == 2


def rig(name: str, found: Sample, is_anchor: bool) -> Sample:
    return replace(found, groups={**found.groups, "rig": name, "anchor": "yes" if is_anchor else ""})


def test_one_run_of_each_kind_takes_a_machine_s_own_share_out_of_the_misses() -> None:
    dense = [rig("slow", sample(CASE, 1.0, f"d{i}"), is_anchor=True) for i in range(4)]
    mixtures = [rig("slow", sample(MIXTURE, 1.0, f"m{i}"), is_anchor=i == 0) for i in range(4)]
    other = [rig("other", sample(CASE, 1.0, "o"), is_anchor=False)]
    missed = [*((s, 0.7) for s in dense), *((s, -0.3) for s in mixtures), *((s, 0.7) for s in other)]
    left = after_anchors(missed)
    assert [s.groups["rig"] for s, _ in left] == ["slow"] * 6
    assert all(abs(r) < 0.05 for _, r in left)

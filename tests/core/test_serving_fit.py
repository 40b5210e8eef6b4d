import math
import random
from dataclasses import replace

import pytest

from plimsoll.core.calibrate import Sample
from plimsoll.core.serving import throughput_terms, tpot_terms
from plimsoll.core.serving_fit import fit, is_learnt, prior_width
from plimsoll.core.speed import seconds
from tests.core.test_serving import EXPERTS, VLLM, load

pytest.importorskip("numpy")

TRUTH = {
    "serving sequences vllm/cuda": 1.5,
    "serving products vllm/cuda": 0.6,
    "decode weights: vllm/cuda": 0.2,
}


def samples() -> list[Sample]:
    rng = random.Random(5)
    out = []
    for i in range(60):
        case = replace(VLLM if i % 2 else EXPERTS, device=f"card-{i % 7}")
        asked = load(2 ** (i % 8))
        found = tpot_terms(case, asked) if i % 3 else throughput_terms(case, asked, "output")[0]
        time = seconds(found, TRUTH) * math.exp(rng.gauss(0, 0.02))
        out.append(Sample(id=f"s{i}", kind="vllm/cuda", terms=found, seconds=time, groups={"cell": f"s{i}"}))
    return out


def test_the_fit_finds_what_a_batch_adds_to_passes_it_was_told() -> None:
    base = {"decode weights: vllm/cuda": 0.2}
    found = fit(samples(), base)
    missed = sorted(abs(math.log(s.seconds / seconds(s.terms, base | found))) for s in samples())
    assert missed[len(missed) // 2] < 0.03
    assert all(is_learnt(e) for e in found)


def test_every_effect_of_a_batch_has_a_prior() -> None:
    for s in samples():
        for effect in (*s.terms.effects, *(e for p in s.terms.parts for e in p.effects)):
            if is_learnt(effect):
                assert prior_width(effect) > 0

"""The picture of a curve: whole XML, a band, the asked place, labels that do not collide."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

from plimsoll.core.speed_svg import svg
from plimsoll.domain.plot import Curve, CurvePoint

CURVE = Curve(
    title="generation <one>", axis="tokens", axis_unit="tokens", unit="tokens/s", asked=8192,
    points=tuple(
        CurvePoint(at=at, low=0.8 * v, value=v, high=1.1 * v)
        for at, v in ((256, 100.0), (1024, 95.0), (8000, 80.0), (8192, 79.0), (131072, 30.0))
    ),
)  # fmt: skip
NAME = "{http://www.w3.org/2000/svg}"


def test_it_is_whole_xml_with_a_band_a_line_and_the_asked_place() -> None:
    drawn = svg([CURVE, CURVE], "model & format", "a <machine>")
    root = ElementTree.fromstring(drawn)
    assert len(root.findall(f".//{NAME}polygon")) == 2
    assert len(root.findall(f".//{NAME}circle")) == 10
    said = [t.text for t in root.iter(f"{NAME}text")]
    assert "model & format" in said
    assert "generation <one>" in said
    assert said.count("asked: 8k") == 2
    titles = [t.text for t in root.iter(f"{NAME}title")]
    assert "8,192: 79 (63.2 to 86.9)" in titles


def test_labels_of_the_axis_keep_apart_and_the_last_is_there() -> None:
    drawn = svg([CURVE], "", "")
    places = re.findall(r'<text x="([0-9.]+)" y="268.0"[^>]*>([^<]+)<', drawn)
    assert places[0][1] == "128k"
    xs = sorted(float(x) for x, _ in places)
    assert all(b - a >= 44 for a, b in itertools.pairwise(xs))
    assert {"8000", "8,000"} & {t for _, t in places} == set()


def test_the_band_lies_around_the_line_inside_the_picture() -> None:
    root = ElementTree.fromstring(svg([CURVE], "", ""))
    polygon = root.find(f".//{NAME}polygon")
    assert polygon is not None
    ys = [float(pair.split(",")[1]) for pair in polygon.attrib["points"].split()]
    assert all(46 <= y <= 252 for y in ys)
    assert ys[0] < ys[-1]  # the upper end is drawn above the lower

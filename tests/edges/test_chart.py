import xml.etree.ElementTree as ElementTree

import pytest

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.edges.chart import draw
from plimsoll.errors import BadSetting

pytest.importorskip("matplotlib")
LINE = Series(name="p50", xs=(1, 2, 4), ys=(1, 2, 3), lows=(0.5, 1, 2), highs=(2, 3, 4))
POINTS = Series(
    name="cards", xs=(1, 2), ys=(3, 1), labels=("one", "two"), kind="points", lows=(2, 1), highs=(4, 2)
)
BARS = tuple(
    Series(name=n, xs=(0, 1), ys=y, kind="bars") for n, y in (("weights", (3, 4)), ("cache", (1, 2)))
)
CHART = Chart(
    title="Latency <against> load",
    subtitle="a machine",
    panels=(
        Panel(title="a", x_label="requests/s", y_label="s", series=(LINE,),
            marks=(Mark(at=2, label="full"),)),
        Panel(
            title="b", x_label="$", y_label="tokens/s", series=(POINTS, LINE), is_log_x=True, is_log_y=True,
            marks=(Mark(at=2, label="enough", is_level=True),),
        ),
        Panel(title="c", x_label="", y_label="GiB", series=BARS, categories=("one", "two")),
    ),
)  # fmt: skip


def test_an_svg_is_xml_with_the_words_as_text_and_the_same_every_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(CHART, str(tmp_path / name))
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    words = "".join(ElementTree.fromstring(text).itertext())
    for word in ("Latency <against> load", "requests/s", "full", "enough", "weights", "two", "p50"):
        assert word in words


def test_stacked_bars_stand_on_those_before():
    from matplotlib.figure import Figure

    from plimsoll.edges.chart import _panel

    axes = Figure().subplots()
    _panel(axes, CHART.panels[2])
    assert [(b.get_y(), b.get_height()) for b in axes.patches] == [(0, 3), (0, 4), (3, 1), (4, 2)]


def test_a_png_can_be_drawn(tmp_path):
    draw(CHART, str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["a.pdf", "a", "no/such/folder/a.svg"])
def test_what_cannot_be_written_is_said(tmp_path, name):
    with pytest.raises(BadSetting, match=r"\.svg or \.png|cannot be written"):
        draw(CHART, str(tmp_path / name))


@pytest.mark.parametrize(
    "bad", [{"ys": (1,)}, {"lows": (1, 1)}, {"labels": ("x",)}, {"lows": (1,), "highs": (1,)}]
)
def test_a_series_is_whole(bad):
    with pytest.raises(ValueError, match="s"):
        Series(**{"name": "s", "xs": (1, 2), "ys": (1, 2)} | bad)


def test_axes_write_sizes_tokens_and_small_ranges_at_round_places():
    from matplotlib.figure import Figure

    from plimsoll.edges.chart import _panel

    def written(**how):
        axes = Figure().subplots()
        _panel(axes, Panel(title="", x_label="", y_label="", **how))
        axes.figure.canvas.draw()
        return [t.get_text() for t in axes.get_xticklabels()], [t.get_text() for t in axes.get_yticklabels()]

    sizes = Series(name="a", xs=(4096, 131072), ys=(2.0**30, 93 * 2.0**30))
    across, up = written(series=(sizes,), x_unit="tokens", y_unit="bytes", is_log_x=True)
    assert {"4k", "128k"} <= set(across)
    assert up[:3] == ["0", "20 GiB", "40 GiB"]
    few = Series(name="b", xs=(1, 2, 4, 7), ys=(1.0, 2.0, 3.0, 4.0))
    assert {"1", "2", "5"} <= set(written(series=(few,), is_log_x=True)[0])
    narrow = Series(name="c", xs=(0.3, 0.9), ys=(1.0, 2.0))
    assert {"0.4", "0.6", "0.8"} <= set(written(series=(narrow,), is_log_x=True)[0])

"""Interactive figures: one output for book, JupyterLab and print, and the sliders."""

import base64

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import pytest

from gclib.errors import UserError
from gclib.figures import interactive


def shown(div_id: str = "clouds", alt: str = 'Clouds <grow> "here"') -> dict:
    figure = go.Figure(go.Scatter(x=np.linspace(0, 1, 4), y=[1 / 3, np.pi, 1e-7 / 3, 2], name="a"))
    return interactive.show_plotly(figure, div_id, alt, plt.figure())._repr_mimebundle_()


def test_an_interactive_figure_serves_book_and_jupyter() -> None:
    bundle = shown()
    page = bundle["text/html"]
    assert f'src="{interactive.PLOTLY_JS}"' in page
    assert "http" not in page
    assert page.count('id="clouds"') == 1
    assert 'aria-label="Clouds &lt;grow&gt; &quot;here&quot;"' in page
    content = bundle["application/vnd.plotly.v1+json"]
    assert content["data"][0]["x"] == [0.0, 0.3333, 0.6667, 1.0]
    assert content["data"][0]["y"] == [0.3333, 3.142, 3.333e-08, 2]
    assert content["layout"]["template"]["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == 'Clouds <grow> "here"'
    assert not plt.get_fignums()
    assert shown() == bundle


@pytest.mark.parametrize(
    ("div_id", "alt", "message"), [("a b", "alt", "plain name"), ("a", " ", "alt is empty")]
)
def test_an_interactive_figure_needs_a_name_and_a_description(div_id: str, alt: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shown(div_id, alt)


def test_buttons_choose_the_slider() -> None:
    figure = go.Figure([go.Scatter(), go.Scatter()])
    one = {"0": {"y": [[0], [1]], "name": ["a", "b"]}, "1": {"y": [[2], [3]], "name": ["c", "d"]}}
    other = {"x": {"y": [[4], None], "name": ["e", "f"]}}
    interactive.add_sliders(figure, {"one": one, "other": other}, {"one": 1, "other": 0})
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [("c", [2]), ("d", [3])]
    (slider,), (menu,) = figure.layout.sliders, figure.layout.updatemenus
    assert (slider.active, slider.currentvalue.prefix) == (1, "one ")
    assert [step.args[0] for step in slider.steps] == list(one.values())
    assert [button.label for button in menu.buttons] == ["one", "other"]
    change, layout = menu.buttons[1].args
    assert change == other["x"]
    assert layout["sliders"][0]["active"] == 0
    assert [step["label"] for step in layout["sliders"][0]["steps"]] == ["x"]


def test_one_slider_needs_no_buttons() -> None:
    figure = go.Figure([go.Scatter()])
    interactive.add_sliders(figure, {"s =": {"1": {"y": [[0]]}}}, {"s =": 0})
    assert not figure.layout.updatemenus

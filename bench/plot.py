"""A plot of one benchmark as SVG: how each figure stands to its target, round by round.

Every figure has its own unit, so what is drawn is the judged value as a share of its target, or, where there is no
target, of the largest value.
"""

from typing import Final
from xml.etree import ElementTree as ET

from bench.outcome import Figure, Outcome

WIDTH: Final = 760
LABELS: Final = 330
ROW: Final = 26
TOP: Final = 34
#: The target's line stands here; what is worse by more is drawn at the edge.
TARGET_AT: Final = 0.6
COLOURS: Final = {"met": "#3a7d44", "missed": "#b3261e", "no target": "#5f6b7a"}


def plot(outcome: Outcome) -> str:
    """The SVG document."""
    height = TOP + ROW * len(outcome.figures) + 12
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "font-family": "sans-serif",
            "font-size": "12",
        },
    )
    ET.SubElement(svg, "rect", {"width": str(WIDTH), "height": str(height), "fill": "white"})
    _text(svg, 8, 18, f"{outcome.title}: each round against its target")
    at = LABELS + (WIDTH - LABELS - 10) * TARGET_AT
    line = {"x1": f"{at:.1f}", "x2": f"{at:.1f}", "y1": str(TOP - 8), "y2": str(height - 6)}
    ET.SubElement(svg, "line", {**line, "stroke": "#222", "stroke-dasharray": "4 3"})
    _text(svg, at + 4, TOP - 10, "target")
    for row, figure in enumerate(outcome.figures):
        _row(svg, TOP + ROW * row, figure)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _row(svg: ET.Element, top: int, figure: Figure) -> None:
    _text(svg, 8, top + 16, figure.name)
    colour = COLOURS[figure.verdict]
    scale = figure.target.value / TARGET_AT if figure.target else max(figure.judged)
    shares = sorted(min(1.0, value / scale) if scale else 0.0 for value in figure.judged)
    middle = shares[len(shares) // 2]
    room = WIDTH - LABELS - 10
    bar = {"x": str(LABELS), "y": str(top + 5), "width": f"{room * middle:.1f}", "height": "14"}
    ET.SubElement(svg, "rect", {**bar, "fill": colour, "opacity": "0.35"})
    for share in shares:
        centre = {"cx": f"{LABELS + room * share:.1f}", "cy": str(top + 12), "r": "3"}
        ET.SubElement(svg, "circle", {**centre, "fill": colour})


def _text(svg: ET.Element, x: float, y: float, words: str) -> None:
    ET.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": "#222"}).text = words

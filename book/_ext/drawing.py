"""Small figures as SVG text, in the colours of the page: a figure by matplotlib for each record would take minutes."""

import html
from collections.abc import Sequence
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, BELOW, ABOVE = 320, 190, 44, 12, 34, 10
DASHES = ("", "5 3", "2 3")  # lines are told apart without colour too

Line = tuple[str, Sequence[float], Sequence[float]]  # name, x, y


def curves(lines: Sequence[Line], colours: Sequence[str], x_label: str, y_label: str, said: str) -> str:
    """Draw lines over epochs, the first x at the left edge and the last at the right."""
    low, high, step = _scale([value for _, _, y in lines for value in y])
    first, last = min(x[0] for _, x, _ in lines), max(x[-1] for _, x, _ in lines)

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - first) / ((last - first) or 1)

    drawn, names = [], []
    for place, ((name, x, y), colour) in enumerate(zip(lines, colours, strict=False)):
        points = " ".join(f"{across(a):.1f},{_up(b, low, high):.1f}" for a, b in zip(x, y, strict=True))
        dashes = f' stroke-dasharray="{DASHES[place]}"' if DASHES[place] else ""
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'
        )
        names.append(_key(name, colour, dashes))
    ticks = [(across(value), f"{value:g}") for value in (first, (first + last) // 2, last)]
    return _figure(drawn, names, ticks, (low, high, step), x_label, y_label, said)


def bars(values: Sequence[float], colours: Sequence[str], x_label: str, y_label: str, said: str) -> str:
    """Draw a bar for each class, in percent."""
    width = (WIDTH - LEFT - RIGHT) / len(values)
    drawn = [
        f'<rect x="{LEFT + place * width + 0.1 * width:.1f}" y="{_up(value, 0, 100):.1f}" width="{0.8 * width:.2f}" '
        f'height="{_up(0, 0, 100) - _up(value, 0, 100):.1f}" fill="{colour}"/>'
        for place, (value, colour) in enumerate(zip(values, colours, strict=True))
    ]
    shown = range(0, len(values), max(1, ceil(len(values) / 10)))
    ticks = [(LEFT + (place + 0.5) * width, str(place)) for place in shown]
    return _figure(drawn, [], ticks, (0, 100, 25), x_label, y_label, said)


def _figure(
    drawn: Sequence[str],
    names: Sequence[str],
    ticks: Sequence[tuple[float, str]],
    scale: tuple[float, float, float],
    x_label: str,
    y_label: str,
    said: str,
) -> str:
    low, high, step = scale
    heights = [low + step * place for place in range(round((high - low) / step) + 1)]
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_up(value, low, high):.1f}" y2="{_up(value, low, high):.1f}"/>'
        for value in heights
    )
    numbers = "".join(
        f'<text x="{LEFT - 5}" y="{_up(value, low, high) + 3.5:.1f}" text-anchor="end">{value:g}</text>'
        for value in heights
    )
    bottom = HEIGHT - BELOW
    numbers += "".join(
        f'<text x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{text}</text>' for x, text in ticks
    )
    middle = (LEFT + WIDTH) / 2
    labels = f'<text x="{middle:.0f}" y="{HEIGHT - 5}" text-anchor="middle">{html.escape(x_label)}</text>'
    labels += (
        f'<text transform="translate(10 {(bottom + ABOVE) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text>"
    )
    svg = (
        f'<svg role="img" aria-label="{html.escape(said)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-size="10.5" fill="currentColor">'
        f'<g stroke="currentColor" stroke-opacity="0.2">{grid}</g>{"".join(drawn)}{numbers}{labels}</svg>'
    )
    return f'<div class="drawing">{svg}{"".join(names)}</div>'


def _key(name: str, colour: str, dashes: str) -> str:
    line = f'<line x1="0" x2="22" y1="4" y2="4" stroke="{colour}" stroke-width="2"{dashes}/>'
    return f'<span class="key"><svg width="22" height="8" aria-hidden="true">{line}</svg> {html.escape(name)}</span>'


def _up(value: float, low: float, high: float) -> float:
    return HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * (value - low) / ((high - low) or 1)


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Return where an axis begins and ends, and its step: 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    rough = ((high - low) or abs(high) or 1) / 4
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return floor(low / step) * step, ceil(high / step) * step, step

"""What axe-core finds on a page: all of its rules, wide and narrow, and contrast in both themes."""

from importlib.resources import files
from typing import Any

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

# Contrast, of text and of links among text, takes axe most of its time, and is the same wherever text, background and
# size are. So it sees one element of each kind, with the text of its own; formulas and interactive figures are checked
# by tests of their own.
SAMPLE = r"""() => {
  const kinds = new Set(), skip = 'mjx-container, .plotly-graph-div, script, style, [hidden]';
  document.querySelectorAll('[data-kind]').forEach(element => element.removeAttribute('data-kind'));
  for (let element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest(skip) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), behind = [];
    for (let box = element; box; box = box.parentElement) {
      const { backgroundColor, opacity } = getComputedStyle(box);
      if (backgroundColor !== 'rgba(0, 0, 0, 0)') behind.push(backgroundColor);
      if (opacity !== '1') behind.push(opacity);
    }
    const kind = [style.color, style.fontSize, style.fontWeight, behind];
    const link = element.closest('a');
    if (link) { // axe tells it from the text around it
      const { textDecorationLine, borderBottomStyle } = getComputedStyle(link);
      const { color, fontWeight, display } = getComputedStyle(link.parentElement);
      const among = [...link.parentElement.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
      kind.push(textDecorationLine, borderBottomStyle, color, fontWeight, display, among);
      element = link;
    }
    if (kinds.has(kind.join())) continue;
    kinds.add(kind.join());
    element.setAttribute('data-kind', kinds.size);
  }
  return kinds.size;
}"""
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
RUN = """async ([context, options]) => {
  const { violations } = await axe.run(context, { resultTypes: ['violations'], ...options });
  return violations.flatMap(rule => rule.nodes.map(node => [rule.id, rule.impact, node.html.slice(0, 200)]));
}"""
OF_KINDS = ["color-contrast", "link-in-text-block"]
CONTRAST = {"runOnly": OF_KINDS}
ALL_ELSE = {"rules": {rule: {"enabled": False} for rule in OF_KINDS}}
EVERYTHING = {"exclude": [["mjx-container"]]}
KINDS = {"include": [["[data-kind]"]]}


def violations(page: Any, narrow: tuple[int, int]) -> list[str]:
    """Return what axe finds on a page as it is, in the other theme, and narrow; the page is left narrow and dark."""
    page.add_style_tag(content=STILL)
    page.evaluate(AXE)
    found = page.evaluate(RUN, [EVERYTHING, ALL_ELSE])
    for theme in ("light", "dark"):
        page.evaluate(
            "theme => Object.assign(document.documentElement.dataset, { theme, mode: theme })", theme
        )
        page.evaluate(SAMPLE)
        found += [[f"{rule} ({theme})", *rest] for rule, *rest in page.evaluate(RUN, [KINDS, CONTRAST])]
    page.set_viewport_size({"width": narrow[0], "height": narrow[1]})
    page.wait_for_timeout(100)
    found += [
        [f"{rule} ({narrow[0]} px)", *rest] for rule, *rest in page.evaluate(RUN, [EVERYTHING, ALL_ELSE])
    ]
    return [" | ".join(map(str, fault)) for fault in found]

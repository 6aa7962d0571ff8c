"""What axe-core finds on a page: all of its rules, wide and narrow, and contrast in both themes."""

from importlib.resources import files
from typing import Any

AXE = "/axe.min.js"  # where the tests' server has it: a browser compiles once what many pages load from one place
SOURCE = files("axe_playwright_python") / "axe.min.js"

STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
RUN = """async ([context, options]) => {
  if (context === 'new') context = { include: fresh };
  const always = { resultTypes: ['violations'], elementRef: true, preload: { assets: ['media'] } }; // no style sheets
  const { violations, passes } = await axe.run(context, { ...always, ...options });
  const told = rule => rule.nodes.map(node => [rule.id, rule.impact, node.html.slice(0, 200)].join(' | '));
  const kinds = rule => rule.nodes.map(node => node.element.dataset.kind).filter(Boolean);
  return { found: violations.flatMap(told), passed: passes.flatMap(kinds) };
}"""
EVERYTHING = {"include": [["html"]]}
OF_KINDS = ["color-contrast", "link-in-text-block"]
ALL_ELSE = {"rules": {rule: {"enabled": False} for rule in OF_KINDS}}

# Two of five elements are parts of formulas, which have a test of their own, and colours of code: axe would look at
# each by each rule. A formula leaves its room, and text for the names of headings and links.
PLAIN = """() => {
  for (const code of document.querySelectorAll('pre'))
    if (!code.querySelector('a, button, [tabindex]')) code.textContent = code.textContent;
  for (const formula of document.querySelectorAll('mjx-container')) {
    const room = document.createElement('span'), { width, height } = formula.getBoundingClientRect();
    room.textContent = 'formula';
    const size = { width: `${width}px`, height: `${height}px` };
    Object.assign(room.style, { display: 'inline-block', overflow: 'hidden', ...size });
    formula.replaceWith(room);
  }
}"""

# What another size can change: elements that it shows first, boxes that scroll, and tables, which axe tells from
# mere layout by their width as well.
OF_SIZES = {"runOnly": ["scrollable-region-focusable", "th-has-data-cells"]}
SEEN = "() => { window.seen = new Set([...document.body.querySelectorAll('*')].filter(e => e.checkVisibility())); }"
NEW = """known => {
  const shown = new Set([...document.body.querySelectorAll('*')].filter(e => !seen.has(e) && e.checkVisibility()));
  window.fresh = [...shown].filter(e => !shown.has(e.parentElement) && !known.includes(e.outerHTML));
  return fresh.map(element => element.outerHTML);
}"""

# Contrast, of text and of links among text, takes axe most of its time, and is the same wherever text, background and
# size are. So it sees one element of each kind, with the text of its own, and none that passed on a page before;
# formulas and interactive figures are checked by tests of their own.
THEME = "theme => Object.assign(document.documentElement.dataset, { theme, mode: theme })"
SAMPLE = r"""known => {
  const kinds = new Set(known), grounds = new Map([[null, []]]), seen = new Set();
  const behind = element => { // colours down to the first that hides all others
    if (!grounds.has(element)) {
      const { backgroundColor, opacity } = getComputedStyle(element), below = behind(element.parentElement);
      const own = [backgroundColor, opacity].filter(value => value !== 'rgba(0, 0, 0, 0)' && value !== '1');
      const hides = backgroundColor.startsWith('rgb(') && [...own, ...below].every(value => value.startsWith('rgb'));
      grounds.set(element, hides ? own : [...own, ...below]);
    }
    return grounds.get(element);
  };
  // Of signs and single letters axe says nothing, nor of what is hidden or off the page.
  const words = /[\p{L}\p{N}].*[\p{L}\p{N}]/su, skip = 'mjx-container, .plotly-graph-div, script, style';
  const { SHOW_TEXT, SHOW_ELEMENT, FILTER_ACCEPT, FILTER_REJECT, FILTER_SKIP } = NodeFilter;
  const texts = document.createTreeWalker(document.body, SHOW_TEXT | SHOW_ELEMENT, node => {
    if (node.nodeType === Node.TEXT_NODE) return words.test(node.data) ? FILTER_ACCEPT : FILTER_SKIP;
    return node.matches(skip) ? FILTER_REJECT : FILTER_SKIP;
  });
  const there = element => {
    const { width, right, bottom } = element.getBoundingClientRect();
    return width > 0 && right > 0 && bottom > 0 && element.checkVisibility({ visibilityProperty: true });
  };
  const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  document.querySelectorAll('[data-kind]').forEach(element => element.removeAttribute('data-kind'));
  document.querySelectorAll('[data-link]').forEach(element => element.removeAttribute('data-link'));
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (seen.has(element)) continue;
    seen.add(element);
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const large = Math.ceil(parseFloat(fontSize) * 72) / 96 >= (fontWeight >= 700 ? 14 : 18); // points; may be fainter
    const kind = [color, large, ...behind(element)];
    const link = element.closest('a');
    if (link) { // axe tells it from the text around it
      const of = getComputedStyle(link), around = getComputedStyle(link.parentElement);
      kind.push(of.fontSize, of.fontWeight, of.textDecorationLine, of.borderBottomStyle);
      kind.push(around.color, around.fontWeight, around.display, hasText(link.parentElement));
    }
    if (kinds.has(kind.join()) || !there(element)) continue;
    kinds.add(kind.join());
    element.dataset.kind = kind.join();
    if (link) link.dataset.link = '';
  }
  return kinds.size > known.length;
}"""
CONTRAST = {"runOnly": OF_KINDS, "resultTypes": ["violations", "passes"]}
KINDS = {"include": [["[data-kind]"], ["[data-link]"]]}


class Sight:
    """Looks at one page after another, and remembers what passed wherever it stands."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.narrow: set[str] = set()

    def wide(self, page: Any) -> list[str]:
        """Return what is wrong with a page as it is, and what is hard to read in either theme."""
        page.add_style_tag(content=STILL)
        page.add_script_tag(url=AXE)
        found = []
        for theme in ("dark", "light"):
            page.evaluate(THEME, theme)
            if page.evaluate(SAMPLE, list(self.kinds)):
                seen = page.evaluate(RUN, [KINDS, CONTRAST])
                found += [f"{theme}: {fault}" for fault in seen["found"]]
                self.kinds.update([] if seen["found"] else seen["passed"])
        page.evaluate(PLAIN)
        found += page.evaluate(RUN, [EVERYTHING, ALL_ELSE])["found"]
        page.evaluate(SEEN)
        return found

    def again(self, page: Any) -> list[str]:
        """Return what another size of the window does to a page that was seen wide."""
        found = page.evaluate(RUN, [EVERYTHING, OF_SIZES])["found"]
        if shown := page.evaluate(NEW, list(self.narrow)):
            found += page.evaluate(RUN, ["new", ALL_ELSE])["found"]
            self.narrow.update([] if found else shown)
        return found

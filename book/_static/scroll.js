// A phone shows no scroll bar: where a box goes on beyond its edge, the page's style fades that edge.
(() => {
  const BOXES = 'figure, .cell_output, .output, table, span.math, div.math mjx-container, dt.sig';
  const note = box => {
    const hidden = box.scrollWidth - box.clientWidth;
    const scrolls = hidden > 4 && getComputedStyle(box).overflowX === 'auto';
    // The keyboard scrolls what it can be on.
    if (scrolls && !box.hasAttribute('tabindex')) box.tabIndex = 0;
    const image = box.matches('figure') && box.querySelector('img'); // its caption does not fade
    if (image) {
      const height = image.getBoundingClientRect().bottom - box.getBoundingClientRect().top;
      box.style.setProperty('--fading', `${height}px`);
    }
    box.classList.toggle('more-left', scrolls && box.scrollLeft > 1);
    box.classList.toggle('more-right', scrolls && box.scrollLeft < hidden - 1);
  };
  const sizes = new ResizeObserver(entries => entries.forEach(({ target }) => note(target.closest(BOXES))));

  window.addEventListener('load', async () => {
    await window.MathJax?.startup?.promise; // formulas have no size before
    await document.fonts.ready;
    document.querySelectorAll(`.bd-article :is(${BOXES})`).forEach(box => {
      [box, ...box.querySelectorAll('img')].forEach(part => sizes.observe(part));
      box.addEventListener('scroll', () => note(box), { passive: true });
    });
  });
})();

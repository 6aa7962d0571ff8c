// Plotly's sliders and buttons know the mouse only: here they take the keyboard and say what they are. And plotly
// measures a figure once, maybe before the page is laid out: here it measures again whenever the room changes.
(() => {
  const KEYS = {
    ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1,
    PageDown: -3, PageUp: 3, Home: -Infinity, End: Infinity,
  };
  const groups = plot => [...plot.querySelectorAll('g.slider-group')];

  function describe(plot) {
    groups(plot).forEach((group, index) => {
      const slider = plot.layout.sliders[index], active = slider.active || 0;
      const attributes = {
        tabindex: 0, role: 'slider', 'aria-label': (slider.currentvalue || {}).prefix || 'slider',
        'aria-valuemin': 0, 'aria-valuemax': slider.steps.length - 1, 'aria-valuenow': active,
        'aria-valuetext': slider.steps[active].label,
      };
      Object.entries(attributes).forEach(([name, value]) => group.setAttribute(name, value));
    });
    plot.querySelectorAll('g.updatemenu-button').forEach(button => {
      button.setAttribute('tabindex', 0);
      button.setAttribute('role', 'button');
      button.setAttribute('aria-label', button.textContent);
    });
  }

  async function move(plot, index, by) {
    const slider = plot.layout.sliders[index], last = slider.steps.length - 1;
    const place = Math.max(0, Math.min(last, (slider.active || 0) + by));
    await Plotly.relayout(plot, { [`sliders[${index}].active`]: place });
    await Plotly[slider.steps[place].method](plot, ...slider.steps[place].args);
  }

  function press(event) {
    const plot = event.currentTarget;
    const button = event.target.closest('g.updatemenu-button');
    const index = groups(plot).indexOf(event.target.closest('g.slider-group'));
    if (button && (event.key === 'Enter' || event.key === ' ')) {
      event.preventDefault();
      button.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    } else if (index >= 0 && event.key in KEYS) {
      event.preventDefault();
      move(plot, index, KEYS[event.key]);
    }
  }

  // Panels that stand side by side are too small on a phone: there they stand below each other.
  function stack(plot, width) {
    const panels = Object.keys(plot.layout).filter(name => /^yaxis\d*$/.test(name));
    if (plot.beside === undefined) {
      const beside = panels.length > 1 && panels.every(name => (plot.layout[name].domain || [0, 1])[1] > 0.99);
      plot.beside = beside && { height: plot.clientHeight, layout: structuredClone(plot.layout) };
    }
    const narrow = width < 500;
    if (!plot.beside || narrow === Boolean(plot.below)) return undefined;
    plot.below = narrow;
    const { height, layout } = plot.beside, room = 1 / panels.length, change = {};
    panels.forEach((name, place) => {
      const across = name.replace('y', 'x'), top = 1 - place * room;
      change[`${name}.domain`] = narrow ? [top - room * 0.9, top] : [0, 1];
      change[`${across}.domain`] = narrow ? [0, 1] : layout[across].domain;
      const title = layout.annotations?.[place];
      if (!title) return;
      change[`annotations[${place}].x`] = narrow ? 0.5 : title.x;
      change[`annotations[${place}].y`] = narrow ? top : title.y;
    });
    const tall = narrow ? height * (1 + 0.65 * (panels.length - 1)) : height;
    plot.parentElement.style.height = plot.style.height = `${tall}px`;
    return Plotly.relayout(plot, change);
  }

  // An observer reports each figure once at first, so this mends what was drawn too early as well.
  const sizes = new ResizeObserver(entries => entries.forEach(({ target, contentRect }) => {
    if (contentRect.width === 0) return;
    Promise.resolve(stack(target, contentRect.width)).then(() => Plotly.Plots.resize(target));
  }));

  window.addEventListener('load', () => {
    document.querySelectorAll('.plotly-graph-div').forEach(plot => {
      describe(plot);
      ['plotly_afterplot', 'plotly_relayout', 'plotly_sliderchange', 'plotly_buttonclicked'].forEach(
        name => plot.on(name, () => describe(plot))
      );
      plot.addEventListener('keydown', press);
      sizes.observe(plot);
    });
  });
})();

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

  // An observer reports each figure once at first, so this mends what was drawn too early as well.
  const sizes = new ResizeObserver(entries => entries.forEach(({ target, contentRect }) => {
    if (contentRect.width > 0) Plotly.Plots.resize(target);
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

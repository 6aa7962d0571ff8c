// Sections that were moved or renamed: an old address still lands where its subject is now.
(() => {
  const MOVED = {
    'notebooks/add-your-data': {
      'add-your-data-set': 'your-images',
      'one-folder-for-each-class': 'the-folder',
      'the-long-tail': 'look-before-you-train',
      'a-run': 'cross-entropy-first-then-gcl-and-its-second-stage',
      'tidy-up': 'the-folder',
    },
    'notebooks/gaussian-cloud': {
      'must-the-noise-be-negative-it-keeps-twice-the-gradient': 'must-the-noise-be-negative-it-keeps-up-to-twice-the-gradient',
    },
    'notebooks/ablations': {
      'table-5-which-re-training-of-the-classifier-undecided': 'table-5-does-re-training-the-classifier-matter-it-does-which-way-is-undecided',
      'table-3-does-the-size-of-the-clouds-matter-little-in-our-runs': 'table-3-does-the-size-of-the-clouds-matter-undecided',
      'table-4-does-the-sampler-of-stage-two-matter-balancing-does-which-way-does-not': 'table-4-does-the-sampler-of-stage-two-matter-balancing-does-which-way-is-undecided',
      'the-paper-s-table-3-the-size-of-the-clouds': 'table-3-does-the-size-of-the-clouds-matter-undecided',
      'table-3-the-size-of-the-clouds': 'table-3-does-the-size-of-the-clouds-matter-undecided',
      'the-paper-s-table-4-the-sampler-of-stage-two': 'table-4-does-the-sampler-of-stage-two-matter-balancing-does-which-way-is-undecided',
      'table-4-the-sampler-of-stage-two': 'table-4-does-the-sampler-of-stage-two-matter-balancing-does-which-way-is-undecided',
      'cben-against-en': 'table-4-does-the-sampler-of-stage-two-matter-balancing-does-which-way-is-undecided',
      'the-paper-s-table-5-the-re-training-of-the-classifier': 'table-5-does-re-training-the-classifier-matter-it-does-which-way-is-undecided',
      'table-5-the-re-training-of-the-classifier': 'table-5-does-re-training-the-classifier-matter-it-does-which-way-is-undecided',
      'how-small-are-these-differences': 'notebooks/claims#the-rule',
      'the-control-a-margin-without-a-cloud': 'notebooks/noise#the-cloud-against-its-mean-on-cifar-10-lt',
      'constants-that-make-a-difference': 'notebooks/rebalancing#constants-that-make-a-difference',
    },
    'notebooks/claims': {
      'can-softmax-saturation-be-used-the-tail-gains-that-the-cloud-is-the-reason-is-undecided': 'can-softmax-saturation-be-used-the-tail-gains-and-without-the-cloud-still-more',
      'is-the-tail-squeezed-less-undecided': 'is-the-tail-squeezed-less-it-spreads-wider-the-obscure-region-is-undecided',
      'and-with-one-protocol-for-all-the-lead-shrinks-and-comes-with-stage-two': 'and-with-one-protocol-for-all-the-lead-shrinks-and-some-end-above-gcl',
      'is-the-tail-taken-for-the-head-less-often-yes-that-the-cloud-is-the-reason-is-undecided': 'is-the-tail-taken-for-the-head-less-often-yes-and-without-the-cloud-still-less',
      'all-claims-at-a-glance-in-plain-words': 'all-claims-at-a-glance',
      'in-plain-words': 'all-claims-at-a-glance',
      'can-softmax-saturation-be-used-the-tail-gains-the-margin-without-a-cloud-gains-at-least-as-much': 'can-softmax-saturation-be-used-the-tail-gains-and-without-the-cloud-still-more',
      'saturation-can-be-used': 'can-softmax-saturation-be-used-the-tail-gains-and-without-the-cloud-still-more',
      'is-the-tail-taken-for-the-head-less-often-yes-and-without-the-cloud-even-less': 'is-the-tail-taken-for-the-head-less-often-yes-and-without-the-cloud-still-less',
      'the-cloud-not-the-mean-shift': 'does-the-cloud-do-the-work-not-on-cifar-10-lt',
      'does-the-cloud-do-the-work-not-in-our-runs': 'does-the-cloud-do-the-work-not-on-cifar-10-lt',
      'tail-spans-grow': 'is-the-tail-squeezed-less-it-spreads-wider-the-obscure-region-is-undecided',
      'cben-beats-en': 'does-cben-beat-en-with-the-released-constants-it-is-en',
      'crt-beats-lws-and-tau-normalisation': 'does-crt-beat-lws-and-tau-normalisation-undecided',
      'gcl-beats-each-competitor': 'does-gcl-beat-its-competitors-some-clearly-the-close-ones-undecided',
      'the-logarithm-beats-the-other-strategies': 'does-the-logarithm-beat-the-other-strategies-undecided',
    },
    'notebooks/deviations': { 'what-each-one-costs': 'what-each-one-changes' },
    'notebooks/gaussian-cloud': {
      'a-disturbed-feature-and-its-logits': 'notebooks/clouded-logits#a-disturbed-feature-and-its-logits',
      'cosine-logits': 'notebooks/clouded-logits#what-the-normalisation-keeps-constant',
      'how-good-is-the-approximation': 'notebooks/clouded-logits#the-same-by-simulation',
      'the-margin-it-buys-on-average': 'notebooks/logit-adjustment#the-margin-it-buys-on-average',
      'where-the-borders-go': 'notebooks/logit-adjustment#where-the-borders-go',
      'what-the-noise-adds-to-the-mean': 'notebooks/logit-adjustment#what-the-noise-adds-to-the-mean',
      'gradients-gcl-among-its-relatives': 'notebooks/logit-adjustment#gradients-how-long-does-an-image-keep-teaching',
      'a-control-noise-or-its-mean': 'notebooks/logit-adjustment#a-control-noise-or-its-mean',
      'which-does-a-trained-classifier-have': 'notebooks/logit-adjustment#which-does-a-trained-classifier-have',
    },
    'notebooks/long-tail': {
      'best-epoch-on-the-test-set-or-the-last': 'notebooks/chance#best-epoch-on-the-test-set-or-the-last',
      'how-far-the-number-moves-by-chance': 'notebooks/chance#how-far-does-the-number-move-by-chance',
    },
    'notebooks/rebalancing': {
      'what-tables-4-and-5-claim': 'notebooks/ablations',
      'three-ways-to-move-a-boundary': 'notebooks/repairs#three-ways-to-move-a-boundary',
      'seeds-against-samplers': 'notebooks/repairs#seeds-against-samplers',
      'lengths-and-directions': 'notebooks/repairs#lengths-and-directions',
      'the-trade-along-tau': 'notebooks/repairs#the-trade-along-tau',
      'the-same-on-a-cosine-classifier': 'notebooks/repairs#the-same-on-a-cosine-classifier',
    },
    'notebooks/results': {
      'calibration': 'notebooks/calibration#can-i-trust-its-probabilities',
      'what-a-single-number-hides': 'notebooks/calibration#which-classes-are-classified-well',
      'what-a-row-costs': 'notebooks/calibration#what-does-a-run-cost',
      'why-our-numbers-may-differ-from-the-paper-s': 'notebooks/chance#two-hundred-tests-and-seventy-two',
      'the-luck-of-the-best-epoch': 'notebooks/chance#best-epoch-on-the-test-set-or-the-last',
      'the-same-run-made-again': 'notebooks/claims#the-rule',
      'contrastive-learning-ends-lower': 'notebooks/short-runs#contrastive-learning-ends-lower',
      'the-paper-s-own-table': 'notebooks/short-runs#the-paper-s-own-table',
      'plain-cross-entropy-once-more': 'notebooks/short-runs',
      'what-gcl-is-made-of': 'notebooks/text-and-code#which-setting-of-stage-two-counts',
    },
    'notebooks/softmax-saturation': {
      'temperature': 'notebooks/temperature-and-labels#what-does-a-temperature-do',
      'label-noise': 'notebooks/temperature-and-labels#label-noise',
      'would-less-saturation-help': 'notebooks/temperature-and-labels#does-a-smaller-scale-help-the-tail',
      'what-the-scale-does': 'what-scale-margin-and-class-count-do',
    },
    'notebooks/noise': {
      'does-the-noise-help-not-in-our-runs': 'does-the-noise-help-not-in-stage-one-at-the-end-on-one-data-set-of-two',
      'the-cloud-against-its-mean': 'the-cloud-against-its-mean-on-cifar-10-lt',
    },
    'notebooks/table1': {
      'does-gcl-beat-its-competitors-here': 'does-gcl-beat-its-competitors-here-three-of-them-the-two-closest-are-undecided',
      'does-gcl-beat-its-competitors-here-four-of-them-the-closest-is-undecided':
        'does-gcl-beat-its-competitors-here-three-of-them-the-two-closest-are-undecided',
      'does-gcl-beat-its-competitors-here-three-of-them-the-close-ones-undecided':
        'does-gcl-beat-its-competitors-here-three-of-them-the-two-closest-are-undecided',
      'who-gains': 'who-gains-the-few-shot-classes-at-the-expense-of-the-many-shot-ones',
      'cifar-100-lt-at-ratio-100': 'one-setting-closely',
    },
    'book/grid': { 'on-a-gpu': 'on-one-gpu' },
  };
  const MODULES = { // of the API
    'book/api/devices': /gclib\.train\.(device|environment|fleet|resident|features|capture|fingerprint)\b/,
    'book/api/networks-trained': /gclib\.(classifier|export|embeddings|saturation|bench)\b/,
    'book/api/methods-by-name': /gclib\.methods\.(?!settings|stages?$|stage\.)/,
    'book/api/paper': /gclib\.(paper|deviations)\b/,
    'book/api/figures-of-chapters': /gclib\.figures\.(derivation|saturation|embedding|projection|clouds|regions|rebalancing)\b/,
  };
  const moved = (page, old) => {
    if (!page.startsWith('book/api/')) return MOVED[page]?.[old];
    const other = Object.keys(MODULES).find(name => MODULES[name].test(old));
    return other && other !== page && `${other}#${old}`;
  };
  const look = () => {
    const old = decodeURIComponent(location.hash.slice(1));
    const page = /(notebooks|book|book\/api)\/[\w-]+(?=\.html$)/.exec(location.pathname)?.[0];
    const place = page && !document.getElementById(old) && moved(page, old);
    if (!place) return;
    const [other, section] = place.includes('/') ? place.split('#') : [page, place];
    location.replace(`${page.replace(/[^/]+/g, '..').slice(0, -2)}${other}.html${section ? `#${section}` : ''}`);
  };
  window.addEventListener('DOMContentLoaded', look);
  window.addEventListener('hashchange', look);
})();

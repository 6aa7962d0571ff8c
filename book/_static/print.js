// Nobody can open a fold on paper: what is folded is printed open, and closed again afterwards.
let unfolded = [];
window.addEventListener('beforeprint', () => {
  unfolded = [...document.querySelectorAll('.bd-article :is(details.hide, dd > details):not([open])')];
  unfolded.forEach(fold => { fold.open = true; });
});
window.addEventListener('afterprint', () => {
  unfolded.forEach(fold => { fold.open = false; });
});

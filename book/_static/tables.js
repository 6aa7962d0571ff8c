// A wide table of sentences cannot be read on a phone. There its rows become cards (book.css), and each cell says its column.
document.addEventListener('DOMContentLoaded', () => {
  document.querySelectorAll('.bd-article table').forEach(table => {
    const columns = [...table.querySelectorAll('thead th')].map(name => name.textContent);
    const cells = [...table.querySelectorAll('tbody tr')].map(row => [...row.children]);
    const sentences = cells.flat().some(cell => {
      const folded = cell.querySelector('details')?.textContent.length || 0; // commands, shown on demand
      return cell.textContent.length - folded > 40;
    });
    if (columns.length < 3 || !sentences || cells.some(row => row.length !== columns.length)) return;
    table.classList.add('sentences');
    cells.forEach(row => {
      row.forEach((cell, place) => { cell.dataset.column = columns[place]; });
      // A card leaves out what is not there, and the commands of runs to come where they would be most of it.
      const commands = row.filter(cell => cell.firstElementChild?.matches('details:only-child'));
      const dashes = row.filter(cell => cell.textContent.trim() === '–');
      [...dashes, ...(commands.length > 1 ? commands : [])].forEach(cell => cell.classList.add('nothing'));
    });
  });
  // A table that was printed keeps its lines, and scrolls.
  document.querySelectorAll('.bd-article .output pre').forEach(printed => {
    printed.classList.toggle('ruled', printed.textContent.includes('│'));
  });
});

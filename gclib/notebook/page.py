"""What a page does itself: it checks its parameters, whoever set them, and tells what does not hold with them."""

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gclib.errors import UserError
from gclib.notebook.grammar import check, parse

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from pandas import DataFrame

__all__ = ["NOT_HELD", "check_parameters"]

NOT_HELD = "With these parameters "  # how a line begins that tells of it
WRITTEN_FOR = (
    "The text of this page was written for {}; here {}. Tables and figures follow. A sentence that a check of the page "
    "finds wrong is told where it stands; others may be wrong without a word."
)
TELL = "_tell"  # what a page calls for it
INJECTED = "# Parameters\n"  # how the cell begins that papermill puts below that of the defaults


def check_parameters() -> None:
    """Check the parameters of the page that calls, and give each value the type that its line states.

    Every page calls this in the cell after its parameters. So plain papermill, JupyterLab and ``gcl run`` take and
    refuse the same values, in the same words. The lines are those of the newest cell that the kernel ran with
    parameters in it; see `gclib.notebook.grammar`. From then on, names in the frames of pandas that the page shows are
    text: a dollar begins no mathematics. And an assertion that fails in a cell is told in a line and ends nothing: what
    a page concludes from its defaults need not hold with other values. With such values a line says so.

    Raises
    ------
    UserError
        If a line breaks the grammar, a value is of another type or out of range, papermill injected an unknown
        name, or this is no kernel that ran a cell of parameters.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell:
        _show_names_as_text(shell)
    cells = list(shell.user_ns["In"]) if shell else []
    if cells == [""]:  # a kernel without history, as nbval's, which runs parameters as they are committed
        return
    place = next((k for k in reversed(range(len(cells))) if _states_parameters(cells[k])), None)
    if place is None:
        raise UserError("no cell with parameters was run before check_parameters(); run it first")
    variables = shell.user_ns
    given = {name: variables[name] for name in _injected(cells[place:]) if name in variables}
    stated = parse(cells[place], "parameters cell")
    variables |= check(stated, {p.name: variables[p.name] for p in stated if p.name in variables} | given)
    other = [p for p in stated if p.name in variables and variables[p.name] != p.default]
    if other:
        before = ", ".join(f"{p.name} = {p.default!r}" for p in other)
        here = ", ".join(f"{p.name} = {variables[p.name]!r}" for p in other)
        print(WRITTEN_FOR.format(before, here))
    variables[TELL] = _tell
    if not any(isinstance(one, _Assertions) for one in shell.ast_transformers):
        shell.ast_transformers.append(_Assertions())


class _Assertions(ast.NodeTransformer):
    """Makes of ``assert holds, said`` in a cell: if not, tell what was said."""

    def visit_Assert(self, node: ast.Assert) -> ast.If:
        said = node.msg or ast.Constant(f"not: {ast.unparse(node.test)}")
        told = ast.Expr(ast.Call(ast.Name(TELL, ast.Load()), [said], []))
        return ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), node.test), [told], []), node)


def _tell(said: object) -> None:
    text = " ".join(str(said).split())
    print(NOT_HELD + (f"no longer: {text[5:]}" if text.startswith("not: ") else f"instead: {text}"))


def _show_names_as_text(shell: "InteractiveShell") -> None:
    assert shell.display_formatter is not None
    html = shell.display_formatter.formatters["text/html"]
    for module in (
        "pandas",
        "pandas.core.frame",
    ):  # by name, since 3.0 and before: not every page loads pandas
        html.for_type_by_name(module, "DataFrame", _frame_html)


def _frame_html(frame: "DataFrame") -> str | None:
    from gclib.tables.table import without_maths

    html = frame._repr_html_()
    return html and without_maths(html)


def _states_parameters(source: str) -> bool:
    return any(isinstance(node, ast.AnnAssign) for node in _statements(source))


def _injected(cells: Sequence[str]) -> set[str]:
    nodes = [node for source in cells if source.startswith(INJECTED) for node in _statements(source)]
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:  # a cell that failed
        return []

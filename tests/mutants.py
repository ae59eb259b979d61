"""Small faults in Python source: one operator, number, string, condition, return or pair of arguments changed.

`mutants_of(source)` gives every one of them, in the order of the source. Left alone: docstrings, annotations, the text
of f-strings, and names in `Literal[...]`, none of which is computed with.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, what it does, and the tree of the module that has it."""

    kind: str
    """"comparison", "arithmetic", "boolean", "sign", "number", "string", "condition", "return" or "arguments"."""
    line: int
    column: int
    """Where it begins, counted from 1 and from 0."""
    before: str
    """The changed expression or statement, as `ast.unparse` writes it, and what became of it."""
    after: str
    tree: ast.Module

    @property
    def change(self) -> str:
        """`before` and `after` in one line; the same for the same fault on another line."""
        return " ".join(f"{self.before} -> {self.after}".split())


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    found = []
    for path, node in _walk(tree, ()):
        for kind, replacement in _changes(node):
            whole = copy.deepcopy(tree)
            _put(whole, path, replacement)
            before, after = ast.unparse(node), ast.unparse(replacement)
            if before != after:
                ast.fix_missing_locations(whole)
                found.append(Mutant(kind, node.lineno, node.col_offset, before, after, whole))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.column))


def _walk(node: ast.AST, path: tuple) -> Iterator[tuple[tuple, ast.AST]]:
    """(path, node) of everything that is computed; a path is field names and places in lists, from the module down."""
    if path and hasattr(node, "lineno"):
        yield path, node
    if isinstance(node, ast.JoinedStr):
        children = [("values", place, part) for place, part in enumerate(node.values) if not _is_text(part)]
    elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
        children = []
    else:
        children = []
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "format_spec"):
                continue
            places = enumerate(value) if isinstance(value, list) else [(None, value)]
            children += [(name, place, part) for place, part in places if isinstance(part, ast.AST)]
    for name, place, part in children:
        if not (isinstance(part, ast.Expr) and _is_text(part.value)):
            yield from _walk(part, (*path, (name, place)))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _put(tree: ast.AST, path: tuple, replacement: ast.AST) -> None:
    for name, place in path[:-1]:
        tree = getattr(tree, name) if place is None else getattr(tree, name)[place]
    name, place = path[-1]
    if place is None:
        setattr(tree, name, replacement)
    else:
        getattr(tree, name)[place] = replacement


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(kind, changed copy) of one node."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[place] = COMPARISONS[type(operator)]()
            yield "comparison", changed
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield "sign", node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "boolean", _with(node, value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "number", _with(node, value=node.value * 10 if 0 < abs(node.value) < 0.1 else node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield "string", _with(node, value=node.value + "~")
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "return", _with(node, value=ast.Constant(None))
    elif isinstance(node, ast.Call) and len(node.args) > 1 and not _any_order(node):
        yield "arguments", _with(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition", _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for place, generator in enumerate(node.generators):
            for number, test in enumerate(generator.ifs):
                changed = copy.deepcopy(node)
                changed.generators[place].ifs[number] = ast.UnaryOp(ast.Not(), test)
                yield "condition", changed


def _any_order(call: ast.Call) -> bool:
    """Whether the order of the arguments is unknown here, or does not matter."""
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    return starred or name in ("min", "max", "minimum", "maximum", "logaddexp")


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _with(node: ast.AST, **changes) -> ast.AST:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed

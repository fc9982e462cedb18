"""Generic faults, from the syntax tree of a module: comparisons turned, conditions fixed, numbers off by one,
statements and returned values left out. At least one for every branch, so that whoever plants by hand forgets none.

Annotations, docstrings, messages (f-strings and other texts) and `__slots__` are left alone: they decide nothing.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.LShift: ast.RShift, ast.BitOr: ast.BitAnd,
}  # fmt: skip


_LEFT_OUT = (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete, ast.Continue, ast.Break)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`old` is the source between `start` and `end` (bytes of the file), `new` what stands there instead.

    `key` does not change when lines move: it names mutants that are equivalent, in `equivalent.py`.
    """

    file: str
    line: int
    key: str
    start: int
    end: int
    old: str
    new: str

    def applied(self, source: bytes) -> bytes:
        assert source[self.start : self.end].decode() == self.old
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """In the order of the file, no two with the same result, none that is the original."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[tuple[int, int, str], Mutant] = {}
    for where, node, new in _walk(ast.parse(source), ""):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        old = source[start:end].decode()
        if new in (old, f"({old})"):
            continue
        short = f"{' '.join(old.split())} -> {' '.join(new.split())}"
        same = sum(mutant.key.partition(" #")[0] == f"{file} {where}: {short}" for mutant in found.values())
        key = f"{file} {where}: {short}" + (f" #{same + 1}" if same else "")
        mutant = Mutant(file=file, line=node.lineno, key=key, start=start, end=end, old=old, new=new)
        found.setdefault((start, end, new), mutant)
    return sorted(found.values(), key=lambda mutant: (mutant.start, mutant.end, mutant.new))


Place = ast.expr | ast.stmt


def _walk(node: ast.AST, where: str) -> Iterator[tuple[str, Place, str]]:
    """(function it is in, node, what to write instead), for the node and all below it that decide something."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    if isinstance(node, ast.expr):
        yield from ((where, node, f"({ast.unparse(new)})") for new in _expressions(node))
    elif isinstance(node, ast.stmt):
        yield from ((where, place, new) for place, new in _statements(node))
    if isinstance(node, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _says_nothing(child):
                yield from _walk(child, where)


def _says_nothing(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__slots__" for target in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            new = copy.deepcopy(node)
            new.ops[index] = _COMPARE[type(operator)]()
            yield new
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield ast.BinOp(node.left, _BINARY[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for index, generator in enumerate(node.generators):
            for condition in range(len(generator.ifs)):
                new_comprehension = copy.deepcopy(node)
                new_comprehension.generators[index].ifs[condition] = ast.Constant(True)
                yield new_comprehension


def _statements(node: ast.stmt) -> Iterator[tuple[Place, str]]:
    if isinstance(node, ast.If | ast.While):
        yield node.test, "False"
        if isinstance(node, ast.If):
            yield node.test, "True"
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield node, "return None"
    elif isinstance(node, _LEFT_OUT) or (isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)):
        yield node, "pass"

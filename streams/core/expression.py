"""What a derived metric is computed by: an expression over aggregates of other metrics.

Simpleeval walks it, with no more than arithmetic, a few functions and names of metrics: an expression is
checked whole before it is kept, so that evaluating it can fail on no data. Columns go through it, not
numbers: what it costs is bounded by its length, and by the rows.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import simpleeval

from streams.core.batch import Bools, Float64

MAX_CHARS = 500
MAX_PARTS = 100
"""Numbers, names, operators and calls of an expression, counted one by one."""

MAX_DEPTH = 50
LARGEST_NUMBER = 1e140

WIDTH = "bucket_s"
"""Name of the seconds of a bucket."""

AGGREGATES = ("mean", "sum", "min", "max", "last", "count", "series")
"""What there is of a metric in a bucket of a node: see :class:`Aggregate`."""


def _finite(operation: np.ufunc) -> Callable[..., Any]:
    """Have each step give nothing where it has no number: of an infinity a later one could make a number."""

    def apply(*operands: Any) -> Any:
        result = operation(*operands)
        return np.where(np.isfinite(result), result, np.nan)

    return apply


_FUNCTIONS: dict[str, np.ufunc] = {
    "abs": np.absolute,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "least": np.minimum,
    "greatest": np.maximum,
}
"""Functions of numbers."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _finite(np.add),
    ast.Sub: _finite(np.subtract),
    ast.Mult: _finite(np.multiply),
    ast.Div: _finite(np.divide),
    ast.USub: _finite(np.negative),
    ast.UAdd: _finite(np.positive),
}
_NODES = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant)
_WORDS = ", ".join(
    ("Numbers, + - * /, parentheses", WIDTH, *_FUNCTIONS, *(f"{each}(metric)" for each in AGGREGATES))
)


class ExpressionError(ValueError):
    """An expression is not one that can be computed, or that is allowed."""


class Aggregate(NamedTuple):
    """One aggregate of one metric: of the series of a node, in a bucket.

    ``mean`` and ``last`` are means over the series of their means, or of their last values; ``sum``, ``min``,
    ``max`` and ``count`` are of all usable readings; ``series`` is how many series have some.
    """

    name: str
    metric: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression, and the aggregates that it needs."""

    text: str
    needs: frozenset[Aggregate]
    _body: ast.expr

    @property
    def metrics(self) -> list[str]:
        """The metrics that it is computed from, sorted."""
        return sorted({need.metric for need in self.needs})

    def evaluate(self, columns: Mapping[Aggregate, Float64], bucket_s: float) -> tuple[Float64, Bools]:
        """Return a value for each row, and where there is one: what is needed is there, and it is finite.

        ``columns`` are of one length, NaN where there is nothing. Elsewhere the value is NaN.

        >>> share = parse_expression("sum(up) / bucket_s")
        >>> values, some = share.evaluate({Aggregate("sum", "up"): np.array([45.0, np.nan])}, bucket_s=60)
        >>> values.tolist(), some.tolist()
        ([0.75, nan], [True, False])
        """
        functions: dict[str, Callable[..., Any]] = {name: _finite(call) for name, call in _FUNCTIONS.items()}
        functions |= {name: partial(_look_up, columns, name) for name in AGGREGATES}
        walker = simpleeval.SimpleEval(
            _OPERATORS, functions, {**{name: name for name in self.metrics}, WIDTH: np.float64(bucket_s)}
        )
        walker.nodes = {kind: walker.nodes[kind] for kind in _NODES}
        walker.nodes[ast.Constant] = _constant
        with np.errstate(all="ignore"):
            value: Float64 = walker.eval(self.text, self._body)
        return value, ~np.isnan(value)


def parse_expression(text: str) -> Expression:
    """Return a checked expression. Raises :class:`ExpressionError`.

    A metric whose name is no plain word stands in quotes.

    >>> parse_expression("mean(power) / mean('rated.power')").metrics
    ['power', 'rated.power']
    >>> parse_expression("().__class__")
    Traceback (most recent call last):
        ...
    streams.core.expression.ExpressionError: '().__class__' is not allowed in an expression.
    """
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"it has {len(text)} characters, {MAX_CHARS} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        said = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply, or has a NUL"
        raise ExpressionError(f"it cannot be read: {said}") from None
    _check_names(text.strip(), body)
    needs: set[Aggregate] = set()
    parts = _check(body, needs, MAX_DEPTH)
    if parts > MAX_PARTS:
        raise ExpressionError(f"it has {parts} parts, {MAX_PARTS} are allowed")
    if not needs:
        raise ExpressionError("it is of no metric: name one, as in mean(power)")
    return Expression(text.strip(), frozenset(needs), body)


def _check_names(text: str, body: ast.expr) -> None:
    """Refuse what Python takes for another name than was written: it makes ``fi`` of a ligature."""
    for node in ast.walk(body):
        if isinstance(node, ast.Name):
            written = ast.get_source_segment(text, node) or ""
            if not written.isascii():
                raise ExpressionError(f"{written!r} is no plain word: put it in quotes, as in mean('power')")


def _check(node: ast.expr, needs: set[Aggregate], depth: int) -> int:
    """Return of how many parts a node is, and add what it needs; raises :class:`ExpressionError`."""
    if depth == 0:
        raise ExpressionError(f"it is nested more than {MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=bool() | complex() | str() | bytes() | None):
            pass
        case ast.Constant(value=int() | float() as number):
            if not abs(number) <= LARGEST_NUMBER:
                raise ExpressionError(f"a number in it is beyond {LARGEST_NUMBER:g}")
            return 1
        case ast.Name(id=name) if name == WIDTH:
            return 1
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return 1 + _check(left, needs, depth - 1) + _check(right, needs, depth - 1)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return 1 + _check(operand, needs, depth - 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name in AGGREGATES:
                needs.add(Aggregate(name, _metric(name, arguments)))
                return 2
            if name in _FUNCTIONS and len(arguments) == _FUNCTIONS[name].nin:
                return 1 + sum(_check(argument, needs, depth - 1) for argument in arguments)
    raise ExpressionError(f"{_shown(node)} is not allowed in an expression. {_advice(node)}".rstrip())


def _metric(aggregate: str, arguments: list[ast.expr]) -> str:
    match arguments:
        case [ast.Name(id=metric)] if metric != WIDTH:
            return metric
        case [ast.Constant(value=str() as metric)] if metric:
            return metric
    raise ExpressionError(f"{aggregate}() is of one metric: its name, in quotes where it is no plain word")


def _shown(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except RecursionError:
        raise ExpressionError(f"it is nested more than {MAX_DEPTH} deep") from None
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _advice(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return f"Of a metric say which aggregate: mean({name})."
        case ast.Call(func=ast.Name()) | ast.BinOp() | ast.Constant():
            return f"These can be used: {_WORDS}."
    return ""


def _look_up(columns: Mapping[Aggregate, Float64], aggregate: str, metric: str) -> Float64:
    return columns[Aggregate(aggregate, metric)]


def _constant(node: ast.Constant) -> Any:
    """A name of a metric, or a number: of numpy's kind, which divides by zero without an error."""
    number: Any = node.value
    return number if isinstance(number, str) else np.float64(number)

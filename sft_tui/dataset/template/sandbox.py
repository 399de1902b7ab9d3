"""Runs a chat template, a program of somebody else, so that it can do nothing but write text, and not for long.

On top of jinja2's sandbox: only words that chat templates use; every loop, call and text that is made is counted, and
what takes more than a conversation of that size can need is stopped. Nothing else bounds a template: `x * 9` done
often enough fills any memory, and threads cannot be interrupted by a clock.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Sequence, Union

from jinja2 import TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

if TYPE_CHECKING:
    from jinja2.parser import Parser

MAX_TEMPLATE = 200_000  # characters
# What one rendering may take: steps are rounds of loops and calls; signs are all texts made on the way, together.
_STEPS, _STEPS_OF_A_MESSAGE = 20_000, 500
_SIGNS, _SIGNS_OF_A_SIGN = 1_000_000, 200
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "safe", "select", "selectattr", "sort", "string", "title", "tojson", "trim", "unique", "upper",
)  # fmt: skip
_METHODS = {
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "lower", "upper", "title",
    "capitalize", "replace", "find", "rfind", "index", "count", "removeprefix", "removesuffix", "partition",
    "rpartition", "join", "isdigit", "isspace", "isalpha", "isupper", "islower", "items", "keys", "values", "get",
}  # fmt: skip
_GLANCES = {"length", "count", "first", "last"}  # look at no more than one item
_PLAIN = (str, LoopContext, Namespace)
_PASSED = "jinja_pass_arg"
_REACHING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)


class TemplateRefusedError(Exception):
    """Why a template cannot be used, or not for this conversation: a part of a sentence."""


class _Generation(Extension):
    """`{% generation %}`, which transformers knows: it marks what the model says, and writes what stands in it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> List[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Budget:
    """What is left for one rendering."""

    def __init__(self) -> None:
        self.steps = self.signs = 0

    def step(self, count: int = 1) -> None:
        self.steps -= count
        if self.steps < 0:
            raise TemplateRefusedError("it goes on for longer than a conversation of that size can need")

    def text(self, size: int) -> None:
        self.signs -= size
        if self.signs < 0:
            raise TemplateRefusedError("it writes more than a conversation of that size can need")

    def whole(self, values: Iterable[object]) -> None:
        """Count all that hangs on values: lists in lists double with every level, whatever memory they share."""
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.text(len(value))
            elif isinstance(value, (list, tuple)):
                self.text(len(value))
                waiting += value
            elif isinstance(value, dict):
                self.text(len(value))
                waiting += value.values()
            elif isinstance(value, Namespace):
                waiting.append(object.__getattribute__(value, "_Namespace__attrs"))


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"], cache_size=0
        )
        self.budget = _Budget()
        self.filters = {name: self._counted_filter(name, self.filters[name]) for name in _FILTERS}
        self.filters.update(replace=self._replace, join=self._join, tojson=_to_json)
        self.filters.update({"-rounds": self._rounds, "-joined": self._joined})
        self.filters.update({"-written": self._written, "-item": self._item})
        self.globals = {
            "namespace": self.globals["namespace"], "dict": dict, "range": self._range,
            "raise_exception": _raise_exception,
        }  # fmt: skip

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 - jinja2's own
        if callable(value) and attr not in _METHODS:
            return False
        # of these, jinja2 keeps back nothing but such names; to be told so costs more than the template's own work
        if type(obj) in _PLAIN:
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401
        # most are `message.content`: asking the object first, as jinja2 does, costs as much as all else of a template
        if type(obj) is dict and attribute in obj and attribute not in _METHODS:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: object) -> None:
        """`format` could make any width of one sign: it is no method that a template has."""

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self.budget.step()
        self.budget.whole([*args, *(value for key, value in kwargs.items() if not key.startswith("_"))])
        name, owner = getattr(obj, "__name__", ""), getattr(obj, "__self__", None)
        if isinstance(owner, str):
            self.budget.text(len(owner))
            if name == "replace":
                return self._replace(owner, *args)
            if name == "join":
                return self._join(args[0] if args else (), owner)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.budget.text(len(left) + len(right))
            return left + right
        sizes = [len(item) for item in (left, right) if hasattr(item, "__len__")]
        if operator == "+" and sizes:
            self.budget.text(sum(sizes))
        elif operator != "+" and (sizes or operator == "**"):
            raise TemplateRefusedError(f"it calculates with `{operator}` what could become very large")
        elif operator == "*" and max(abs(left), abs(right)) > 2**32:
            raise TemplateRefusedError("it calculates with very large numbers")
        return super().call_binop(context, operator, left, right)

    def _counted_filter(self, name: str, function: Any) -> Any:  # noqa: ANN401
        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            self.budget.step()
            if name not in _GLANCES:
                self.budget.whole([*args, *kwargs.values()])
            return function(*args, **kwargs)

        # says whether a filter is given the environment before its arguments
        if hasattr(function, _PASSED):
            setattr(counted, _PASSED, getattr(function, _PASSED))
        return counted

    def _item(self, value: object) -> object:
        """An item of a list that the template writes down."""
        self.budget.whole([value])
        return value

    def _rounds(self, items: Iterable[object]) -> Iterator[object]:
        """The items of a loop, counted."""
        for item in items:
            self.budget.step()
            yield item

    def _joined(self, parts: Sequence[object]) -> str:
        """What `~` makes."""
        texts = [str(part) for part in parts]
        self.budget.text(sum(map(len, texts)))
        return "".join(texts)

    def _written(self, value: object) -> object:
        """What is written, but not yet to the end: in a macro, or into a variable."""
        self.budget.step()
        self.budget.text(len(str(value)))
        return value

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        self.budget.step(len(found))
        return found

    def _replace(self, text: str, old: str, new: str, count: Optional[int] = None) -> str:
        text, old, new = str(text), str(old), str(new)
        self.budget.text(len(text) + text.count(old) * len(new))
        return text.replace(old, new, -1 if count is None else count)

    def _join(self, items: Iterable[object], between: str = "", attribute: Optional[str] = None) -> str:
        if attribute is not None:
            items = [item[attribute] if isinstance(item, dict) else "" for item in items]
        texts = [str(item) for item in items]
        self.budget.text(sum(map(len, texts)) + len(between) * len(texts))
        return between.join(texts)


def _raise_exception(message: object = "") -> None:
    raise TemplateRefusedError(f"it says: {str(message)[:200]}")


def _to_json(value: object, indent: Optional[int] = None, **_options: object) -> str:
    """As transformers' own: without HTML escapes."""
    return json.dumps(value, ensure_ascii=False, indent=min(indent, 8) if indent else None)


class SandboxedTemplate:
    """A chat template that can be rendered. Raises TemplateRefusedError for one that is not to be run."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE:
            raise TemplateRefusedError(f"it has {len(source):,} characters, far more than such templates have")
        self._environment = _Environment()
        try:
            tree = self._environment.parse(source)
            _check(tree)
            self._template = self._environment.from_string(_count(tree))
            # jinja2 copies them for each text, and its chain of two tables takes several times as long as one
            self._template.globals = dict(self._template.globals)
        except TemplateSyntaxError as error:
            raise TemplateRefusedError(f"line {error.lineno}: {error.message}") from error
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise TemplateRefusedError(str(error) or type(error).__name__) from error

    def render(self, messages: Sequence[Dict[str, object]], variables: Dict[str, object]) -> str:
        """What it writes of a conversation. Raises TemplateRefusedError."""
        budget, size = self._environment.budget, _count_signs([*messages, variables.get("tools")])
        budget.steps = _STEPS + _STEPS_OF_A_MESSAGE * len(messages)
        budget.signs = limit = _SIGNS + _SIGNS_OF_A_SIGN * size
        parts: List[str] = []
        try:
            for part in self._template.generate(messages=list(messages), **variables):
                parts.append(part)
                limit -= len(part)
                budget.steps -= 1
                if limit < 0 or budget.steps < 0:
                    raise TemplateRefusedError("it writes more than a conversation of that size can need")
        except TemplateRefusedError:
            raise
        except SecurityError as error:
            raise TemplateRefusedError(f"it reaches for what is not its own: {error}") from error
        except (TemplateError, RecursionError) as error:
            raise TemplateRefusedError(str(error)[:200] or type(error).__name__) from error
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, IndexError, LookupError) as error:
            raise TemplateRefusedError(f"it fails: {str(error)[:200]}") from error
        return "".join(parts)


def _count_signs(values: List[object]) -> int:
    """The letters of all texts, however deep they stand."""
    size, waiting = 0, values
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return size


def _check(tree: nodes.Template) -> None:
    """Refuse what no chat template needs."""
    for node in tree.find_all(_REACHING):
        raise TemplateRefusedError(f"line {node.lineno}: it reaches for another template")
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise TemplateRefusedError(f"line {attribute.lineno}: it reaches for `{attribute.attr[:40]}`")
    for item in tree.find_all(nodes.Getitem):
        name = item.arg.value if isinstance(item.arg, nodes.Const) else None
        if isinstance(name, str) and name.startswith("_"):
            raise TemplateRefusedError(f"line {item.lineno}: it reaches for `{name[:40]}`")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateRefusedError(f"line {loop.lineno}: it has a loop that calls itself")
    for used in tree.find_all(nodes.Filter):
        if used.name not in _FILTERS:
            raise TemplateRefusedError(f"line {used.lineno}: the filter `{used.name[:40]}` is none of chat templates")
    for block in tree.find_all(nodes.FilterBlock):
        raise TemplateRefusedError(f"line {block.lineno}: a filter block is none of chat templates")


def _count(tree: nodes.Template) -> nodes.Template:
    """Let loops and `~` go through what counts them; filters, other than names, cannot be set anew by the template."""
    for loop in tree.find_all(nodes.For):
        loop.iter = _filtered(loop.iter, "-rounds", tree)
    for kept in tree.find_all((nodes.AssignBlock, nodes.Macro, nodes.CallBlock)):
        for output in kept.find_all(nodes.Output):
            output.nodes = [_filtered(_constant(node), "-written", tree) for node in output.nodes]
    lists: List[Union[nodes.List, nodes.Tuple]] = [*tree.find_all(nodes.List)]
    # a tuple may also be the names on the left of a `set`
    for made in lists + [pair for pair in tree.find_all(nodes.Tuple) if pair.ctx == "load"]:
        made.items = [_filtered(node, "-item", tree) for node in made.items]
    for pair in [*tree.find_all(nodes.Pair)]:
        pair.value = _filtered(pair.value, "-item", tree)
    for parent in [tree, *tree.find_all(nodes.Node)]:
        for name, value in parent.iter_fields():
            if isinstance(value, nodes.Concat):
                setattr(parent, name, _filtered(nodes.List(value.nodes, lineno=value.lineno), "-joined", tree))
            elif isinstance(value, list):
                value[:] = [
                    _filtered(nodes.List(item.nodes, lineno=item.lineno), "-joined", tree)
                    if isinstance(item, nodes.Concat)
                    else item
                    for item in value
                ]
    return tree


def _constant(node: nodes.Node) -> nodes.Node:
    return nodes.Const(node.data, lineno=node.lineno) if isinstance(node, nodes.TemplateData) else node


def _filtered(node: nodes.Node, name: str, tree: nodes.Template) -> nodes.Filter:
    made = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
    if tree.environment is not None:
        made.set_environment(tree.environment)
    return made

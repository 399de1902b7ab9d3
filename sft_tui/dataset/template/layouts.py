"""Knows the templates of FastChat's registry and a few of today's: how each writes a conversation, or why not.

`layouts.json` holds what was learned by watching FastChat 0.2.36: conversations of marked texts were rendered, cut at
every place where a message is added, and each rendering had to begin with the one before it. What lies between the
marks is the layout. Nothing is guessed: a template that does not nest, changes the texts, numbers its rounds, or does
not say where an answer ends is refused. The tests learn all of it anew where FastChat is installed.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Collection, Dict, List, Optional, Tuple

from sft_tui.dataset.template.chat import CHAT, load_chat_template
from sft_tui.errors import InvalidInputError, SftError

if TYPE_CHECKING:
    from sft_tui.dataset.tokenizer.load import Tokenizer

DEFAULT_TEMPLATE = "vicuna_v1.1"
SENTENCEPIECE, HUGGING_FACE = "sentencepiece", "hf"
# The tokens of Llama 1 and 2; the first begins a text, so that it cannot end an answer.
_LLAMA_END_TOKENS = ("</s>",)
_POPULAR = (DEFAULT_TEMPLATE, "llama-2", "llama-3", "alpaca", "qwen-7b-chat", "chatml")
_TOKEN_LIKE = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class TemplateLayout:
    """How a template writes a conversation.

    `head` + question + `middle` + `lead` + answer + `end`, then `between` + question + `middle` + ... . With a system
    turn, `system[0]` + its text + `system[1]` stand instead of `head`; None: there is no place for one. `middle` ends
    with the words that a model is given to make it answer, without spaces behind them: tokens hold a space with the
    word behind it, so that the first word would not be learned. Those are in `lead`. `stops` are the template's own
    stop strings. `strip`: texts lose the blanks around them.
    """

    name: str
    head: str
    system: Optional[Tuple[str, str]]
    middle: str
    lead: str
    end: str
    between: str
    stops: Tuple[str, ...] = ()
    strip: bool = False


class _RefusedError(Exception):
    """Why a template cannot be used: a part of a sentence."""


@cache
def _own_templates() -> Dict[str, TemplateLayout]:
    """Templates that the registry of FastChat 0.2.36 does not have."""
    user, assistant = (f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in ("user", "assistant"))
    system = "<|start_header_id|>system<|end_header_id|>\n\n"
    chatml_user, chatml_middle = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    return {
        # Meta's model card of Llama 3: each message ends with <|eot_id|>, blanks around its text are dropped.
        "llama-3": TemplateLayout(
            "llama-3", user, (system, f"<|eot_id|>{user}"), f"<|eot_id|>{assistant}", "", "<|eot_id|>", user, strip=True
        ),
        # The registry's qwen-7b-chat without the system prompt that it puts before every conversation.
        "chatml": TemplateLayout(
            "chatml",
            chatml_user,
            ("<|im_start|>system\n", f"<|im_end|>\n{chatml_user}"),
            chatml_middle,
            "",
            "<|im_end|>\n",
            chatml_user,
        ),
        # Question and answer as they are, for models without words of their own for that: GPT-2 was never in a dialog.
        "gpt2": TemplateLayout("gpt2", "", ("", "\n\n"), "\n", "", "<|endoftext|>", ""),
    }


def list_templates(kind: str = HUGGING_FACE) -> List[str]:
    """The names usable with a tokenizer of that kind, sorted: "sentencepiece" (with Llama's special tokens), or "hf"
    (with all tokens that the template writes; `check_template` tells whether a given tokenizer has them).
    """
    return sorted(name for name in all_templates() if not why_refused(name, kind))


def all_templates() -> List[str]:
    """Every name of the registry and of our own, usable or not, sorted."""
    layouts, refused = _frozen()
    return sorted({*layouts, *refused, *_own_templates()})


def why_refused(name: str, kind: str = HUGGING_FACE) -> str:
    """Why a known template cannot be used with a tokenizer of that kind, "" when it can."""
    try:
        layout = _find(name)
        if kind == SENTENCEPIECE:
            find_end(layout, _LLAMA_END_TOKENS)
        elif not layout.end.strip():
            find_end(layout, ())
    except _RefusedError as refused:
        return str(refused)
    return ""


def load_layout(name: str) -> TemplateLayout:
    """The layout of a template; raises InvalidInputError for an unknown name, and for one that is refused."""
    if name not in all_templates():
        raise InvalidInputError(f"There is no template `{name}`.", _hint(name, list_templates()))
    try:
        return _find(name)
    except _RefusedError as refused:
        raise InvalidInputError(
            f"Template `{name}` cannot be used: {refused}.", _hint(name, list_templates())
        ) from None


def check_template(name: str, tokenizer: Tokenizer) -> int:
    """How many characters of the layout's `end` are trained; raises InvalidInputError with the reason and close names.

    The tokenizer must have, as one token, what ends an answer. `chat` is the template in the tokenizer's folder, which
    has no layout.
    """
    if name == CHAT:
        load_chat_template(tokenizer)
        return 0
    layout = load_layout(name)
    tokens = _end_tokens(tokenizer)
    try:
        return find_end(layout, tokens)
    except _RefusedError as refused:
        usable = [other for other in list_templates() if _ends(load_layout(other), tokens)]
        raise InvalidInputError(
            f"Template `{name}` cannot be used with {tokenizer.path.name}: {refused}.", _hint(name, usable)
        ) from None


def suggest_template(tokenizer: Tokenizer) -> str:
    """The chat template of the tokenizer's folder, else one for models without chat; empty: neither fits."""
    try:
        load_chat_template(tokenizer)
    except SftError:
        return "gpt2" if _ends(load_layout("gpt2"), _end_tokens(tokenizer)) else ""
    return CHAT


def _end_tokens(tokenizer: Tokenizer) -> List[str]:
    """The special tokens that may end an answer: not those that begin a text or fill a row."""
    others = {tokenizer.bos_id, tokenizer.pad_id} - {tokenizer.eos_id}
    return [text for text, number in tokenizer.special_tokens.items() if number not in others]


def _ends(layout: TemplateLayout, tokens: Collection[str]) -> bool:
    try:
        return find_end(layout, tokens) > 0
    except _RefusedError:
        return False


def find_end(layout: TemplateLayout, tokens: Collection[str]) -> int:
    """How many characters of `end` a model must learn, so that it knows when to stop: up to the first token of the
    tokenizer in it, else up to the first of the template's own stop strings. Raises _RefusedError when there is none.

    A stop string that looks like a token has to be one: spelled in letters it would not be what the model knows.
    """
    spelled = [stop for stop in layout.stops if not _TOKEN_LIKE.fullmatch(stop)]
    for marks in (tokens, spelled):
        found = [layout.end.find(mark) + len(mark) for mark in marks if mark and mark in layout.end]
        if found:
            return min(found)
    if not layout.end.strip():
        raise _RefusedError(
            f"it ends an answer with {layout.end!r}, which answers hold as well: a model could not learn where to stop"
            if layout.end
            else "it writes nothing behind an answer: a model could not learn where to stop"
        )
    missing = _TOKEN_LIKE.findall(layout.end) or [layout.end.strip()]
    raise _RefusedError(f"the tokenizer has no token `{missing[0]}`, which ends an answer")


@cache
def _frozen() -> Tuple[Dict[str, TemplateLayout], Dict[str, str]]:
    """The layouts of FastChat's templates, and why others have none, by name."""
    content = json.loads(Path(__file__).with_name("layouts.json").read_text(encoding="utf-8"))
    layouts: Dict[str, TemplateLayout] = {}
    for name, parts in content["layouts"].items():
        system, stops = parts.pop("system"), parts.pop("stops")
        layouts[name] = TemplateLayout(name, **parts, system=system and tuple(system), stops=tuple(stops))
    return layouts, content["refused"]


def _find(name: str) -> TemplateLayout:
    """The layout of a known template; raises _RefusedError."""
    layouts, refused = _frozen()
    if name in refused:
        raise _RefusedError(refused[name])
    return _own_templates().get(name) or layouts[name]


def _hint(name: str, usable: List[str]) -> str:
    """Up to five usable templates: those with a name like it, else those that are asked for most."""
    close = difflib.get_close_matches(name, usable, n=5, cutoff=0.5) or [item for item in _POPULAR if item in usable]
    return f"Usable, for example: {', '.join(close or usable[:5])}." if usable else "Give the tokenizer of the model."

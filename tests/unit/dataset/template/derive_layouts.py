"""Learns the layouts of FastChat's templates by watching it write marked texts, as `layouts.json` holds them.

`SFT_TUI_WRITE_GOLDEN=1 pytest tests/unit/dataset/template/test_frozen_layouts.py` writes that file anew: read the diff
then. Conversations of marked texts are rendered, cut at every place where a message is added, and each rendering must
begin with the one before it. What lies between the marks is the layout.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib import metadata
from typing import Any, Collection, Dict, List, Optional, Tuple

from sft_tui.dataset.template.layouts import TemplateLayout


class NoLayoutError(Exception):
    """Why a template has no layout: a part of a sentence."""


def derive_all() -> Dict[str, object]:
    """All that `layouts.json` holds, of the FastChat that is installed."""
    from fastchat.conversation import conv_templates

    layouts: Dict[str, object] = {}
    refused: Dict[str, str] = {}
    for name in sorted(conv_templates):
        try:
            parts = asdict(derive_layout(name))
        except NoLayoutError as error:
            refused[name] = str(error)
        else:
            layouts[name] = {key: value for key, value in parts.items() if key not in ("name", "strip")}
    return {"fschat": metadata.version("fschat"), "layouts": layouts, "refused": refused}


def derive_layout(name: str) -> TemplateLayout:
    """The layout of a template of the registry; raises NoLayoutError."""
    from fastchat.conversation import get_conv_template

    template: Any = get_conv_template(name)
    if template.sep_style is None:
        raise NoLayoutError("it is for a service that takes messages, and writes no text")
    texts = [f" \u2603{index} a\r\n\n<n> b: </n>\n" for index in range(6)]
    layout = _read_layout(template, name, texts)
    _check_layout(template, layout, texts)
    _check_layout(template, layout, [f"\u2604\t{index}\u2602" for index in range(6)])
    middle = layout.middle.rstrip(" ")
    return replace(layout, middle=middle, lead=layout.middle[len(middle) :] + layout.lead)


def _read_layout(template: Any, name: str, texts: List[str]) -> TemplateLayout:
    one = _render(template, [texts[0], texts[1]])
    opened = _render(template, [texts[0], None])
    two = _render(template, [texts[0], texts[1], texts[2], None])
    head, _, middle = _cut(opened, texts[0])
    if not one.startswith(opened):
        raise NoLayoutError("what it writes before an answer changes once the answer is there")
    lead, _, end = _cut(one[len(opened) :], texts[1])
    between, _, _ = _cut(two[len(one) :] if two.startswith(one) else "", texts[2])
    system: Optional[Tuple[str, str]] = None
    asked = _render(template, [texts[0]], system=texts[3])
    if texts[3] in asked:
        before, _, after = _cut(asked, texts[3])
        system = before, _cut(after, texts[0])[0]
    stops = template.stop_str or ()
    return TemplateLayout(
        name, head, system, middle, lead, end, between, (stops,) if isinstance(stops, str) else tuple(stops)
    )


def _check_layout(template: Any, layout: TemplateLayout, texts: List[str]) -> None:
    """Raise NoLayoutError unless the layout writes what the template writes, at every stage of three rounds."""
    systems = [None] if layout.system is None else [None, "\u2605 s"]
    for system in systems:
        written = layout.head if system is None or layout.system is None else system.join(layout.system)
        for index in range(0, len(texts), 2):
            opened = written + texts[index] + layout.middle
            rendered = _render(template, [*texts[: index + 1], None], system=system)
            asked = _render(template, texts[: index + 1], system=system)
            if rendered != opened or not opened.startswith(asked):
                raise NoLayoutError("it does not write every round alike")
            written = opened + layout.lead + texts[index + 1] + layout.end
            if _render(template, texts[: index + 2], system=system) != written:
                raise NoLayoutError("it does not write every round alike")
            written += layout.between


def _render(template: Any, texts: Collection[Optional[str]], system: Optional[str] = None) -> str:
    """What the template writes, its example conversation included."""
    filled = template.copy()
    if system is not None:
        filled.set_system_message(system)
    for index, text in enumerate(texts):
        filled.append_message(filled.roles[index % 2], text)
    prompt: str = filled.get_prompt()
    return prompt


def _cut(text: str, mark: str) -> Tuple[str, str, str]:
    if text.count(mark) != 1:
        raise NoLayoutError("it changes the texts that it is given")
    return text.partition(mark)

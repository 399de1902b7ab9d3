"""The hubs, one row each: address, tokens, page, and what lists a repository there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.hub.huggingface import list_hugging_face
from sft_tui.hub.listing import Kind, Listing
from sft_tui.hub.modelers import list_modelers
from sft_tui.hub.modelscope import list_modelscope
from sft_tui.hub.network import Network, Token
from sft_tui.hub.tokens import find_token, hugging_face_files, openmind_files, token_of_variable
from sft_tui.paths import variable

Lister = Callable[[Network, str, str, Kind, str, Optional[Token]], Listing]


@dataclass(frozen=True)
class Source:
    """One hub. `base` is its address without a slash at the end; `tokens` are environment variables with its token."""

    name: str
    title: str
    base: str
    list_files: Lister
    tokens: Tuple[str, ...] = ()
    token_files: Callable[[], Tuple[Path, ...]] = tuple
    cookie: str = ""
    is_mirror: bool = False  # of another hub, whose token it gets only when it is asked for by name

    def find_token(self, named: str = "") -> Optional[Token]:
        """The token for this host: of the variable that the user names, else where the hub's own tools have it."""
        if named:
            return token_of_variable(self.base, named)
        return (
            None if self.is_mirror else find_token(self.base, self.tokens, files=self.token_files(), cookie=self.cookie)
        )


HF_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
SOURCES: Dict[str, Source] = {
    source.name: source
    for source in (
        Source("hf", "Hugging Face", "https://huggingface.co", list_hugging_face, HF_TOKENS, hugging_face_files),
        Source("hf-mirror", "hf-mirror.com", "https://hf-mirror.com", list_hugging_face, is_mirror=True),
        Source(
            "modelscope", "ModelScope", "https://www.modelscope.cn", list_modelscope, ("MODELSCOPE_API_TOKEN",),
            cookie="m_session_id",
        ),
        Source("modelers", "Modelers", "https://modelers.cn", list_modelers, ("OPENMIND_HUB_TOKEN",), openmind_files),
    )
}  # fmt: skip
AUTO = "auto"
# addresses that the hubs' own tools take from the environment
_MOVED = {"hf": "HF_ENDPOINT", "modelscope": "MODELSCOPE_ENDPOINT", "modelers": "OPENMIND_HUB_ENDPOINT"}
_LISTERS: Dict[str, Lister] = {"hf": list_hugging_face, "modelscope": list_modelscope, "modelers": list_modelers}


def find_sources(word: str) -> Tuple[Source, ...]:
    """Those that --from names: a hub, `auto` for all in order, an address, or KIND=ADDRESS for a hub like that.

    Raises InvalidInputError.
    """
    if word == AUTO:
        return tuple(_moved(source) for source in SOURCES.values())
    if word in SOURCES:
        return (_moved(SOURCES[word]),)
    kind, _, address = word.partition("=") if not word.startswith(("http://", "https://")) else ("hf", "", word)
    if kind in _LISTERS and address.startswith(("http://", "https://")):
        return (Source(address, address, address.rstrip("/"), _LISTERS[kind], is_mirror=True),)
    raise InvalidInputError(
        f"--from {word!r} is no source.", f"Known: auto, {', '.join(SOURCES)}, or an address (https://...)."
    )


def _moved(source: Source) -> Source:
    base = variable(_MOVED.get(source.name, ""))
    if not base.startswith(("http://", "https://")) or base.rstrip("/") == source.base:
        return source
    # the user has moved the hub there: what its own tools would send goes there as well
    return replace(source, title=f"{source.title} at {base}", base=base.rstrip("/"))

"""What is known of one release of MindFormers: what it runs with, and what is special about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping


@dataclass(frozen=True)
class Release:
    """One release of MindFormers; the rows stand in stack/releases.py."""

    mindformers: str  # "1.7", for all of 1.7.x
    mindspore: tuple[str, ...]  # version prefixes that it runs with
    cann: str  # it came out with
    driver: str
    optimizer: str  # type of the YAML
    betas_as_list: bool  # `betas: [a, b]` in place of `beta1`, `beta2`
    python: tuple[int, int] = (3, 11)  # the newest that its MindSpore has wheels for
    python_from: tuple[int, int] = (3, 9)  # the oldest
    mindspore_on_cpu: tuple[str, ...] = ()  # others that it was seen to train with, but on CPU alone
    cpu: bool = True  # trains on CPU, with one worker and with several
    graceful_exit: bool = False  # saves a checkpoint and ends when it is asked to (`use_graceful_exit`)
    graceful_on_cpu: bool = False  # the same on CPU alone, by our training cell and MS_ENABLE_GRACEFUL_EXIT
    eval_callbacks: bool = False  # evaluation wants the key, if only empty
    transformers: str = ""  # the version that its requirements.txt names, alone or from which on (">=5.3")
    rope_scaling: tuple[str, ...] = ("linear", "llama3")  # kinds (Hugging Face's `rope_type`) that its Llama has
    ties_embeddings: bool = True  # its Llama can have one matrix for embeddings and output layer
    needs: tuple[str, ...] = ()  # packages that it imports and pip may not bring
    end_of_life: str = ""  # the day on which its support ends (2026-07-27), where its makers have said so
    pads_with_token_0: bool = False  # the token 0 counts as padding on the direct route, whatever the tokenizer says
    # a key of model_config that it calls unknown, which is an error there -> what has taken its place
    renamed: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()  # classes that YAML files of earlier ones name

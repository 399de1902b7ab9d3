"""A monkey at the keyboard: 500 random keys and resizes a round, at any speed, against the real wizard.

It must neither end by itself nor show a traceback, and afterwards it still quits with exit code 0.
"""

from __future__ import annotations

import random
import string
import time

from tests.benchmarks.attack.frame import Frame
from tests.benchmarks.attack.wizard_in_pty import KEYS, WizardInPty

KEYS_A_ROUND = 500
PAUSES = (0.0, 0.0, 0.005, 0.02, 0.1)  # seconds between keys
_TEXT = [character.encode() for character in string.printable[:95] + "é中\u202e"]
# it is asked to quit at the end; ctrl+z and ctrl+c are keys like others in a raw terminal
_NAMED = [keys for name, keys in KEYS.items() if name != "ctrl+q"]


def run(seconds: float, seed: int) -> list[tuple[str, int, int]]:
    """What was tried, how often, and how often it held; at least one round, whatever the time."""
    end = time.monotonic() + seconds
    rounds = typed = survived = quits = clean = 0
    while rounds == 0 or time.monotonic() < end:
        dice = random.Random(seed + rounds)
        rounds += 1
        with WizardInPty() as wizard:
            alive = wizard.start()
            for _ in range(KEYS_A_ROUND):
                typed += 1
                alive = alive and _poke(wizard, dice)
                survived += alive
            quits += alive and wizard.quit() == 0
            clean += b"Traceback" not in wizard.seen and b"unexpected error" not in wizard.seen
    return [
        ("monkey: keys and resizes after which the wizard lives", typed, survived),
        ("monkey: rounds without a traceback", rounds, clean),
        ("monkey: rounds after which it quits", rounds, quits),
    ]


def _poke(wizard: WizardInPty, dice: random.Random) -> bool:
    kind = dice.random()
    if kind < 0.04:
        wizard.resize(dice.choice((10, 20, 40, 80, 160, 300)), dice.choice((3, 6, 12, 24, 50)))
        return wizard.read(0.01)
    keys = dice.choice(_NAMED) if kind < 0.6 else dice.choice(_TEXT)
    return wizard.press(keys) and wizard.read(dice.choice(PAUSES))


def attack(frame: Frame) -> None:
    """About three seconds for each round of the others, and one round of its own at least."""
    for what, tried, held in run(3.0 * frame.rounds, frame.seed):
        frame.count(what, tried, held)

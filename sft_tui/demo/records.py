"""Makes instruction records for the rehearsal from small tables."""

from __future__ import annotations

from typing import Iterator

Record = dict[str, str]

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_UNITS = (
    ("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("hours", "minutes", 60), ("minutes", "seconds", 60),
    ("kilograms", "grams", 1000), ("weeks", "days", 7), ("litres", "millilitres", 1000), ("days", "hours", 24),
)  # fmt: skip
_PLURALS = (
    ("cat", "cats"), ("box", "boxes"), ("child", "children"), ("leaf", "leaves"), ("mouse", "mice"), ("city", "cities"),
    ("tooth", "teeth"), ("hero", "heroes"), ("sheep", "sheep"), ("knife", "knives"), ("story", "stories"),
    ("goose", "geese"), ("watch", "watches"), ("key", "keys"), ("wolf", "wolves"), ("bus", "buses"),
)  # fmt: skip
_PAST = (
    ("go", "went"), ("see", "saw"), ("take", "took"), ("write", "wrote"), ("bring", "brought"), ("sing", "sang"),
    ("walk", "walked"), ("carry", "carried"), ("stop", "stopped"), ("find", "found"), ("know", "knew"), ("run", "ran"),
    ("build", "built"), ("teach", "taught"), ("try", "tried"), ("speak", "spoke"),
)  # fmt: skip
_OPPOSITES = (
    ("hot", "cold"), ("early", "late"), ("deep", "shallow"), ("empty", "full"), ("heavy", "light"), ("narrow", "wide"),
    ("loud", "quiet"), ("rough", "smooth"), ("ancient", "modern"), ("brave", "timid"), ("bitter", "sweet"), ("dark", "bright"),
)  # fmt: skip
_CAPITALS = (
    ("France", "Paris"), ("Japan", "Tokyo"), ("Egypt", "Cairo"), ("Peru", "Lima"), ("Kenya", "Nairobi"), ("China", "Beijing"),
    ("Norway", "Oslo"), ("Canada", "Ottawa"), ("Chile", "Santiago"), ("India", "New Delhi"), ("Cuba", "Havana"),
    ("Greece", "Athens"), ("Poland", "Warsaw"), ("Ghana", "Accra"), ("Nepal", "Kathmandu"), ("Ireland", "Dublin"),
)  # fmt: skip
_LEGS = (("spider", 8), ("horse", 4), ("ant", 6), ("duck", 2), ("crab", 10), ("frog", 4), ("bee", 6), ("owl", 2))


def build_records() -> list[Record]:
    """All records, in a fixed order; about a third of them have an `input`."""
    return [*_arithmetic(), *_units(), *_words(), *_facts()]


def _record(instruction: str, output: str, text: str = "") -> Record:
    return {"instruction": instruction, "input": text, "output": output}


def _arithmetic() -> Iterator[Record]:
    for a in range(2, 15):
        for b in range(1, a):
            yield _record(f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")
    for a in range(3, 13, 2):
        for b in range(2, 8):
            yield _record("Multiply the two numbers.", f"The product is {a * b}.", f"{a}, {b}")
    for a in range(12, 30, 3):
        for b in (1, 4, 7, 9):
            yield _record(f"Subtract {b} from {a}.", f"{a} minus {b} is {a - b}.")
    for value, name in enumerate(_NUMBERS):
        yield _record("Write the number as a word.", f"The number {value} is written {name}.", str(value))


def _units() -> Iterator[Record]:
    for large, small, factor in _UNITS:
        for count in (2, 3, 5, 8, 12):
            yield _record(f"How many {small} are {count} {large}?", f"{count} {large} are {count * factor} {small}.")


def _words() -> Iterator[Record]:
    for word, plural in _PLURALS:
        yield _record("Give the plural of the noun.", f"The plural of {word} is {plural}.", word)
        yield _record(f"How does one write more than one {word}?", f"One writes {plural}.")
    for verb, past in _PAST:
        yield _record("Give the past tense of the verb.", f"The past tense of {verb} is {past}.", verb)
    for word, opposite in _OPPOSITES:
        yield _record(f"What is the opposite of {word}?", f"The opposite of {word} is {opposite}.")
        yield _record("Name the opposite.", f"The opposite of {opposite} is {word}.", opposite)


def _facts() -> Iterator[Record]:
    for country, capital in _CAPITALS:
        yield _record(f"What is the capital of {country}?", f"The capital of {country} is {capital}.")
        yield _record("Name the country of this capital.", f"{capital} is the capital of {country}.", capital)
    for animal, legs in _LEGS:
        yield _record(f"How many legs does a {animal} have?", f"A {animal} has {_NUMBERS[legs]} legs.")

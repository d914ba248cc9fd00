"""Short prompts of our own that models are compared on: plain prose, facts, lists, numbers, code, dialogue."""

from __future__ import annotations

MOST_PROMPTS = 200
"""Of a list of the user's own."""
FEWEST_PROMPTS = 8
"""Prompts below which figures over them have no interval."""

PROMPTS: tuple[str, ...] = (
    "The history of the lighthouse begins in",
    "Water boils at a lower temperature in the mountains because",
    "To bake a simple loaf of bread, you first",
    "The three largest countries in the world by area are",
    "def average(numbers):\n    ",
    "Dear Ms Keller,\n\nThank you for your letter of",
    '"Where have you been all day?" she asked. He looked at the floor and',
    "If a train covers 60 kilometres in one hour, then in three hours it",
    "The heart is a muscle that",
    "On Monday the council decided to close the old bridge, although",
)

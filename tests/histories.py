"""The life of a world: use cases begin at random, move one at a time, and each move is checked."""

from __future__ import annotations

from typing import Final

from tests.world import World

STEPS: Final = 220


def live(world: World, steps: int = STEPS) -> None:
    """Let a world live for so many steps, and then bring to their ends all that was begun."""
    happenings = world.happenings
    together_max = world.chance.choice([1, 3, 4, 7])
    for _ in range(steps):
        if world.interleaving.running < together_max and world.chance.random() < 0.6:
            world.interleaving.start(world.chance.choice(happenings))
        if world.chance.random() < 0.04:
            world.pass_time()
        if world.interleaving.running:
            world.interleaving.move()
        world.check()
    while world.interleaving.running:
        world.interleaving.move()
        world.check()
    world.check_rest()

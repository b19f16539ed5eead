"""Mistakes made on purpose in right solutions, for the training of the PRM."""

import random
import re


def edit(rng: random.Random, solution: list[str]) -> list[str]:
    """Make one small mistake: another digit or sign, a step left out or written twice, or an early end."""
    steps = list(solution)
    kind = rng.random()
    if kind < 0.8:
        i = rng.randrange(len(steps))
        places = [k for k, c in enumerate(steps[i]) if c.isdigit() or c in "+-"]
        k = rng.choice(places or [0])
        new = rng.choice("0123456789" if steps[i][k].isdigit() else "+-")
        steps[i] = steps[i][:k] + new + steps[i][k + 1 :]
    elif kind < 0.9:
        del steps[rng.randrange(len(steps))]
    else:
        i = rng.randrange(len(steps))
        steps.insert(i, steps[i])
    return steps or solution


def slip(rng: random.Random, solution: list[str]) -> list[str]:
    """Make one mistake of arithmetic: a number behind an equals sign is off by 1, 2, 10 or 20, or has lost its sign."""
    steps = list(solution)
    number_after_equals = re.compile(r"(?<=[=+-])\d+(?!.*=)")
    i, number = rng.choice([(i, m) for i, s in enumerate(steps) if "=" in s for m in number_after_equals.finditer(s)])
    value, step = int(number[0]), steps[i]
    start, sign = number.start(), step[number.start() - 1]
    if sign in "+-" and rng.random() < 0.3:
        steps[i] = step[: start - 1] + ("-" if sign == "+" else "+") + step[start:]
    else:
        other = abs(value + rng.choice((-20, -10, -2, -1, 1, 2, 10, 20)))
        steps[i] = step[:start] + str(other) + step[number.end() :]
    return steps

"""Random arithmetic of the kind that `bantime.formula` may hold, and what Python makes of it.

Arguments: a seed and how many. A line of JSON for each: {"text": TEXT, "value": NUMBER or null}, null
where Python refuses it or it has no real, finite value.
"""

import json
import math
import random
import sys
import warnings

warnings.simplefilter("ignore")


class Ban:
    Time = 600
    Count = 3


NAMES = {"ban": Ban, "banFactor": 1.5, "math": math}
BINARY = ["+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", "and", "or"]
CALLS = [("min", 2), ("max", 3), ("abs", 1), ("int", 1), ("float", 1), ("round", 1), ("math.exp", 1),
         ("math.log", 1), ("math.log", 2), ("math.sqrt", 1), ("math.pow", 2), ("math.floor", 1),
         ("math.ceil", 1), ("math.log2", 1), ("math.log10", 1)]


def expression(rng, depth):
    kind = rng.random()
    if depth == 0 or kind < 0.2:
        return rng.choice(["0", "1", "2", "7", "20", "0.5", "2.75", "ban.Time", "ban.Count", "banFactor", "math.pi"])
    deeper = lambda: expression(rng, depth - 1)
    if kind < 0.27:
        # Python's whole numbers have no end, and would take all memory here.
        sign = rng.choice(["**", "<<", ">>", "**-"])
        return "(%s) %s%s" % (expression(rng, min(depth - 1, 1)), sign, rng.choice("0123"))
    if kind < 0.65:
        return "%s %s %s" % (deeper(), rng.choice(BINARY), deeper())
    if kind < 0.75:
        return "(%s)" % deeper()
    if kind < 0.82:
        return rng.choice(["-", "+", "not "]) + deeper()
    if kind < 0.88:
        return "(%s if %s else %s)" % (deeper(), deeper(), deeper())
    name, arguments = rng.choice(CALLS)
    return "%s(%s)" % (name, ", ".join(deeper() for _ in range(arguments)))


def value(text):
    try:
        result = float(eval(compile(text, "formula", "eval"), dict(NAMES)))
    except Exception:
        return None
    return result if math.isfinite(result) else None


def main():
    rng = random.Random(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        text = expression(rng, rng.randint(1, 4))
        print(json.dumps({"text": text, "value": value(text)}))


main()

"""What Python and Debian's fail2ban make of every stock pattern on every sample line.

Prints JSON lines: {"pattern", "names", "lines": [[subject, groups or null], ...]}, where a subject is
what fail2ban would show to the pattern, and groups are those with a name that took part.
"""

import glob
import json
import os
import random
import sys

sys.path.insert(0, "/usr/lib/python3/dist-packages")
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.failregex import Regex

CONFIG = "/etc/fail2ban"
SAMPLES = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs"


def patterns(name, options):
    with open(os.path.join(CONFIG, "filter.d", name + ".conf"), encoding="utf-8") as file:
        if "[Definition]" not in file.read():
            return []
    reader = FilterReader(name, "jail", options, share_config={}, basedir=CONFIG)
    if not reader.read():
        return []
    reader.getOptions({})
    found = []
    for command in reader.convert():
        kind, value = command[2], command[3]
        values = value if isinstance(value, list) else [value]
        if kind in ("addfailregex", "prefregex", "addignoreregex"):
            found += [(kind, text) for text in values]
    return found


def sample_lines(name):
    path = os.path.join(SAMPLES, name)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\n") for line in lines if line.strip() and not line.startswith("#")]


def mutated(lines, rng):
    for line in lines:
        yield line
        if len(line) < 4:
            continue
        cut = rng.randrange(len(line))
        other = rng.choice(lines)
        yield line[:cut] + rng.choice("\t\"'<>[]()%é\u00a0\x1c١") + line[cut:]
        yield line[:cut] + other[rng.randrange(len(other)) :]
        yield line[:cut] + line[cut + 1 :]


def main():
    rng = random.Random(int(sys.argv[1]))
    seen = set()
    for path in sorted(glob.glob(CONFIG + "/filter.d/*.conf")):
        name = os.path.basename(path)[: -len(".conf")]
        lines = sample_lines(name)
        # Messages as they are shown after the date is cut out: the whole line, and its end.
        subjects = []
        for line in mutated(lines, rng):
            subjects.append(line)
            for mark in (": ", "] "):
                if mark in line:
                    subjects.append(line.split(mark, 1)[1])
        for options in ({}, {"mode": "aggressive"}, {"logtype": "journal"}):
            try:
                found = patterns(name, options)
            except Exception:
                continue
            for kind, text in found:
                for names in ("yes", "no"):
                    if (name, text, names) in seen:
                        continue
                    seen.add((name, text, names))
                    try:
                        regex = Regex(text, useDns=names)
                    except Exception:
                        continue
                    out = []
                    for subject in subjects:
                        regex.search([(subject, "", "")])
                        groups = None
                        if regex.hasMatched():
                            matched = regex._matchCache.groupdict()
                            groups = {k: v for k, v in matched.items() if v is not None}
                        out.append([subject, groups])
                    print(json.dumps({"pattern": text, "names": names, "filter": name, "lines": out}))


main()

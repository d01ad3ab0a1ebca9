"""What Debian's fail2ban makes of its sample lines and of damaged ones, filter by filter.

Prints JSON lines, one for each filter with options: the filter as it is expanded, and for every line
in turn [line, findings], where a finding is [failregex, id, time, nofail, attempts, captures, users].
"""

import glob
import json
import logging
import os
import random
import re
import sys
import time

sys.path.insert(0, "/usr/lib/python3/dist-packages")
os.environ["TZ"] = "CET-01CEST-02,M3.5.0,M10.5.0"
time.tzset()

from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime
from fail2ban.server.utils import Utils

# It warns of every line without a date.
logging.disable(logging.CRITICAL)

CONFIG = "/etc/fail2ban"
SAMPLES = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs"
NOW = 1124013600


def read(name, options):
    """The expanded filter."""
    with open(os.path.join(CONFIG, "filter.d", name + ".conf"), encoding="utf-8") as file:
        if "[Definition]" not in file.read():
            return None
    reader = FilterReader(name, "jail", dict(options), share_config={}, basedir=CONFIG)
    if not reader.read():
        return None
    reader.getOptions({})
    found = {"prefregex": None, "failregex": [], "ignoreregex": [], "datepattern": None, "maxlines": 1}
    for command in reader.convert():
        values = command[3] if isinstance(command[3], list) else [command[3]]
        key = command[2]
        if key in ("addfailregex", "addignoreregex"):
            found[key[3:]] += values
        elif key in found:
            found[key] = values[0]
    return found if found["failregex"] else None


def build(source, every):
    """fail2ban's filter, as its own sample tests set it up."""
    flt = Filter(None)
    flt.returnRawHost = True
    flt.checkAllRegex = every
    flt.checkFindTime = False
    flt.active = True
    flt.setMaxLines(source["maxlines"])
    if source["prefregex"]:
        flt.prefRegex = source["prefregex"]
    for text in source["failregex"]:
        flt.addFailRegex(text)
    for text in source["ignoreregex"]:
        flt.addIgnoreRegex(text)
    if source["datepattern"]:
        flt.setDatePattern(source["datepattern"])
    # Its hundred sessions are too few to compare anything but which of them it forgets.
    flt._Filter__mlfidCache = Utils.Cache(maxCount=1000000, maxTime=86400)
    return flt


def sample(name):
    """The lines of the sample file and the options that it asks for."""
    path = os.path.join(SAMPLES, name)
    lines, options = [], [{}]
    if not os.path.exists(path):
        return lines, options
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            asked = re.match(r"^#+ ?filterOptions:(.+)$", line)
            if asked:
                sets = json.loads(asked.group(1))
                for one in sets if isinstance(sets, list) else [sets]:
                    plain = {k: v for k, v in one.items() if not k.startswith("test.")}
                    if plain not in options:
                        options.append(plain)
            elif line.strip() and not line.startswith("#"):
                lines.append(line.rstrip("\r\n"))
    return lines, options


def damaged(lines, rng):
    address = re.compile(r"\d+\.\d+\.\d+\.\d+|[\w.-]+\.(?:com|net|org)")
    for line in lines:
        yield line
        if len(line) < 4:
            continue
        cut = rng.randrange(len(line))
        other = rng.choice(lines)
        kind = rng.randrange(6)
        if kind == 0:
            yield line[:cut] + rng.choice("\t\"'<>[]()%\u00e9\u00a0\x1c\u0661") + line[cut:]
        elif kind == 1:
            yield line[:cut] + other[rng.randrange(len(other)) :]
        elif kind == 2:
            yield line[:cut] + line[cut + 1 :]
        elif kind == 3:
            yield re.sub(r"^.*?\d\d:\d\d:\d\d\S* ", "", line)
        elif kind == 4:
            yield address.sub(rng.choice(["999.1.1.1", "2001:db8::7", "::ffff:192.0.2.9", "h-1.example"]), line)
        else:
            # A session that goes on.
            yield re.sub(r"\[\d+\]", lambda _: "[%d]" % rng.randrange(3), line)


def finding(found):
    index, id, date, fail = found
    users = fail.get("users")
    captures = {k: v for k, v in fail.items() if isinstance(v, str)}
    return [
        index,
        None if id is None else str(id),
        date,
        bool(fail.get("nofail")),
        len(fail.get("matches", ())),
        captures,
        sorted(users) if isinstance(users, set) else [],
    ]


def main():
    rng = random.Random(int(sys.argv[1]))
    MyTime.setTime(NOW)
    for path in sorted(glob.glob(CONFIG + "/filter.d/*.conf")):
        name = os.path.basename(path)[: -len(".conf")]
        lines, options = sample(name)
        if not lines:
            continue
        for one in options + [o for o in ({"mode": "aggressive"},) if o not in options]:
            try:
                source = read(name, one)
            except Exception:
                continue
            if not source:
                continue
            for every in (True, False):
                try:
                    flt = build(source, every)
                except Exception:
                    continue
                out = []
                for line in damaged(lines, rng):
                    try:
                        found = [finding(f) for f in flt.processLine(line)]
                    except Exception as error:
                        found = None
                    out.append([line, found])
                print(json.dumps({"filter": name, "options": one, "every": every, **source, "lines": out}))


main()

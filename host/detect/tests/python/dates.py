"""What Debian's fail2ban takes for the date of each line, filter by filter.

Prints JSON lines: {"filter", "patterns", "zone", "lines": [[line, now, found], ...]}, the lines in the
order in which one detector of fail2ban saw them, where `found` is null or [start, end, micros], with
`start` and `end` in bytes of UTF-8, and `micros` null for what is no date and "either" for a time
of which mktime's answer is not determined.
"""

import datetime
import glob
import json
import os
import random
import sys
import time
import types

sys.path.insert(0, "/usr/lib/python3/dist-packages")
from fail2ban.client.filterreader import FilterReader
from fail2ban.server import datedetector, strptime
from fail2ban.server.mytime import MyTime

CONFIG = "/etc/fail2ban"
SAMPLES = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs"
OWN_LIST = list(datedetector.DateDetectorCache.DEFAULT_TEMPLATES)

# A summer noon, and the noon of a leap day in the next decade but one.
SCENES = [
    ("CET-01CEST-02,M3.5.0,M10.5.0", 1124013600),
    ("EST5EDT,M3.2.0,M11.1.0", 1961514000),
]
# No clock is before this: what fail2ban takes for a year of this century depends on when it started.
EARLIEST_START = 1795413420

# What we can hold; a label of daemontools can be later.
MICROS_MAX = (1 << 63) - 1

# What no stock filter has.
MORE = {
    "at the beginning": ["^{DATE}"],
    "near the beginning": ["{^LN-BEG}{DATE}"],
    # Not after another one: there fail2ban adds nothing, against its manual, and we do not follow.
    "all of them": ["{DEFAULT}"],
    "long epoch": ["LEPOCH"],
    "long epoch in words": ["t={LEPOCH}", "x {EPOCH}"],
    "days of the year": [r"%Y %j %H:%M", "%y:%U:%w %k", "%Y/%W/%a %l %p"],
    "half days": [r"\[%d %B %Exy, %Exl:%ExM:%ExS %p\]", "%b %d %l:%M %p"],
    "zones": ["^%Y-%m-%d %H:%M:%S %ExZ", "^%Y-%m-%d %H:%M:%S ?%Exz", "%Z %d.%m.%Y %H"],
    "unbound": ["{UNB}%Y%m%d", "**%H:%M:%S**"],
    "none": ["{NONE}"],
    "at the end": [r"%d/%m/%Y %H:%M:%S$", r"(%H:%M:%S) *$"],
}

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
LONG_MONTHS = (
    "January February March April May June July August September October November December"
).split()
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
ZONES = ["Z", "UTC", "+0000", "-0330", "+05:45", "-11", "+14:00", "CET", "NPT", "PDT", "ERROR", "+2500"]
FORMATS = [
    "{Y}-{m}-{d}T{H}:{M}:{S}",
    "{Y}-{m}-{d} {H}:{M}:{S},{f}",
    "{Y}-{m}-{d}T{H}:{M}:{S}.{f}{z}",
    "{Y}/{m}/{d} {H}:{M}:{S} {z}",
    "{Y}.{m}.{d}  {H}:{M}:{S}",
    "{Y}-{m}.{d} {H}:{M}:{S}",
    "{b} {e} {H}:{M}:{S}",
    "{a} {b} {d} {H}:{M}:{S}.{f}",
    "{a} {b} {d} {H}:{M}:{S}.{f} {Y}",
    "{b} {e} {h}:{M}:{S} {Y}",
    "{a} {b} {e} {Y} {H}:{M}:{S}",
    "{d}/{m}/{Y} {H}:{M}:{S}",
    "{d}-{m}-{y} {h}:{M}:{S}",
    "{d}/{b}/{Y}:{H}:{M}:{S} {z}",
    "{d}-{b}-{Y} {H}:{M}:{S}.{f}",
    "{m}/{d}/{Y}:{H}:{M}:{S}",
    "{m}-{d}-{Y} {H}:{M}:{S}.{f}",
    "{u}",
    "{u}.{f}",
    "{u}{f}",
    "t={u}123",
    "type=X msg=audit({u}.123:99)",
    "{H}:{M}:{S}",
    "<{m}/{d}/{y}@{H}:{M}:{S}>",
    "{y}{m}{d} {h}:{M}:{S}",
    "{b} {d}, {Y} {I}:{M}:{S} {p}",
    "{b}-{d}-{y} {H}:{M}:{S}",
    "{Y}{m}{d}T{H}{M}{S}",
    "{Y}{m}{d} {H}{M}{S}.{f}{z}",
    "{z} {b} {d} {H}:{M}:{S}",
    "{z} {a} {b} {d} {H}:{M}:{S} {Y}",
    "@4{x}0000{f}",
    "{Y} {j} {H}:{M}",
    "{y}:{U}:{w} {h}",
    "{Y}/{U}/{a} {h} {p}",
    "[{d} {B} {y}, {I}:{M}:{S} {p}]",
    "{z} {d}.{m}.{Y} {H}",
    "{Y}-{m}-{d} {H}:{M}:{S} {z}",
    "L {d}/{m}/{Y} - {H}:{M}:{S}",
    "{Y}:{m}:{d}-{H}:{M}:{S}",
    "[{d}/{b}/{Y} {H}:{M}:{S}]",
]
PLACES = [
    "{0}",
    "{0} host app[1]: from 192.0.2.1",
    "{0} host app[1]: from 192.0.2.1",
    "[{0}] x",
    "  {0}: y",
    '192.0.2.1 - - [{0}] "GET / HTTP/1.1"',
    "<13>1 {0} host",
    "<W>{0} x",
    '<co ts="{0}" pi="1">',
    "a - b -- c -- - {0} x",
    "é{0}é",
    "né {0} ü",
    "x{0}",
    "{0}x",
    "{0} said {1}",
    "x {1} {0}",
    "x {0}",
]


def datepattern(name, options):
    with open(os.path.join(CONFIG, "filter.d", name + ".conf"), encoding="utf-8") as file:
        if "[Definition]" not in file.read():
            return None
    reader = FilterReader(name, "jail", options, share_config={}, basedir=CONFIG)
    if not reader.read():
        return None
    reader.getOptions({})
    text = ""
    for command in reader.convert():
        if command[2] == "datepattern":
            text = command[3]
    return [line.strip() for line in text.split("\n") if line.strip()]


def sample_lines(name):
    path = os.path.join(SAMPLES, name)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\r\n") for line in lines if line.strip() and not line.startswith("#")]


def damaged(lines, rng):
    for line in lines:
        yield line
        # Mostly where the date is.
        cut = min(rng.randrange(len(line)), rng.randrange(len(line)), 60)
        other = rng.choice(lines)
        yield line[:cut] + rng.choice("\t\"'<>[]()%é\u00a0\x1c١0 9:./-") + line[cut:]
        yield line[:cut] + other[rng.randrange(len(other)) :]
        yield line[:cut] + line[cut + 1 :]
        yield line[:cut] + rng.choice("0123456789") + line[cut + 1 :]


def moments(now, rng):
    """Year, month, day, hour, minute, second; not all of them exist."""
    year = time.localtime(now).tm_year
    for delta in (0, 1, -1, 59, 86399, 86400, 86401, 90000, -86400, 172800, 180 * 86400):
        yield tuple(time.localtime(now + delta)[:6])
    # Steps of the zone, and the days of it.
    for of in (year - 1, year, year + 1):
        start = int(datetime.datetime(of, 1, 1).timestamp())
        for hour in range(start, start + 366 * 86400, 3600):
            if time.localtime(hour).tm_isdst != time.localtime(hour + 3600).tm_isdst:
                for delta in (-3601, -1, 0, 1800, 3599, 3600, 7200, 10800):
                    yield tuple(time.localtime(hour + 3600 + delta)[:6])
                wall = datetime.datetime(*time.localtime(hour)[:6]) + datetime.timedelta(hours=1)
                for minute in (0, 30, 59):
                    yield (wall.year, wall.month, wall.day, wall.hour, minute, rng.randrange(60))
    for of in (year - 1, year, year + 1):
        yield (of, 12, 31, 23, 59, 59)
        yield (of, 1, 1, 0, 0, 0)
        yield (of, 2, 29, 12, 0, 0)
        yield (of, 2, 28, 23, 59, 60)
    yield from [
        (year, 2, 30, 12, 0, 0),
        (year, 4, 31, 0, 0, 0),
        (year, 13, 1, 0, 0, 0),
        (year, 1, 32, 0, 0, 0),
        (year, 0, 10, 0, 0, 0),
        (year, 6, 0, 0, 0, 0),
        (year, 6, 5, 24, 0, 0),
        (year, 6, 5, 25, 61, 0),
        (year, 6, 5, 23, 59, 61),
        (year, 6, 5, 23, 59, 62),
        (2000, 2, 29, 0, 0, 0),
        (2001, 9, 9, 1, 46, 40),
        (2019, 12, 31, 23, 59, 59),
        (2029, 6, 5, 4, 3, 2),
        (2030, 6, 5, 4, 3, 2),
        (2038, 1, 19, 3, 14, 8),
        (2039, 12, 31, 23, 0, 0),
        (2040, 1, 1, 0, 0, 0),
        (2100, 2, 28, 0, 0, 0),
        (1970, 1, 1, 0, 0, 0),
        (1999, 12, 31, 23, 59, 59),
        (1900, 3, 1, 0, 0, 0),
        (1, 1, 1, 0, 0, 0),
        (9998, 12, 31, 23, 59, 59),
    ]
    for _ in range(20):
        yield tuple(time.localtime(now - rng.randrange(400 * 86400))[:6])


def written(form, moment, now, rng):
    year, month, day, hour, minute, second = moment
    known = 1 <= month <= 12
    try:
        unix = int(datetime.datetime(*moment).timestamp())
    except (ValueError, OverflowError):
        unix = now + rng.randrange(-1000, 1000)
    return form.format(
        Y="%04d" % year,
        y="%02d" % (year % 100),
        m="%02d" % month,
        b=MONTHS[month - 1] if known else "Foo",
        B=LONG_MONTHS[month - 1] if known else "Foo",
        a=rng.choice(DAYS),
        d="%02d" % day,
        e="%2d" % day,
        H="%02d" % hour,
        h="%2d" % hour,
        I="%02d" % ((hour + 11) % 12 + 1),
        p=rng.choice(["AM", "PM", "am"]),
        M="%02d" % minute,
        S="%02d" % second,
        f=rng.choice(["1", "123", "123456", "000", "98765"]),
        z=rng.choice(ZONES),
        u=max(unix, 0),
        x="%015x" % max(unix, 0),
        j="%03d" % rng.randrange(1, 367),
        U="%02d" % rng.randrange(0, 54),
        w=rng.randrange(0, 7),
    )


def generated(now, rng, count):
    times = list(moments(now, rng))
    out = []
    while len(out) < count:
        # As logs are: some lines of one form, before another one comes.
        form, place = rng.choice(FORMATS), rng.choice(PLACES)
        for _ in range(rng.choice([1, 1, 2, 5])):
            dates = [written(f, rng.choice(times), now, rng) for f in (form, rng.choice(FORMATS))]
            out.append(place.format(*dates))
    return out


def lines_of(name, now, rng):
    samples = list(damaged(sample_lines(name), rng))
    made = generated(now, rng, 300)
    mixed = samples[:]
    for line in made[:100]:
        mixed.insert(rng.randrange(len(mixed) + 1), line)
    return mixed + made[100:] + samples[:40]


def new_detector(patterns, start):
    """A detector as that of a process that was started then and has seen nothing."""
    clock = types.SimpleNamespace(
        now=lambda: datetime.datetime.fromtimestamp(start),
        fromtimestamp=datetime.datetime.fromtimestamp,
    )
    strptime.datetime = types.SimpleNamespace(datetime=clock)
    strptime._updateTimeRE()
    strptime.datetime = datetime
    datedetector.DD_patternCache.clear()
    datedetector.DateDetectorCache.DEFAULT_TEMPLATES = list(OWN_LIST)
    datedetector.DateDetector._defCache = datedetector.DateDetectorCache()
    detector = datedetector.DateDetector()
    for pattern in patterns:
        detector.appendTemplate(pattern)
    return detector


def is_doubtful(at):
    """Whether mktime is free to answer otherwise.

    Of a time that the zone shows twice it takes the one that is nearer to what it was asked before; and
    before 1970 glibc does not apply the rules of a zone that is written as a rule.
    """
    if at < 0:
        return True
    shown = time.localtime(at)[:6]
    return any(time.localtime(at + step)[:6] == shown for step in (-3600, 3600))


def found(detector, line, now):
    MyTime.setTime(now)
    datedetector.time = types.SimpleNamespace(time=lambda: now)
    match, template = detector.matchTime(line)
    if match is None:
        return None
    start, end = match.span(1)
    try:
        date = detector.getTime(line[start:end], (match, template))
        micros = None if date is None else min(round(date[0] * 1000000), MICROS_MAX)
        if micros is not None and abs(date[0]) < 1 << 40 and is_doubtful(date[0]):
            micros = "either"
    except Exception:
        micros = None
    return [len(line[:start].encode()), len(line[:end].encode()), micros]


def main():
    rng = random.Random(int(sys.argv[1]))
    wanted = {}
    for path in sorted(glob.glob(CONFIG + "/filter.d/*.conf")):
        name = os.path.basename(path)[: -len(".conf")]
        for options in ({}, {"logtype": "short"}, {"logtype": "rfc5424"}, {"logging": "webapp"}):
            try:
                patterns = datepattern(name, options)
            except Exception:
                continue
            if patterns is not None:
                wanted.setdefault((name, tuple(patterns)))
    wanted = [(name, list(patterns)) for name, patterns in wanted] + list(MORE.items())
    for zone, start in SCENES:
        os.environ["TZ"] = zone
        time.tzset()
        for name, patterns in wanted:
            now = start
            detector = new_detector(patterns, max(start, EARLIEST_START))
            out = []
            for line in lines_of(name, start, rng):
                out.append([line, now, found(detector, line, now)])
                now += rng.choice([0, 0, 0, 1, 1, 2, 400])
            print(json.dumps({"filter": name, "patterns": patterns, "zone": zone, "lines": out}))


main()

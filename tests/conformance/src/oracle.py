"""Answers what an installed fail2ban finds in lines.

One request and one answer a line, both JSON. Text that was bytes travels with one character for
each byte. The zone is the process's own (TZ).
"""

import codecs
import datetime
import json
import logging
import random
import signal
import sys
import types

tree, now = sys.argv[1], float(sys.argv[2])
if tree:
    sys.path.insert(0, tree)

from fail2ban.client.filterreader import FilterReader
from fail2ban.server import datedetector, strptime, utils
from fail2ban.server.datedetector import DateDetector
from fail2ban.server.failmanager import FailManager
from fail2ban.server.filter import FileContainer, Filter
from fail2ban.server.mytime import MyTime
from fail2ban.server.ticket import FailTicket
from fail2ban.version import version

logging.getLogger("fail2ban").addHandler(logging.NullHandler())
logging.getLogger("fail2ban").propagate = False
# It says why it found nothing, at length, to nobody.
logging.disable(logging.CRITICAL)

# No clock is before this: what fail2ban takes for a year of this century depends on when it started.
EARLIEST_START = 1795413420


def steer_clocks():
    """Lets all of fail2ban go by the time that it is told, also where it reads the real one."""
    clock = types.SimpleNamespace(
        now=lambda: datetime.datetime.fromtimestamp(max(now, EARLIEST_START)),
        fromtimestamp=datetime.datetime.fromtimestamp,
    )
    own, strptime.datetime = strptime.datetime, types.SimpleNamespace(datetime=clock)
    strptime._updateTimeRE()
    strptime.datetime = own
    for module in (datedetector, utils):
        module.time = types.SimpleNamespace(time=MyTime.time)


steer_clocks()

JOURNAL_TIME = "2005-08-14T10:00:00"


class Tried:
    """A filter, and what it was made of."""

    def __init__(self, request):
        self.filter = Filter(None, useDns=request.get("usedns") or "warn")
        self.filter.returnRawHost = request.get("raw", True)
        # Whether dates far from now count as now.
        self.filter.checkFindTime = request.get("operating", False)
        self.filter.active = True
        self.datepattern = None
        self.parts = {"prefregex": None, "ignoreregex": [], "maxlines": 1}

    def set(self, option, value):
        if option == "datepattern":
            self.datepattern = value
            self.filter.setDatePattern(value)
            return
        if option == "prefregex":
            self.filter.prefRegex = value
        elif option == "addfailregex":
            self.filter.addFailRegex(value)
            return
        elif option == "addignoreregex":
            self.filter.addIgnoreRegex(value)
            self.parts["ignoreregex"].append(value)
            return
        elif option == "maxlines":
            self.filter.setMaxLines(value)
            value = int(value)
        else:
            return
        self.parts[option] = value

    def forget(self):
        """Back to the state in which no line was seen."""
        filter = self.filter
        filter._Filter__mlfidCache = None
        filter._Filter__lineBuffer = []
        filter._Filter__lastTimeText = ""
        filter._Filter__lastDate = None
        if self.datepattern is None:
            filter.dateDetector = DateDetector()
        else:
            filter.setDatePattern(self.datepattern)

    def described(self):
        return dict(
            self.parts,
            failregex=self.filter.getFailRegex(),
            datepattern=self.datepattern,
        )


def too_costly(_signal, _frame):
    raise TimeoutError("too costly")


# Its patterns may go back and forth for ever.
signal.signal(signal.SIGVTALRM, too_costly)
LINE_SECONDS_MAX = 0.4

tried = []


def read_filter(request):
    """A filter of a configuration folder, with options as in brackets behind its name."""
    made = Tried(request)
    reader = FilterReader(
        request["name"], "jail", dict(request.get("options") or {}), basedir=request["dir"]
    )
    if not reader.read():
        raise ValueError("there is no such filter")
    reader.getOptions({})
    for command in reader.convert():
        values = command[3] if command[0] == "multi-set" else [command[3]]
        for value in values:
            made.set(command[2], value)
    return keep(made)


def make_filter(request):
    """A filter of patterns that the request has."""
    made = Tried(request)
    if request.get("logtimezone"):
        made.filter.setLogTimeZone(request["logtimezone"])
    if request.get("maxlines"):
        made.set("maxlines", request["maxlines"])
    if request.get("prefregex"):
        made.set("prefregex", request["prefregex"])
    for value in request["failregex"]:
        made.set("addfailregex", value)
    for value in request.get("ignoreregex") or []:
        made.set("addignoreregex", value)
    if request.get("datepattern"):
        made.set("datepattern", request["datepattern"])
    return keep(made)


def keep(made):
    tried.append(made)
    return dict(made.described(), filter=len(tried) - 1)


# What the other side can hold; a label of daemontools can be later.
MICROS_MAX = (1 << 63) - 1


def micros(seconds):
    return None if seconds is None else min(round(seconds * 1000000), MICROS_MAX)


def plain(value):
    """A captured value as JSON can have it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(plain(part) for part in value)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return str(value)


INTERNAL = ("matches", "nofail-matches", "mlfpending")


def finding(found):
    pattern, id, at, data = found
    captures = {
        name: plain(value)
        for name, value in data.items()
        if value is not None and name not in INTERNAL
    }
    return {
        "pattern": pattern,
        "id": None if id is None else str(id),
        "at": micros(at),
        "nofail": bool(data.get("nofail")),
        "attempts": len(data.get("matches") or ()),
        "captures": captures,
    }


def decoded(line):
    """As a log file of UTF-8 is read, without the line's end."""
    return line.encode("latin-1").decode("utf-8", "replace").rstrip("\r\n")


def judge(request):
    """What is found in each of some lines, one after the other; an exception is a text."""
    made = tried[request["filter"]]
    made.filter.checkAllRegex = request["every"]
    if request.get("forget"):
        made.forget()
    results = []
    times = request.get("times") or []
    for number, line in enumerate(request["lines"]):
        line = decoded(line)
        if times:
            MyTime.setTime(times[number])
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, LINE_SECONDS_MAX)
            if request.get("journal"):
                found = made.filter.processLine(("", JOURNAL_TIME, line), MyTime.time())
            else:
                found = made.filter.processLine(line)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            results.append([finding(one) for one in found])
        except Exception as fault:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            results.append("%s: %s" % (type(fault).__name__, fault))
    return {"results": results}


def dates(request):
    """Begin, end (in characters) and time of the date of each line, by a detector of its own."""
    detector = DateDetector()
    for template in request.get("templates") or []:
        detector.appendTemplate(template)
    results = []
    for line in request["lines"]:
        line = decoded(line)
        match = detector.matchTime(line)
        if not match[0]:
            results.append(None)
            continue
        begin, end = match[0].start(1), match[0].end(1)
        time = detector.getTime(line[begin:end], match)
        results.append([begin, end, micros(time[0]) if time else None])
    return {"results": results}


def invent(request):
    """Texts as the patterns of a filter describe them, near enough to be of interest."""
    filter = tried[request["filter"]].filter
    dice = random.Random(request["seed"])
    prefix = filter.prefRegex and Inventor(filter.prefRegex.getRegex())
    patterns = [Inventor(pattern) for pattern in filter.getFailRegex()]
    results = []
    for _ in range(request["count"] if patterns else 0):
        text = dice.choice(patterns).text(dice)
        if prefix:
            text = prefix.text(dice, content=text)
        results.append(text.replace("\n", " ").encode("utf-8", "replace").decode("latin-1"))
    return {"results": results}


def count(request):
    """How many failures of one address are counted after each of some, by when they happened."""
    manager = FailManager()
    manager.setMaxTime(request["findtime"])
    results = [manager.addFailure(FailTicket("192.0.2.1", time)) for time in request["times"]]
    return {"results": results}


def decode(request):
    """What some bytes are as text, as a log of this encoding is read; null for one that is unknown."""
    try:
        codecs.lookup(request["encoding"])
    except LookupError:
        return {"results": None}
    line = bytes(request["bytes"])
    return {"results": FileContainer.decode_line("log", request["encoding"], line)}


def set_now(request):
    MyTime.setAlternateNow(request["now"])
    MyTime.setTime(request["now"])
    return {}


ANSWERS = {
    "read": read_filter,
    "make": make_filter,
    "judge": judge,
    "dates": dates,
    "invent": invent,
    "count": count,
    "decode": decode,
    "now": set_now,
}


def answer(request):
    try:
        return ANSWERS[request["ask"]](request)
    except Exception as fault:
        return {"fault": "%s: %s" % (type(fault).__name__, fault)}


set_now({"now": now})
print(json.dumps({"version": version}), flush=True)
for line in sys.stdin.buffer:
    print(json.dumps(answer(json.loads(line))), flush=True)

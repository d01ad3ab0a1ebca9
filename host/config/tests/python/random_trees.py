"""Writes random configurations and says what an installed fail2ban makes of each jail in them.

Arguments: a seed, how many, and the directory to write to. A line of JSON for each comes out:
{"dir": NAME, "version": TEXT, "jails": {NAME: what `configuration.run` says, or {"error": TEXT}}}, or
{"dir": NAME, "error": TEXT} where the files cannot be read at all.
"""

import json
import os
import random
import sys

import configuration
from fail2ban.client.jailsreader import JailsReader

WORDS = ["w", "two words", "é", "a;b", "k = v", "x: y", "#h", "5", "''", '"', "[z]", ",", "<HOST>", "<ip>"]
JAIL_OPTIONS = [
    "x", "y", "Zed", "findtime", "logpath", "ignorecommand", "failregex", "logencoding", "maxretry",
    "datepattern", "journalmatch", "maxlines", "prefregex", "usedns", "enabled", "backend",
]
FILE_OPTIONS = ["x", "y", "z-x", "z-w", "failregex", "ignoreregex", "prefregex", "datepattern", "z-base-x"]


ORDER = ["failregex", "x", "y", "zed", "w", "port"]
BASE = "failregex = ^base\nx = base-x\ny = base y\nzed = zed\nw = ww\nport = 1\n"


class Tree:
    def __init__(self, rng):
        self.rng = rng
        self.current = ""

    def chance(self, probability):
        return self.rng.random() < probability

    def names(self):
        """An option to name: mostly one that stands behind the one whose value it is in, so that few
        values lead back to themselves."""
        if self.chance(0.03):
            return self.rng.choice(ORDER)
        behind = ORDER[ORDER.index(self.current) + 1 :] if self.current in ORDER else ORDER
        return self.rng.choice(behind or ["port"])

    def token(self, tags):
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return rng.choice(WORDS)
        if kind < 0.55:
            place = rng.choice(["", "", "", "default/", "known/", "s1/" if tags else "a/"])
            return "%%(%s%s)s" % (place, self.names())
        if kind < 0.60:
            return rng.choice(["%%", "%(__name__)s", "%(__name__)s" if tags else "%(fail2ban_version)s"])
        if kind < 0.603:
            return rng.choice(["%", "%(", "%(none)s"])
        if tags and kind < 0.90:
            place = rng.choice(["", "", "s1/", "known/", "default/", "Definition/"])
            if self.chance(0.3) and self.current != "x":
                return "<z-<x>>" if self.chance(0.5) else "<z-%s>" % self.names()
            return "<%s%s>" % (place, self.names())
        return rng.choice(["plain", "b", "c"])

    def value(self, tags):
        rng = self.rng
        joint = rng.choice([" ", ""])
        lines = [joint.join(self.token(tags) for _ in range(rng.choice([0, 1, 1, 1, 2, 3])))]
        while self.chance(0.2):
            lines.append(rng.choice(["", "    # c", "  ; c", "   "]) if self.chance(0.3) else "    " + self.token(tags))
        return "\n".join(lines)

    def option(self, name, tags):
        self.current = name.lower()
        name = name if self.chance(0.9) else name.upper()
        sign = self.rng.choice([" = ", "=", ": ", " :"])
        tail = self.rng.choice(["", "", "", " ; gone", "  "])
        return name + sign + self.value(tags) + tail

    def fixed(self, name):
        rng = self.rng
        if name in ("findtime",):
            return "findtime = " + rng.choice(["10m", "1d 2h", "60*5", "%(maxmatches)sh"])
        if name in ("maxretry", "maxlines"):
            return name + " = " + rng.choice(["3", "07", "%(maxmatches)s"])
        if name == "enabled":
            return "enabled = " + rng.choice(["true", "0", "Yes"])
        if name == "backend":
            return "backend = " + rng.choice(["auto", "systemd", "systemd[journalflags=1]", "polling"])
        if name == "usedns":
            return "usedns = " + rng.choice(["yes", "no", "raw", "warn"])
        return None

    def section(self, name, options, tags):
        rng = self.rng
        lines = ["[%s]" % name]
        for option in rng.sample(options, rng.randint(0, min(6, len(options)))):
            lines.append(self.fixed(option) if name != "Init" and self.fixed(option) else self.option(option, tags))
            if self.chance(0.2):
                lines.append(rng.choice(["", "# comment", "; comment"]))
        return "\n".join(lines) + "\n"

    def arguments(self):
        rng = self.rng
        text = ""
        while self.chance(0.45):
            inside = []
            for _ in range(rng.randint(1, 3)):
                value = rng.choice(["1", '"a, b]"', "'q'", "two w", "", "<x>", "%(x)s", '"%(y)s"', "a=b"])
                inside.append("%s=%s" % (rng.choice(["x", "y", "z-w", "mode", "name", "failregex"]), value))
            text += rng.choice(["", " "]) * bool(text) + "[" + rng.choice([",", ", ", ",\n   "]).join(inside) + "]"
        return text

    def calls(self, names):
        rng = self.rng
        # A server refuses two of one name.
        calls = [name + self.arguments() for name in rng.sample(names, rng.choice([1, 1, 2]))]
        return rng.choice([" ", "\n    "]).join(calls)

    def jail_file(self, full):
        rng = self.rng
        text = ""
        if full and self.chance(0.4):
            text += "[INCLUDES]\n%s = more.conf\n" % rng.choice(["before", "after"])
        if full or self.chance(0.5):
            defaults = self.section("DEFAULT", JAIL_OPTIONS, False)
            if full:
                given = {line.split(" ")[0].split("=")[0].split(":")[0].lower() for line in defaults.split("\n")}
                base = [line for line in BASE.splitlines() if line.split(" ")[0] not in given]
                defaults += "maxmatches = 6\nfilter = f\naction = act\n" + "\n".join(base) + "\n"
            text += defaults
        for name in ["a", "b c", "d"]:
            if full or self.chance(0.5):
                text += self.section(name, JAIL_OPTIONS, False)
                if self.chance(0.6):
                    text += "filter = f" + self.arguments() + "\n"
                if self.chance(0.5):
                    text += "action = " + self.calls(["act", "other", "p.py"]) + "\n"
        return text

    def definition_file(self, options, required):
        text = ""
        if required == "DEFAULT":
            text += "[DEFAULT]\n" + BASE + "[s1]\n" + BASE
            return text + self.section("Definition", options, True) * self.chance(0.4)
        if self.chance(0.9):
            text += "[INCLUDES]\nbefore = common.conf\n"
        for name in ["DEFAULT", "Definition", "Init", "s1", "Init?family=inet6"]:
            if name == required or self.chance(0.5):
                text += self.section(name, options, True)
        return text

    def write(self, folder):
        actions = ["x", "y", "z-x", "actionban", "actionstart", "actionunban", "chain"]
        files = {
            "fail2ban.conf": "[Definition]\n",
            "jail.conf": self.jail_file(True),
            "filter.d/f.conf": self.definition_file(FILE_OPTIONS, "Definition"),
            "filter.d/common.conf": self.definition_file(FILE_OPTIONS, "DEFAULT"),
            "action.d/act.conf": self.definition_file(actions, "Definition"),
            "action.d/other.conf": self.definition_file(actions, "Definition"),
            "action.d/common.conf": self.definition_file(actions, "DEFAULT"),
            "action.d/p.py": "",
        }
        for name in ["jail.local", "jail.d/1.conf", "jail.d/2.local", "more.conf", "more.local"]:
            if self.chance(0.4):
                files[name] = self.jail_file(False)
        for name in ["filter.d/f.local", "filter.d/common.local", "filter.d/f.d/x.conf"]:
            if self.chance(0.4):
                required = "DEFAULT" if "common" in name else "Definition"
                files[name] = self.definition_file(FILE_OPTIONS, required)
        for name, text in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


def read(folder):
    first = JailsReader(force_enable=True, share_config={}, basedir=folder)
    first.read()
    answer = {}
    for name in list(first.sections()):
        if name == "INCLUDES":
            continue
        reader = JailsReader(force_enable=True, share_config={}, basedir=folder)
        reader.read()
        try:
            reader.getOptions(name, ignoreWrong=True)
            (jail,) = reader.jails
            state = configuration.run(jail.convert(allow_no_files=True))
            state["written"] = {
                key: str(value) for key, value in jail.options.items() if value is not None
            }
            answer[name] = {"error": state["errors"][0]} if state["errors"] else state
        except Exception as error:  # Whatever it is, that jail cannot be used.
            answer[name] = {"error": "%s: %s" % (type(error).__name__, error)}
    return answer


def main():
    seed, count, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for number in range(count):
        folder = os.path.join(root, str(number))
        Tree(random.Random(seed * 1_000_003 + number)).write(folder)
        line = {"dir": str(number), "version": configuration.version}
        try:
            line["jails"] = read(folder)
        except Exception as error:
            line["error"] = "%s: %s" % (type(error).__name__, error)
        print(json.dumps(line))


main()

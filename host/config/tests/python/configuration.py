"""Asks an installed fail2ban what its own readers make of a configuration, as JSON.

Reads one JSON object on stdin: {"dir": PATH, "filters": [[NAME, {OPTION: VALUE}], ...]}; an object
for each filter and each jail comes out. Only fail2ban's public classes are called; the commands that
its client would send to its server are carried out here on plain dictionaries.
"""

import json
import logging
import sys

sys.path.insert(0, "/usr/lib/python3/dist-packages")
logging.disable(logging.CRITICAL)

from fail2ban.client.configurator import Configurator
from fail2ban.client.fail2banreader import Fail2banReader
from fail2ban.client.filterreader import FilterReader
from fail2ban.client.jailsreader import JailsReader
from fail2ban.server.mytime import MyTime
from fail2ban.version import version

TIMES = ("findtime", "bantime", "bantime.maxtime", "bantime.rndtime")


def new_filter():
    return {
        "prefregex": None,
        "failregex": [],
        "ignoreregex": [],
        "maxlines": None,
        "datepattern": None,
        "journalmatch": [],
        "usedns": None,
    }


def run(commands):
    """What a server would know after the commands."""
    filter_ = new_filter()
    options, actions, errors = {}, {}, []
    for command in commands:
        head = command[0]
        if head == "config-error":
            errors.append(command[1])
            continue
        if head == "add":
            options["backend"] = command[2]
            continue
        if head not in ("set", "multi-set"):
            continue
        name, values = command[2], command[3:]
        if head == "multi-set" and name in ("addfailregex", "addignoreregex"):
            values = values[0]
        if name in ("addfailregex", "addignoreregex"):
            filter_[name[3:]].extend(values)
        elif name == "addjournalmatch":
            filter_["journalmatch"].append(values)
        elif name in ("prefregex", "datepattern", "usedns", "maxlines"):
            filter_[name] = str(values[0])
        elif name == "addaction":
            parameters = json.loads(values[2]) if len(values) > 2 else {}
            actions[values[0]] = {key: str(value) for key, value in parameters.items()}
        elif name == "action":
            pairs = values[1] if head == "multi-set" else [values[1:]]
            for key, value in pairs:
                actions[values[0]][key] = str(value)
        elif name == "addignoreip":
            options["ignoreip"] = " ".join(values)
        elif name != "addlogpath":
            options[name] = str(values[0])
    return {"filter": filter_, "options": options, "actions": actions, "errors": errors}


def jails(directory):
    answer = {}
    share = {}
    reader = JailsReader(force_enable=True, share_config=share, basedir=directory)
    reader.read()
    reader.getOptions(None, ignoreWrong=True)
    for jail in reader.jails:
        state = run(jail.convert(allow_no_files=True))
        written = {name: str(value) for name, value in jail.options.items() if value is not None}
        state["written"] = written
        state["seconds"] = {
            name: float(MyTime.str2seconds(written[name])) for name in TIMES if name in written
        }
        answer[jail.getName()] = state
    return answer


def one_filter(directory, name, options):
    reader = FilterReader(name, "jail", dict(options), share_config={}, basedir=directory)
    if not reader.read():
        return None
    reader.applyAutoOptions("")
    reader.getOptions({})
    return run(reader.convert())["filter"]


def all_globals(directory):
    reader = Fail2banReader(share_config={}, basedir=directory)
    reader.read()
    early = reader.getEarlyOptions()
    reader.getOptions()
    found = {name: str(early[name]) for name in ("socket", "pidfile")}
    for _, name, value in reader.convert():
        if name != "thread":
            found[name] = str(value)
        elif value:
            found.update({key: str(it) for key, it in value.items()})
    return found


def main():
    request = json.load(sys.stdin)
    directory = request["dir"]
    json.dump(
        {
            "version": version,
            "globals": all_globals(directory),
            "jails": jails(directory),
            "filters": [one_filter(directory, name, opts) for name, opts in request["filters"]],
            "seconds": [float(MyTime.str2seconds(text)) for text in request.get("times", [])],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()

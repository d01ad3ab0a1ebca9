//! Trees of our own, for what Debian's does not use.

use std::fs;

use tempfile::TempDir;

use super::*;

/// Two filters, three actions and the files that they include; `jail.conf` is the test's.
const FILES: &[(&str, &str)] = &[
    (
        "fail2ban.conf",
        "[Definition]\nloglevel = DEBUG\n[Thread]\nstacksize = 64\n",
    ),
    (
        "fail2ban.d/a.conf",
        "[Definition]\nloglevel = NOTICE\ndbfile = None\n",
    ),
    (
        "fail2ban.local",
        "[Definition]\nlogtarget = SYSLOG[facility=auth]\n",
    ),
    (
        "filter.d/shared.conf",
        "[INCLUDES]\nbefore = deep/base.conf\nafter = absent.local\n[DEFAULT]\nwho = shared\n\
         prefix = \\[%(who)s\\]\n[words]\nfor = to <what>\nsaid = %(words/for)s!\n",
    ),
    (
        "filter.d/deep/base.conf",
        "[DEFAULT]\nwho = base\nwhat = base-what\n",
    ),
    ("filter.d/deep/base.local", "[DEFAULT]\nwhat = local-what\n"),
    (
        "filter.d/app.conf",
        "[INCLUDES]\nbefore = shared.conf\n\n[Definition]\n# a comment\nmode = one\n\
         failregex = ^%(prefix)s <re-<mode>> <HOST>$ ; behind a space\n\
         \x20           ^second;not a comment <words/said> <HOST>\n\n\
         \x20 # in between\n\
         \x20           ^third <known/who> %%d <default/who> <x-extra> <HOST>$\n\
         re-one = ONE\nre-two = TWO\n   two more <plain>\nplain = <x-extra>\n\
         ignoreregex =\nmaxlines: 2\njournalmatch = _COMM=app + _UID=0\n  \"A B\"=c\\ d\n\
         datepattern = <lt_<logtype>/datepattern>\n\
         [lt_file]\ndatepattern = {^LN-BEG}%%Y\n   {DATE}\n[lt_journal]\ndatepattern = {NONE}\n\
         [Init]\nx-extra = init\n",
    ),
    (
        "filter.d/app.local",
        "[Definition]\nre-two = %(known/re-two)s and local\nwho = mine\n[Init]\nx-extra = %(known/x-extra)s!\n",
    ),
    (
        "filter.d/bare.conf",
        "[Definition]\nfailregex = ^<HOST>\nprefregex = ^<F-CONTENT>.+</F-CONTENT>\n",
    ),
    (
        "filter.d/bare.d/x.conf",
        "[Definition]\nprefregex =\nusedns = no\n",
    ),
    (
        "filter.d/strict.conf",
        "[Init]\nmaxlines = 7\nusedns = raw\n[Definition]\nmaxlines = 3\nfailregex = ^<HOST> strict\n\
         ignoreregex = ^never\njournalmatch = A=1\ndatepattern = EPOCH\nprefregex = ^p<F-CONTENT>.</F-CONTENT>\n",
    ),
    (
        "action.d/block.conf",
        "[DEFAULT]\nown = of %(__name__)s\n[Definition]\nactionstart = start <name> <chain> <port>\n  <_more>\n_more = more <known/chain> <bantime>\n\
         actionban = %(cmd)s <ip> <blocktype> <matches> <sec/x> <sec/missing> <default/own> <logpath> <maxretry> <actname>\n\
         actionunban = undo <ip-rev> <F-USER>\nactionstart_on_demand = yes\ncmd = run <tool>\n\
         [sec]\nx = %(y)s <port>\ny = why\n\
         [Init]\nname = nobody\nchain = IN\nport = 22\nblocktype = DROP\ntool = v4 <lock>\nlock = -w\n\
         [Init?family=inet6]\nblocktype = DROP6\ntool = v6 <lock>\n",
    ),
    (
        "action.d/tell.conf",
        "[INCLUDES]\nbefore = block.conf\n[Definition]\nactionstart =\nactionban = tell <enabled> <backend> <findtime>\n\
         norestored = 1\n[Init]\nlock = --wait=%(secs)s\nsecs = 5\n",
    ),
    ("action.d/call.py", "class Action: pass\n"),
];

fn tree(jail_conf: &str, more: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let files = FILES.iter().chain(more);
    for (name, text) in files.chain(&[("jail.conf", jail_conf)]) {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

#[track_caller]
fn check(jail_conf: &str, more: &[(&str, &str)]) -> usize {
    let root = tree(jail_conf, more);
    match both(root.path(), &[]) {
        Some((tree, theirs)) => check_jails(&tree, &theirs),
        None => 0,
    }
}

#[test]
fn files_are_laid_over_each_other_in_fail2bans_order() {
    check(
        "[INCLUDES]\nbefore = paths-b.conf\n         paths-a.conf\nafter = over.local\n\
         [DEFAULT]\nfilter = app\nfindtime = 1\nlogencoding = utf-8\n[one]\nmaxretry = 1\n[two]\nport = a\n",
        &[
            (
                "paths-a.conf",
                "[DEFAULT]\nfindtime = 2\nbantime = 1m\nignoreip = 10.0.0.0/8\n",
            ),
            ("paths-a.local", "[DEFAULT]\nbantime = 2m\n"),
            (
                "paths-b.conf",
                "[INCLUDES]\nafter = paths-c.conf\n[DEFAULT]\nbantime = 3m\nusedns = no\n",
            ),
            (
                "paths-c.conf",
                "[DEFAULT]\nusedns = raw\nlogtimezone = UTC+2\n",
            ),
            ("over.local", "[DEFAULT]\nlogencoding = %(usedns)s\n"),
            (
                "jail.d/b.conf",
                "[two]\nmaxretry = 22\nmaxmatches = %(known/maxretry)s0\n",
            ),
            (
                "jail.d/a.conf",
                "[two]\nmaxretry = 11\n[three]\nenabled = no\n",
            ),
            (
                "jail.d/a.local",
                "[two]\nlogpath = %(known/port)s/%(port)s\n",
            ),
            ("jail.local", "[two]\nport = b\n[DEFAULT]\nmaxretry = 9\n"),
            ("jail.d/.hidden.conf", "[two]\nmaxretry = 99\n"),
            ("jail.d/not-read.txt", "[two]\nmaxretry = 98\n"),
        ],
    );
}

#[test]
fn values_name_others_of_the_section_of_other_sections_and_of_the_filter() {
    check(
        "[DEFAULT]\nfilter = app\nmaxretry = 4\nport = 80\nbase = %(port)s %(__name__)s %(fail2ban_version)s\n\
         logpath = /var/log/%(__name__)s.log\n          /var/log/100%%.log tail\n\
         [one]\nport = 81\nignorecommand = %(base)s %(default/port)s %(two/port)s %(two/logencoding)s\n\
         filter = strict\nfailregex = %(known/failregex)s\n            ^more <HOST>\n\
         [two]\nport = 82\nlogencoding = latin1\nignorecommand = %(fail2ban_confpath)s %(PORT)s\n\
         filter = strict\ndatepattern = %(known/datepattern)s\nmaxlines = 1%(maxretry)s\n\
         [three]\nignorecommand = %(known/who)s %(known/mode)s %(known/x-extra)s %(known/logtype)s %(known/re-two)s\n",
        &[("jail.d/x.conf", "[one]\nport = %(known/port)s,8080\n")],
    );
}

#[test]
fn a_filter_takes_its_options_from_the_jail_and_from_brackets() {
    check(
        "[DEFAULT]\nusedns = warn\n\
         [a]\nfilter = app[mode=two]\n\
         [b]\nfilter = app[mode=\"two\", x-extra='q, ]', plain=][re-two=other]\nbackend = systemd\n\
         [c]\nfilter = app[logtype=journal, maxlines=5]\nmaxlines = 9\n\
         [d]\nfilter = app\nfailregex = ^jail <HOST> <mode>\nignoreregex = ^jail1\n  ^jail2\njournalmatch = X=1\n\
         datepattern = EPOCH\n\
         [e]\nfilter = app[failregex=\"^arg <HOST>\", datepattern=\"TAI64N\", journalmatch='Y=2', usedns=yes]\n\
         failregex = ^jail <HOST>\ndatepattern = LEPOCH\njournalmatch = X=1\n\
         [f]\nfilter = bare\n[g]\nfilter = bare[prefregex=^x]\nprefregex = ^y\n\
         [h]\nfilter = strict\nmaxlines = 4\nprefregex = ^jail\nignoreregex = ^jail\n\
         [i]\nfilter = strict[maxlines=8, ignoreregex=]\njournalmatch =\n\
         [j]\nfilter = app[logtype=]\nbackend = systemd[journalflags=1]\n\
         [k]\nfilter = app[mode=none]\nprefregex = ^known <F-CONTENT>%(known/mode)s</F-CONTENT>\n",
        &[],
    );
}

#[test]
fn actions_take_their_parameters_from_the_jail_and_from_brackets() {
    check(
        "[DEFAULT]\nfilter = app\nport = http\nchain = <known/chain>\nlogpath = /var/log/x\nmaxretry = 05\n\
         act = block[port=\"%(port)s\", chain=\"%(chain)s\"]\n\
         [a]\naction = block\n\
         [b]\naction = %(act)s[blocktype=\"REJECT, now\"]\n         tell[name=%(__name__)s-udp]   call.py[to=me, actname=caller]\n\
         [c]\naction = block[actname=first, tool='a <b> c']  block[name=other]\n         block[name=c-more]\n\
         [d]\naction = tell[lock=<name>, secs=7]\nfindtime = 1h\nenabled = on\nbackend = polling\n\
         [e]\naction = call.py\n\n         block[\n   port=1,\n   chain=\"two\n   lines\"\n   ]\n\
         [f]\naction = block[actionban=\"mine <ip> <port>\", actionstart_on_demand=false, port=25]\n\
         [g]\naction =\n",
        &[(
            "action.d/block.local",
            "[Init]\nport = 2222\n[Definition]\n_more = %(known/_more)s again\n",
        )],
    );
}

#[test]
fn increments_and_times_are_read() {
    check(
        "[DEFAULT]\nfilter = app\nbantime.increment = true\n\
         [a]\nbantime = 1d12h\nbantime.factor = 2.0 / 2.885385\nbantime.maxtime = 5w\nbantime.rndtime = 1h 30\n\
         bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)\n\
         bantime.overalljails = Yes\nfindtime = 60*60*24\n\
         [b]\nbantime = -1\nbantime.multipliers = 1 2 4 8\nbantime.increment = off\nfindtime = 1year-6mo\n\
         ignoreself = false\nignoreip = 127.0.0.1/8 ::1, example.com\n   10.1.2.3/255.255.0.0\nignorecache = key=\"<ip>\", max-count=3, max-time=5m\n",
        &[],
    );
}

#[test]
fn files_are_taken_apart_as_configparser_does() {
    check(
        "# comment\n; comment\n  [DEFAULT]  junk behind\nfilter:app\nmaxretry = 3\n\
         [sec]tion]\nLogPath=/a\n\t/b\n\n\n    /c   ; gone\n  ; gone too\n    /d;kept\n    # and this\n    /e = f\n\
         IgnoreCommand   :   x = y : z  \n[jail two]\r\nlogpath =\r\n   /one\r\n   /two\r\n[DEFAULT]\nmaxmatches = 5\n\
         logencoding = a #b ;c\n  [indented]\n  findtime = 5\n    m\n  bantime = 6\n",
        &[],
    );
}

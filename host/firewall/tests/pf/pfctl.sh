#!/bin/sh
# Stands in for pfctl(8) in tests: keeps the rules and tables of an anchor as files beside itself, answers as
# FreeBSD 14's does, and records how it was called. The test writes `main`, `nat`, `status`, `states` and
# `interfaces`, and `refuse`: a call with that argument fails with the message in `refusal`.
set -eu
here=$(dirname "$0")
{
    printf '%s' "$*"
    printf '\n'
} >>"$here/calls"
anchor=
table=
command=
show=
flush=
file=
killed=
for word in "$@"; do
    if [ -f "$here/refuse" ] && [ "$word" = "$(cat "$here/refuse")" ]; then
        cat "$here/refusal" >&2
        exit 1
    fi
done
while [ $# -gt 0 ]; do
    case $1 in
    -P | -v) shift ;;
    -a) anchor=$2; shift 2 ;;
    -t) table=$2; shift 2 ;;
    -T) command=$2; shift 2 ;;
    -s) show=$2; shift 2 ;;
    -F) flush=$2; shift 2 ;;
    -f) file=$2; shift 2 ;;
    -k) killed="$killed $2"; shift 2 ;;
    *) echo "pfctl: unknown argument $1" >&2; exit 1 ;;
    esac
done
echo 'No ALTQ support in kernel' >&2
echo 'ALTQ related functions disabled' >&2
# Every address is told so on a line of its own, with its prefix length where it is a network.
listed() { sed 's/^/   /' "$1"; }
tables="$here/tables/$anchor"
need_table() {
    [ -f "$tables/$table" ] || { echo 'pfctl: Table does not exist.' >&2; exit 1; }
}
if [ -n "$killed" ]; then
    echo "killed 1 states from 1 sources and 0 destinations" >&2
    exit 0
fi
case $command in
add)
    mkdir -p "$tables"
    [ -f "$tables/$table" ] || { : >"$tables/$table"; echo '1 table created.' >&2; }
    cat >"$here/given"
    before=$(wc -l <"$tables/$table")
    sort -u "$tables/$table" "$here/given" -o "$tables/$table"
    after=$(wc -l <"$tables/$table")
    echo "$((after - before))/$(wc -l <"$here/given") addresses added." >&2
    exit 0
    ;;
delete)
    need_table
    cat >"$here/given"
    grep -vxFf "$here/given" "$tables/$table" >"$here/left" || true
    mv "$here/left" "$tables/$table"
    echo "addresses deleted." >&2
    exit 0
    ;;
show) need_table; listed "$tables/$table"; exit 0 ;;
kill) need_table; rm "$tables/$table"; echo '1 table deleted.' >&2; exit 0 ;;
esac
case $show in
info) cat "$here/status"; exit 0 ;;
rules) cat "$here/main"; exit 0 ;;
nat) cat "$here/nat"; exit 0 ;;
states) cat "$here/states"; exit 0 ;;
Interfaces) cat "$here/interfaces"; exit 0 ;;
Tables)
    [ -d "$tables" ] || { echo 'pfctl: Anchor or Ruleset does not exist.' >&2; exit 1; }
    ls "$tables"
    exit 0
    ;;
labels)
    [ -f "$here/rules" ] || { echo 'pfctl: DIOCGETRULES: Invalid argument' >&2; exit 1; }
    sed -n 's/^block .* label "\(.*\)"$/\1 12 3 180 3 180 0 0 0/p' "$here/rules"
    exit 0
    ;;
esac
case $flush in
rules) rm -f "$here/rules"; echo 'rules cleared' >&2; exit 0 ;;
Tables) rm -rf "$tables"; echo 'tables deleted.' >&2; exit 0 ;;
esac
if [ "$file" = - ] && [ "$anchor" = stockade ]; then
    cat >"$here/loading"
    # A rule must be one that pf.conf(5) knows.
    if grep -nvxE 'table <[a-zA-Z0-9._-]{1,31}> persist|block (drop|return) in quick( proto [a-z0-9]+)? from <[a-zA-Z0-9._-]{1,31}> to any( port [0-9]+(:[0-9]+)?)? label "[^" ]{1,63}"' "$here/loading" >"$here/wrong"; then
        sed 's/:.*/: syntax error/; s/^/stdin:/' "$here/wrong" >&2
        exit 1
    fi
    mkdir -p "$tables"
    sed -n 's/^table <\(.*\)> persist$/\1/p' "$here/loading" >"$here/named"
    while read -r name; do
        [ -f "$tables/$name" ] || : >"$tables/$name"
    done <"$here/named"
    mv "$here/loading" "$here/rules"
    exit 0
fi
echo "pfctl: nothing to do" >&2
exit 1

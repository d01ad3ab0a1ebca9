#!/bin/sh
# Keeps bans of stockade in a file that nginx includes. docs/firewall/exec.md says how to use it.
#
#   nginx-deny.sh start FILE                makes the file, so that nginx finds one to include
#   nginx-deny.sh ban FILE [RELOAD...]      the bans come as JSON on standard input (batch = true)
#   nginx-deny.sh unban FILE [RELOAD...]
#   nginx-deny.sh list FILE
#   nginx-deny.sh stop FILE [RELOAD...]     takes all bans out
#
# RELOAD is a program and its arguments, such as /usr/sbin/nginx -s reload. All of the file is ours.
set -eu

act=$1
file=$2
shift 2

# The lines of the bans that are told on standard input.
lines() {
    awk '
        function field(name) {
            if (!match($0, "\"" name "\":\"[^\"]*\"")) return ""
            return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
        }
        BEGIN { RS = "}" }
        field("ip") != "" && field("jail") != "" { print "deny " field("ip") "; # stockade " field("jail") }'
}

new=$(mktemp "$file.XXXXXX")
changes=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new" "$changes"' EXIT
chmod 644 "$new"
[ -e "$file" ] || [ "$act" = list ] || { : > "$file"; chmod 644 "$file"; }

case $act in
    start)
        exit 0
        ;;
    list)
        [ ! -e "$file" ] || sed -n 's/^deny \([^;]*\); # stockade \(.*\)$/\2 \1/p' "$file"
        exit 0
        ;;
    ban | unban)
        lines > "$changes"
        # Exit code 1: no line is left, which is no error.
        grep -vxF -f "$changes" "$file" > "$new" || [ $? -eq 1 ]
        [ "$act" = unban ] || cat "$changes" >> "$new"
        ;;
    stop) ;;
    *)
        echo "there is no '$act'" >&2
        exit 2
        ;;
esac
# Nobody ever sees half a file.
mv "$new" "$file"
[ $# -eq 0 ] || "$@"

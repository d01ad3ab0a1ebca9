#!/bin/sh
# Keeps bans of stockade in hosts.deny(5), for services that ask it. docs/firewall/exec.md says how to use it.
#
#   hosts-deny.sh ban FILE JAIL IP      IP: an address or a network
#   hosts-deny.sh unban FILE JAIL IP
#   hosts-deny.sh list FILE
#   hosts-deny.sh stop FILE             takes all bans out
#
# A ban is two lines: a comment that says whose it is, and the rule. All other lines stay as they are.
set -eu

act=$1
file=$(readlink -f "$2")
jail=${3-}
ip=${4-}

# What hosts.deny calls an address: IPv6 in brackets, IPv4 networks with a mask.
pattern() {
    echo "$1" | awk -F/ '
        /:/ { print "[" $1 "]" (NF > 1 ? "/" $2 : ""); next }
        NF == 1 { print $1; next }
        {
            for (i = 1; i <= 4; i++) {
                bits = $2 - 8 * (i - 1)
                bits = bits < 0 ? 0 : bits > 8 ? 8 : bits
                mask = mask (i > 1 ? "." : "") (256 - 2 ^ (8 - bits))
            }
            print $1 "/" mask
        }'
}

# The file without one ban, or without any.
without() {
    awk -v one="$1" '
        one != "" && $0 == one || one == "" && /^# stockade [^ ]+ [^ ]+$/ { getline; next }
        { print }' "$file"
}

[ -e "$file" ] || : > "$file"
if [ "$act" = list ]; then
    awk '/^# stockade [^ ]+ [^ ]+$/ { print $3, $4 }' "$file"
    exit 0
fi

# The new file takes the place of the old one, with its owner and mode: nobody ever sees half a file.
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
cp -p "$file" "$new"
mark="# stockade $jail $ip"
case $act in
    ban)
        without "$mark" > "$new"
        printf '%s\nALL: %s\n' "$mark" "$(pattern "$ip")" >> "$new"
        ;;
    unban)
        without "$mark" > "$new"
        ;;
    stop)
        without "" > "$new"
        ;;
    *)
        echo "there is no '$act'" >&2
        exit 2
        ;;
esac
mv "$new" "$file"

#!/bin/sh
# in-namespace.sh COMMAND...: runs a command in a network namespace of its own, with one interface (10.77.0.1) and
# nothing behind it. For peers that gather no ICE candidates on loopback, such as Firefox and aiortc. The
# namespace goes away with the command.
set -eu
# Whoever isn't root is root in a user namespace of their own.
[ "$(id -u)" = 0 ] || exec unshare --map-root-user "$0" "$@"
exec unshare --net sh -euc '
    ip link set lo up
    ip link add tercet0 type veth peer name tercet1
    ip address add 10.77.0.1/24 dev tercet0
    ip link set tercet0 up
    ip link set tercet1 up
    ip route add default dev tercet0
    exec "$@"
' in-namespace "$@"

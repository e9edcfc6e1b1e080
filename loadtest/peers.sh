#!/usr/bin/env bash
# Other conferencing servers on this machine, to run the same load against. As root, on Debian. Without arguments: how.
#
# Where each comes from, and why it is set up as it is:
#
# livekit  Go. Source of the newest release at $peers/src/livekit (repository livekit/livekit). `--dev` gives it a key to
#          sign tokens with, but two of its settings are those of production: a UDP port for each connection (a port
#          for all costs as much CPU time, and more latency), and a log of warnings only.
# janus    Debian's package. One event loop a core, which costs it half of what a thread for each connection does.
#          It skips interfaces that are flagged as loopback, and libnice sends by the interface that it finds first for
#          an address: so 127.0.0.5 is an address of a veth device, which Janus takes, and of lo, which libnice does.
# atm0s    Rust. Source at $peers/src/atm0s-media-server (repository 8xFF/atm0s-media-server), a single media node.
#          30 minutes of CPU time to build, with an ECDSA certificate in place of its RSA one. One worker: more don't
#          make it faster. Keep it at 100 participants.
# tercet   This project's, from target/release, in the same place as the others.
#
# All of them and the tester run in a network namespace of their own, with nothing behind it: they bind to what they
# like, and reach nobody.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

peers=${PEERS_DIR:-/var/tmp/tercet-peers}
target=${CARGO_TARGET_DIR:-$PWD/target}
namespace=tercet-peers
janus_address=127.0.0.5

usage() {
    cat <<'USAGE'
usage: loadtest/peers.sh install livekit|janus|atm0s       get it, or build it from the source below $PEERS_DIR/src
       loadtest/peers.sh run NAME [ARGS]                   start it, `tercet-loadtest run ARGS` against it, stop it
       loadtest/peers.sh start tercet|livekit|janus|atm0s  start it, wait until it listens, print its process id
       loadtest/peers.sh has NAME                          whether it is there
       loadtest/peers.sh stop NAME                         stop it
       loadtest/peers.sh exec COMMAND...                   run something in their network namespace
       loadtest/peers.sh clean                             remove the namespace
$PEERS_DIR is /var/tmp/tercet-peers unless set.
USAGE
}

die() {
    printf 'peers.sh: %s\n' "$*" >&2
    exit 1
}

source_of() {
    [[ -d $peers/src/$1 ]] || die "put the source of $1 at $peers/src/$1 (see the head of $0)"
    printf '%s\n' "$peers/src/$1"
}

install() {
    mkdir -p "$peers/bin"
    case $1 in
        livekit)
            (cd "$(source_of livekit)" && go build -o "$peers/bin/livekit-server" ./cmd/server)
            ;;
        janus)
            apt-get install -y --no-install-recommends janus
            ;;
        atm0s)
            local source
            source=$(source_of atm0s-media-server)
            apt-get install -y --no-install-recommends cmake libsoxr-dev pkg-config
            # The console's pages, which a media node doesn't serve, would be built by npm.
            mkdir -p "$source/packages/media_console_front/react-app/dist"
            touch "$source/packages/media_console_front/react-app/dist/index.html"
            # Its certificate is RSA, which the tester's DTLS doesn't have, and a client without a cipher in common makes
            # it abort. The handshake is all that this changes.
            (cd "$source" && RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-1.95.0} cargo fetch --locked)
            rm -rf "$peers/src/str0m"
            cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/str0m-0.6.3 "$peers/src/str0m"
            sed -i -e '/let f4 = BigNum/d' -e 's/PKey::from_rsa/PKey::from_ec_key/' -e 's/MessageDigest::sha1/MessageDigest::sha256/' \
                -e 's/Rsa::generate_with_e(.*)?/openssl::ec::EcKey::generate(\&*openssl::ec::EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?/' \
                "$peers/src/str0m/src/crypto/ossl/cert.rs"
            # Its own choice of toolchain may be one that is not installed; with this one it builds. The patch takes a
            # line out of the lock file, and nothing else.
            (cd "$source" && SKIP_BUILD_CONSOLE_FRONT=1 RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-1.95.0} \
                cargo build --release --offline --config "patch.crates-io.str0m.path='$peers/src/str0m'" \
                --target-dir "$peers/atm0s-target" -p atm0s-media-server)
            cp "$peers/atm0s-target/release/atm0s-media-server" "$peers/bin/"
            ;;
        *) die "don't know how to install $1" ;;
    esac
}

inside() {
    ip netns exec "$namespace" "$@"
}

make_namespace() {
    [[ ! -e /run/netns/$namespace ]] || return 0
    ip netns add "$namespace"
    inside sh -euc '
        ip link set lo up
        ip address add '$janus_address'/32 dev lo
        ip link add tercet-janus type veth peer name tercet-none
        ip address add '$janus_address'/32 dev tercet-janus
        ip link set tercet-janus up
        ip link set tercet-none up
    '
}

livekit_configuration() {
    cat <<'YAML'
port: 7880
bind_addresses: ["127.0.0.1"]
logging: { level: warn }
rtc:
  port_range_start: 50000
  port_range_end: 60000
  use_external_ip: false
  enable_loopback_candidate: true
  interfaces: { includes: [lo] }
YAML
}

# Everything of Janus's but VideoRoom and WebSockets is left out.
janus_configuration() {
    local folder=$1 libraries
    libraries=$(dirname "$(find /usr/lib -name 'libjanus_videoroom.so' -print -quit)")
    libraries=$(dirname "$libraries")
    others() {
        find "$libraries/$1" -name '*.so' ! -name "$2" -printf '%f\n' | paste -sd ,
    }
    mkdir -p "$folder"
    cat >"$folder/janus.jcfg" <<CONFIG
general: {
    plugins_folder = "$libraries/plugins"
    transports_folder = "$libraries/transports"
    events_folder = "$libraries/events"
    loggers_folder = "$libraries/loggers"
    debug_level = 1
    event_loops = $(nproc)
}
nat: {
    ice_lite = true
    ice_enforce_list = "tercet-janus"
}
plugins: { disable = "$(others plugins libjanus_videoroom.so)" }
transports: { disable = "$(others transports libjanus_websockets.so)" }
loggers: { disable = "libjanus_jsonlog.so" }
CONFIG
    echo 'general: { string_ids = true }' >"$folder/janus.plugin.videoroom.jcfg"
    echo 'general: { json = "compact", ws = true, ws_port = 8188, ws_ip = "127.0.0.1" }' \
        >"$folder/janus.transport.websockets.jcfg"
}

start() {
    local name=$1 port server=() state=$peers/run/$1
    ((EUID == 0)) || die 'network namespaces are for root to make'
    has "$name" || die "$name is not there: install it first"
    mkdir -p "$state"
    [[ ! -e $state/pid ]] || ! kill -0 "$(<"$state/pid")" 2>/dev/null || die "$name runs already"
    case $name in
        tercet)
            port=8080 server=("$target/release/tercet" serve)
            ;;
        livekit)
            livekit_configuration >"$state/livekit.yaml"
            port=7880 server=("$peers/bin/livekit-server" --dev --node-ip 127.0.0.1 --config "$state/livekit.yaml")
            ;;
        janus)
            janus_configuration "$state"
            port=8188 server=(janus --configs-folder="$state")
            ;;
        atm0s)
            export RUST_LOG=${RUST_LOG:-error}
            port=3000 server=("$peers/bin/atm0s-media-server" --workers 1 --http-port 3000 --node-ip 127.0.0.1
                --sdn-zone-id 0 --sdn-zone-node-id 1
                media --enable-token-api --disable-gateway-agent --disable-connector-agent)
            ;;
        *) die "don't know how to start $name" ;;
    esac
    make_namespace
    # `ip netns exec` becomes the server: the process id is the server's.
    (cd "$state" && exec ip netns exec "$namespace" "${server[@]}" >log 2>&1 </dev/null) &
    echo $! >"$state/pid"
    for ((tries = 0; tries < 100; tries++)); do
        if inside bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null; then
            echo "$!"
            return
        fi
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$state/log" >&2
    die "$name doesn't listen on port $port; its log is $state/log"
}

stop() {
    local state=$peers/run/$1 pid
    [[ -e $state/pid ]] || return 0
    pid=$(<"$state/pid")
    rm "$state/pid"
    # The first asks, and some drain for long; it has no participants any more.
    kill "$pid" 2>/dev/null || return 0
    for ((tries = 0; tries < 20; tries++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

has() {
    case $1 in
        tercet) [[ -x $target/release/tercet ]] ;;
        janus) command -v janus >/dev/null ;;
        livekit) [[ -x $peers/bin/livekit-server ]] ;;
        atm0s) [[ -x $peers/bin/atm0s-media-server ]] ;;
        *) die "there is no server called $1" ;;
    esac
}

version_of() {
    case $1 in
        tercet) git describe --always --dirty 2>/dev/null || "$target/release/tercet" version ;;
        livekit) "$peers/bin/livekit-server" --version ;;
        janus) dpkg-query --show --showformat '${Version}' janus ;;
        atm0s) "$peers/bin/atm0s-media-server" --version ;;
    esac | awk '{ print $NF; exit }'
}

run() {
    local name=$1
    shift
    # shellcheck disable=SC2064 # The name is known now.
    trap "stop '$name'" EXIT
    start "$name" >/dev/null
    inside "$target/release/tercet-loadtest" run --target "$name" --target-version "$(version_of "$name")" \
        --server-pid "$(<"$peers/run/$name/pid")" "$@"
}

command=${1:-}
case $command in
    install | start | stop | run | has)
        (($# > 1)) || die "$command what?"
        "$@"
        ;;
    exec)
        shift
        make_namespace
        inside "$@"
        ;;
    clean) [[ ! -e /run/netns/$namespace ]] || ip netns delete "$namespace" ;;
    '' | -h | --help) usage ;;
    *) die "no command $command; run it without arguments" ;;
esac

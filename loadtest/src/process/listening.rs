//! An address and a process id in, whether that process listens on that address out: from `/proc`, so on Linux only.
//!
//! Whoever passes the id of a shell, of a wrapper or of yesterday's server would get figures of that.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

/// `TCP_LISTEN` (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// Whether a process listens for TCP connections to an address; `None` where that can't be told: nobody listens in this
/// network namespace, or the process is not ours to look into.
pub(crate) fn listens(pid: u32, address: SocketAddr) -> Option<bool> {
    // One of the tables is missing on machines without that family.
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let inodes: Vec<u64> = [read("/proc/net/tcp"), read("/proc/net/tcp6")]
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(parse)
        .filter(|(local, _)| accepts(*local, address))
        .map(|(_, inode)| inode)
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let sockets = sockets_of(pid).ok()?;
    Some(sockets.iter().any(|socket| inodes.contains(socket)))
}

/// The address and the inode of a listening socket: the columns are its number, local and remote address, state, queues, timer,
/// retransmissions, user, timeout, inode (proc(5)).
fn parse(line: &str) -> Option<(SocketAddr, u64)> {
    let mut columns = line.split_whitespace().skip(1);
    let local = columns.next()?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?;
    if state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    Some((SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?), inode.parse().ok()?))
}

/// Words of 32 bits as the machine has them, in hexadecimal.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let word = u32::from_str_radix(hex.get(index * 8..index * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let octets = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into())
        }
        _ => None,
    }
}

/// Whether a socket with this local address gets the connections to that one.
fn accepts(local: SocketAddr, to: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    // One that is bound to all of IPv6 usually takes IPv4 too.
    local.port() == to.port()
        && (ip == to.ip().to_canonical() || ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4()))
}

/// The inodes of a process's sockets: links to `socket:[4711]`.
fn sockets_of(pid: u32) -> io::Result<Vec<u64>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed meanwhile is none of those that listen.
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let name = str::from_utf8(link.as_os_str().as_bytes()).ok();
        let inode: Option<u64> =
            name.and_then(|it| it.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        sockets.extend(inode);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn who_listens_is_told_from_who_does_not() {
        let mut other = Command::new("sleep").arg("30").stdin(Stdio::null()).spawn().unwrap();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let to = SocketAddr::new(
                match listener.local_addr().unwrap().ip() {
                    ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    ip => ip,
                },
                listener.local_addr().unwrap().port(),
            );
            assert_eq!(listens(std::process::id(), to), Some(true), "{address}");
            assert_eq!(listens(other.id(), to), Some(false), "{address}");
            drop(listener);
            assert_eq!(listens(std::process::id(), to), None, "{address}: nobody listens");
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_connection_is_no_listener() {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        let line = |state| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0"
            )
        };
        assert_eq!((parse(header), parse(&line("01")), parse("")), (None, None, None));
        // Little-endian, as the line above was read.
        if cfg!(target_endian = "little") {
            assert_eq!(parse(&line("0A")), Some(("127.0.0.1:8080".parse().unwrap(), 4_711)));
        }
    }

    #[test]
    fn a_socket_for_another_address_is_not_meant() {
        let accepts = |local: &str, to: &str| accepts(local.parse().unwrap(), to.parse().unwrap());
        assert!(accepts("[::]:80", "127.0.0.1:80") && accepts("[::ffff:127.0.0.1]:80", "127.0.0.1:80"));
        assert!(!accepts("0.0.0.0:80", "[::1]:80") && !accepts("127.0.0.2:80", "127.0.0.1:80"));
        assert!(!accepts("127.0.0.1:81", "127.0.0.1:80"));
    }
}

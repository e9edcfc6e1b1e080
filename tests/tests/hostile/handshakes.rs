//! DTLS handshakes that go wrong, or come in pieces.

use std::time::{Duration, Instant};

use anyhow::Context;
use tercet_loadtest::{Peer, PeerOptions, SignallingError};
use tercet_protocol::{ErrorCode, Request};
use tercet_tests::Server;

use crate::hand::{Hand, SLOTS, unchanged};
use crate::{A_MOMENT, Bystanders, assert_unharmed};

/// The header of a DTLS record, and of the handshake message that it begins with.
const RECORD_BYTES: usize = 13;
const HANDSHAKE_BYTES: usize = 12;

fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.len() > RECORD_BYTES + HANDSHAKE_BYTES && datagram[0] == 22 && datagram[RECORD_BYTES] == 1
}

/// The same ClientHello (RFC 6347, section 4.2.1), offering nothing but this cipher suite.
fn with_cipher(mut client_hello: Vec<u8>, cipher: [u8; 2]) -> Vec<u8> {
    let session_id = RECORD_BYTES + HANDSHAKE_BYTES + 2 + 32;
    let cookie = session_id + 1 + usize::from(client_hello[session_id]);
    let suites = cookie + 1 + usize::from(client_hello[cookie]);
    let length = usize::from(u16::from_be_bytes([client_hello[suites], client_hello[suites + 1]]));
    for suite in client_hello[suites + 2..suites + 2 + length].chunks_exact_mut(2) {
        suite.copy_from_slice(&cipher);
    }
    client_hello
}

/// A client whose handshake offers nothing but this cipher suite, after it has failed.
async fn hand_without_a_handshake(server: &Server, identity: &str, cipher: [u8; 2]) -> anyhow::Result<Hand> {
    let mut hand = Hand::negotiate(server, "r", identity).await?;
    let mut hellos = 0;
    let mut pass = |datagram: Vec<u8>| {
        if !is_client_hello(&datagram) {
            return vec![datagram];
        }
        hellos += 1;
        vec![with_cipher(datagram, cipher)]
    };
    // The server may say so with an alert, on which the peer gives up.
    let _ = hand.run(Duration::from_secs(2), &mut pass, |hand| hand.connected).await;
    assert!(hellos > 0 && !hand.connected, "{hellos} ClientHellos, connected: {}", hand.connected);
    Ok(hand)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_common_cipher_ends_alone_and_a_fresh_offer_mends_it() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    // TLS_PSK_WITH_AES_128_CCM_8 is known and can't be had; the session is told on its next offer.
    let mut refused = hand_without_a_handshake(&server, "refused", [0xc0, 0xa8]).await?;
    let sdp = Peer::new(Instant::now(), refused.peer.local(), PeerOptions::default())?.offer(SLOTS);
    match refused.signalling.request(Request::Offer { sdp, fresh: false }).await {
        Err(SignallingError::Refused(error)) => assert_eq!(error.code, ErrorCode::NoConnection),
        other => anyhow::bail!("{other:?} in place of a refusal"),
    }
    // A number that nobody has given to anything: dimpl waits for a ClientHello that it can read.
    let unread = hand_without_a_handshake(&server, "unread", [0x5a, 0x5a]).await?;
    for mut hand in [refused, unread] {
        hand.replace_peer().await?;
        hand.run(A_MOMENT, &mut unchanged, |_| false).await?;
        assert!(hand.packets.len() > 10, "{} packets on the new connection", hand.packets.len());
    }
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

/// A ClientHello in two records (RFC 6347, section 4.2.3), the second numbered one higher.
fn in_two_fragments(client_hello: &[u8]) -> [Vec<u8>; 2] {
    let (header, body) = client_hello.split_at(RECORD_BYTES + HANDSHAKE_BYTES);
    let half = body.len() / 2;
    let fragment = |record_offset: u64, fragment_offset: usize, part: &[u8]| {
        let mut record = header.to_vec();
        renumber(&mut record, record_offset);
        record[11..13].copy_from_slice(&((HANDSHAKE_BYTES + part.len()) as u16).to_be_bytes());
        record[RECORD_BYTES + 6..RECORD_BYTES + 9].copy_from_slice(&u24(fragment_offset));
        record[RECORD_BYTES + 9..RECORD_BYTES + 12].copy_from_slice(&u24(part.len()));
        record.extend_from_slice(part);
        record
    };
    [fragment(0, 0, &body[..half]), fragment(1, half, &body[half..])]
}

fn u24(number: usize) -> [u8; 3] {
    let [_, high, middle, low] = (number as u32).to_be_bytes();
    [high, middle, low]
}

/// Adds to the sequence numbers of the unencrypted records in a datagram.
fn renumber(datagram: &mut [u8], by: u64) {
    let mut at = 0;
    while let Some(record) = datagram.get_mut(at..).filter(|rest| rest.len() >= RECORD_BYTES) {
        let (epoch, length) = (u16::from_be_bytes([record[3], record[4]]), [record[11], record[12]]);
        if epoch == 0 {
            let mut number = [0; 8];
            number[2..].copy_from_slice(&record[5..11]);
            let number = u64::from_be_bytes(number) + by;
            record[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        }
        at += RECORD_BYTES + usize::from(u16::from_be_bytes(length));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_in_two_datagrams_is_put_together_in_either_order() -> anyhow::Result<()> {
    let server = Server::start()?;
    for (identity, swapped) in [("in-order", false), ("swapped", true)] {
        let mut hand = Hand::negotiate(&server, "r", identity).await?;
        let mut split = 0;
        let mut pass = |mut datagram: Vec<u8>| {
            if !(20..64).contains(&datagram[0]) {
                return vec![datagram];
            }
            renumber(&mut datagram, split);
            if !is_client_hello(&datagram) {
                return vec![datagram];
            }
            split += 1;
            let [first, second] = in_two_fragments(&datagram);
            if swapped { vec![second, first] } else { vec![first, second] }
        };
        hand.connect(&mut pass).await.with_context(|| identity.to_owned())?;
        assert!(split > 0, "{identity}: no ClientHello was split");
    }
    assert_unharmed(&server).await
}

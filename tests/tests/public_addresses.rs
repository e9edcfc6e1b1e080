//! A server behind NAT that maps ports: clients know its public addresses only, and are served by UDP and by TCP.

use std::net::SocketAddr;

use tercet_loadtest::Voice;
use tercet_protocol::Role;
use tercet_tests::Server;
use tercet_tests::listening::assert_settles_on;
use tercet_tests::namespace::{enter, raise_loopback, translate_on_loopback};

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_server_by_its_public_addresses_and_ports() -> anyhow::Result<()> {
    if !enter("clients_reach_a_server_by_its_public_addresses_and_ports")? {
        return Ok(());
    }
    raise_loopback()?;
    let (public, bound) = ("127.0.0.2:40000", "127.0.0.1:50000");
    translate_on_loopback(public.parse()?, bound.parse()?)?;
    let arguments = ["--workers", "1", "--media-udp", bound];
    let announced = ["--media-udp-public", public, "--media-tcp-public", public];
    let server = Server::start_with(&[&arguments[..], &announced].concat())?;

    let mut udp = server.join("r", "udp", Role::Speaker).await?;
    udp.speak(Voice::new(1, -20)).await?;
    let mut options = server.ticket("r", "tcp", Role::Speaker)?;
    // It is told of this address alone, as all clients are: by another it would have no way.
    options.media_tcp = Some(public.parse::<SocketAddr>()?);
    let mut tcp = server.join_with(options).await?;
    tcp.speak(Voice::new(2, -20)).await?;
    assert_settles_on(&mut udp, [2]).await;
    assert_settles_on(&mut tcp, [1]).await;
    Ok(())
}

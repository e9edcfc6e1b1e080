//! Nodes in namespaces of their own, and what becomes of rooms when the network between them fails.

use std::time::{Duration, Instant};

use tercet_loadtest::{Client, Voice};
use tercet_protocol::Role;
use tercet_tests::Server;
use tercet_tests::cluster::wait_for_metric;
use tercet_tests::listening::{assert_continuous, assert_settles_on, hears, voices};
use tercet_tests::namespace::{Router, address, enter};

const MEDIA: [&str; 2] = ["--role", "media"];

async fn speaker(server: &Server, number: u32) -> anyhow::Result<Client> {
    let client = server.join("r", &format!("speaker-{number}"), Role::Speaker).await?;
    client.speak(Voice::new(number, -20)).await?;
    Ok(client)
}

async fn know_each_other(nodes: &[&Server]) -> anyhow::Result<()> {
    for node in nodes {
        wait_for_metric(node, "tercet_cluster_nodes", "", nodes.len() as f64).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_in_a_line_hear_each_other_through_the_one_between() -> anyhow::Result<()> {
    if !enter("zones_in_a_line_hear_each_other_through_the_one_between")? {
        return Ok(());
    }
    let mut router = Router::new()?;
    router.cut(1, 3)?;
    let middle = router.start(2, 1, None, &MEDIA)?;
    let seed = Some(address(2, 1));
    let (one, three) = (router.start(1, 1, seed, &MEDIA)?, router.start(3, 1, seed, &MEDIA)?);
    know_each_other(&[&one, &middle, &three]).await?;
    let (mut ada, mut ben) = (speaker(&one, 1).await?, speaker(&three, 3).await?);
    assert_settles_on(&mut ada, [3]).await;
    assert_settles_on(&mut ben, [1]).await;
    ada.skip_packets();
    let packets = ada.packets_for(Duration::from_secs(5)).await;
    assert_continuous(&packets);
    assert!(packets.len() > 240, "{}", packets.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_zones_parts_a_room_and_its_end_joins_it() -> anyhow::Result<()> {
    if !enter("a_cut_between_zones_parts_a_room_and_its_end_joins_it")? {
        return Ok(());
    }
    let mut router = Router::new()?;
    let one = router.start(1, 1, None, &MEDIA)?;
    let seed = Some(address(1, 1));
    let (beside, two) = (router.start(1, 2, seed, &MEDIA)?, router.start(2, 1, seed, &MEDIA)?);
    know_each_other(&[&one, &beside, &two]).await?;
    let (mut ada, mut ben) = (speaker(&one, 1).await?, speaker(&beside, 2).await?);
    let mut cyd = speaker(&two, 3).await?;
    assert_settles_on(&mut ada, [2, 3]).await;
    assert_settles_on(&mut cyd, [1, 2]).await;
    ada.skip_packets();
    router.cut(1, 2)?;
    let packets = ada.packets_for(Duration::from_secs(16)).await;
    let near = packets.iter().filter(|p| tercet_tests::listening::publisher(p) == Some(2)).count();
    assert!(near > 16 * 50 - 40, "the others of the zone go on unbroken: {near} packets");
    assert_eq!(hears(&mut cyd).await, [].into());
    router.mend()?;
    let mended = Instant::now();
    loop {
        if voices(&ada.packets_for(Duration::from_millis(500)).await).contains(&3) {
            break;
        }
        assert!(mended.elapsed() < Duration::from_secs(20), "the room is not whole again");
    }
    assert_settles_on(&mut cyd, [1, 2]).await;
    assert_settles_on(&mut ben, [1, 3]).await;
    let late = two.join("r", "late", Role::Listener).await?;
    let ids: Vec<&str> = late.welcome().participants.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["late", "speaker-1", "speaker-2", "speaker-3"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_network_between_nodes_costs_what_it_loses_and_nothing_else() -> anyhow::Result<()> {
    if !enter("a_lossy_network_between_nodes_costs_what_it_loses_and_nothing_else")? {
        return Ok(());
    }
    let mut router = Router::new()?;
    let one = router.start(1, 1, None, &MEDIA)?;
    let two = router.start(1, 2, Some(address(1, 1)), &MEDIA)?;
    router.lose(10)?;
    know_each_other(&[&one, &two]).await?;
    let (mut ada, mut ben) = (speaker(&one, 1).await?, speaker(&two, 2).await?);
    assert_settles_on(&mut ada, [2]).await;
    assert_settles_on(&mut ben, [1]).await;
    ada.skip_packets();
    let packets = ada.packets_for(Duration::from_secs(20)).await;
    let expected = 20 * 50;
    assert!(packets.len() > expected * 80 / 100 && packets.len() < expected * 98 / 100, "{}", packets.len());
    for node in [&one, &two] {
        assert_eq!(node.metric("tercet_cluster_nodes", "").await?, 2.0);
    }
    // All that has to arrive does.
    let late = two.join("r", "late", Role::Listener).await?;
    assert_eq!(late.welcome().participants.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_a_moment_is_waited_for_and_for_long_is_not() -> anyhow::Result<()> {
    if !enter("a_node_that_stands_still_for_a_moment_is_waited_for_and_for_long_is_not")? {
        return Ok(());
    }
    let mut router = Router::new()?;
    let one = router.start(1, 1, None, &MEDIA)?;
    let slow = router.start(1, 2, Some(address(1, 1)), &MEDIA)?;
    know_each_other(&[&one, &slow]).await?;
    let (mut ada, mut ben) = (speaker(&one, 1).await?, speaker(&slow, 2).await?);
    assert_settles_on(&mut ada, [2]).await;
    slow.signal("STOP")?;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    slow.signal("CONT")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(one.metric("tercet_cluster_nodes", "").await?, 2.0);
    assert_settles_on(&mut ada, [2]).await;
    slow.signal("STOP")?;
    wait_for_metric(&one, "tercet_cluster_nodes", "", 1.0).await?;
    slow.signal("CONT")?;
    know_each_other(&[&one, &slow]).await?;
    assert_settles_on(&mut ada, [2]).await;
    assert_settles_on(&mut ben, [1]).await;
    Ok(())
}

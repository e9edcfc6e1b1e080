//! Starts of the server.

use std::process::Output;

use tercet_tests::cluster::CLUSTER_SECRET;
use tercet_tests::{Server, server_command};

use crate::{config_file, path};

/// Starts a server that has to refuse: its exit code and what it says.
fn refused_start(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = server_command()?;
    command.arg("serve").args(arguments).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success() && status.code().is_some(), "{arguments:?} started: {status}, {said}");
    assert!(stdout.is_empty(), "nothing is announced that isn't there");
    Ok(said)
}

#[test]
fn a_server_that_others_could_reach_does_not_start_without_a_secret() -> anyhow::Result<()> {
    let (http, media) = (["--http", "0.0.0.0:0"], ["--http", "127.0.0.1:0", "--media-udp", "0.0.0.0:0"]);
    for arguments in [&http[..], &media, &["--http", "[::]:0"], &["--public-ip", "203.0.113.7"]] {
        let said = refused_start(arguments, &[])?;
        assert!(said.starts_with("error: ") && said.contains("TERCET_SECRET"), "{said}");
    }
    let said = refused_start(&http, &[("TERCET_SECRET", "short")])?;
    assert!(said.contains("at least 32"), "{said}");
    let said = refused_start(&http, &[("TERCET_SECRET", "tercet-development-secret-known-to-everybody")])?;
    assert!(said.contains("everybody knows"), "{said}");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_by_name() -> anyhow::Result<()> {
    let cases = [
        ("htpp = '127.0.0.1:0'\n", "htpp"),
        ("[session]\nidle_s = 3\n", "idle_s"),
        ("[room]\nslots = 9\n", "room.slots"),
        ("[room]\nslots = 'three'\n", "invalid type"),
        ("[limits]\nsessions_max = 0\n", "limits.sessions_max"),
        ("[rooms.\"a\\nb\"]\nslots = 1\n", "rooms"),
        ("http = [\n", ":1:"),
    ];
    for (text, name) in cases {
        let file = config_file(text)?;
        let said = refused_start(&["--config", path(&file)?], &[])?;
        assert!(said.starts_with("error: ") && said.contains(name), "{text:?}: {said}");
    }
    let said = refused_start(&["--config", "/nowhere/tercet.toml"], &[])?;
    assert!(said.contains("/nowhere/tercet.toml"), "{said}");
    Ok(())
}

#[test]
fn an_unknown_variable_or_flag_is_refused_by_name() -> anyhow::Result<()> {
    let said = refused_start(&[], &[("TERCET_SECERT", "x")])?;
    assert!(said.contains("TERCET_SECERT") && said.contains("TERCET_SECRET"), "{said}");
    let said = refused_start(&["--htpp", "127.0.0.1:0"], &[])?;
    assert!(said.contains("--htpp"), "{said}");
    let said = refused_start(&[], &[("TERCET_WORKERS", "many")])?;
    assert!(said.contains("many"), "{said}");
    Ok(())
}

#[test]
fn what_makes_no_node_of_a_cluster_is_refused_by_name() -> anyhow::Result<()> {
    let numbers = [
        (["--node-id", "256"], "1 to 255"),
        (["--node-id", "0"], "1 to 255"),
        (["--zone", "-1"], "0 to 255"),
        (["--zone", "256"], "0 to 255"),
    ];
    for (arguments, message) in numbers {
        let said = refused_start(&arguments, &[])?;
        assert!(said.contains(arguments[0]) && said.contains(message), "{said}");
    }
    let said = refused_start(&[], &[("TERCET_NODE_ID", "")])?;
    assert!(said.contains("--node-id") && said.contains("unset the variable"), "{said}");
    let said = refused_start(&["--node-id", "2", "--http-public", "https://a.example.com"], &[])?;
    assert!(said.contains("cluster.node_id, cluster.http_public") && said.contains("TERCET_CLUSTER_SECRET"));
    let secret = ["--cluster-secret", CLUSTER_SECRET];
    let public = [&secret[..], &["--cluster-public", "0.0.0.0:50100"]].concat();
    let said = refused_start(&public, &[])?;
    assert!(said.contains("cluster.public 0.0.0.0:50100"), "{said}");
    Ok(())
}

#[test]
fn a_check_reads_the_zone_map_too() -> anyhow::Result<()> {
    let zones = config_file("[zones]\n1 = ['10.0.0.0/8', '10.1.2.3']\n")?;
    for (zone_map, message) in
        [("/nowhere/zones.toml", "/nowhere/zones.toml"), (path(&zones)?, "\"10.1.2.3\"")]
    {
        let text = format!("[cluster]\nsecret = '{CLUSTER_SECRET}'\nzone_map = '{zone_map}'\n");
        let file = config_file(&text)?;
        let checked = server_command()?.args(["config", "--check", path(&file)?]).output()?;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success() && said.contains(message), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (http, media) = (server.http.to_string(), server.media[0].to_string());
    let taken = [
        vec!["--http", &http, "--media-udp", "127.0.0.1:0"],
        vec!["--http", "127.0.0.1:0", "--workers", "1", "--media-udp", &media],
    ];
    for (arguments, address) in taken.into_iter().zip([&http, &media]) {
        let said = refused_start(&arguments, &[])?;
        assert!(said.contains(address.as_str()), "{said}");
    }
    server.assert_serves().await
}

//! The load tester's phones: a few call a room in which others talk, and everything about them is counted.

use std::time::{Duration, Instant};

use audio_mixer::Codec;
use serde_json::Value;
use tercet_loadtest::{Outcome, PhoneOptions, Report, RunOptions, Scenario, Target};
use tercet_tests::{SECRET, SOON, Server};

/// Rooms with three who talk in turns, and three phones each.
fn options(server: &Server, rooms: u32) -> anyhow::Result<RunOptions> {
    let scenario = Scenario::named("sip-mix").expect("it is one of the scenarios");
    let scenario = Scenario { rooms, listeners: 3, window: Duration::from_secs(4), ..scenario };
    Ok(RunOptions {
        secret: Some(SECRET.to_owned()),
        server_pid: Some(server.pid()),
        phones: PhoneOptions {
            server: server.sip.expect("it was started with phones"),
            ..PhoneOptions::default()
        },
        ..RunOptions::new(scenario, Target::Tercet, server.url()?)
    })
}

fn kept(report: &Report) -> anyhow::Result<Vec<(String, Option<u64>)>> {
    let json = serde_json::to_value(report)?;
    let promises = json["promises"].as_array().into_iter().flatten();
    let name = |promise: &Value| promise["promise"].as_str().unwrap_or_default().to_owned();
    Ok(promises.map(|promise| (name(promise), promise["kept"].as_u64())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_call_in_hear_who_talks_and_lose_nothing() -> anyhow::Result<()> {
    let server = Server::start_with(&["--sip", "127.0.0.1:0"])?;
    let of = |codec| {
        let mut options = options(&server, 1)?;
        options.phones.codec = codec;
        anyhow::Ok(tercet_loadtest::run(options))
    };
    let [pcmu, pcma, g722, opus] = Codec::ALL;
    let reports = tokio::try_join!(of(pcmu)?, of(pcma)?, of(g722)?, of(opus)?)?;
    for (codec, report) in Codec::ALL.into_iter().zip(<[Report; 4]>::from(reports)) {
        println!("{report}");
        let kept = kept(&report)?;
        for promise in ["every call answered", "no call lost", "no loss to phones", "phones hear who talks"] {
            assert!(kept.contains(&(promise.to_owned(), Some(1))), "{promise}: {report}");
        }
        let calls = serde_json::to_value(&report)?["calls"].clone();
        assert_eq!(calls["codec"], codec.encoding_name());
        assert_eq!((&calls["answered"]["succeeded"], &calls["sound"]["phones"]), (&3.into(), &3.into()));
        // 50 packets a second each way, give or take what a busy machine delays.
        for way in ["packets_in", "packets_out"] {
            let packets = calls[way].as_u64().unwrap_or(0);
            assert!((500..700).contains(&packets), "{way} {packets}: {report}");
        }
        assert!(calls["cost"]["room_cpu_percent"].as_f64() > Some(0.0), "{calls}");
    }
    // All have hung up, which the metrics tell of in their own time.
    let deadline = Instant::now() + SOON;
    while server.metric("tercet_sip_calls", "").await? > 0.0 {
        assert!(Instant::now() < deadline, "calls are left");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_no_more_is_told_which_settings_let_them() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tercet.toml");
    std::fs::write(&file, "[sip]\ncalls_max = 4\n")?;
    let server = Server::start_with(&["--sip", "127.0.0.1:0", "--config", &file.display().to_string()])?;
    let report = tercet_loadtest::run(options(&server, 2)?).await?;
    assert_eq!(report.outcome(), Outcome::Broken);
    assert!(kept(&report)?.contains(&("every call answered".to_owned(), Some(0))), "{report}");
    let text = report.to_string();
    assert!(text.contains("2 calls failed, the first: 503") && text.contains("sip.calls_max"), "{text}");
    Ok(())
}

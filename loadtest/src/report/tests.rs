use std::time::{Duration, Instant};

use super::*;
use crate::run::{Outcomes, Readings, RunOptions};
use crate::{Counts, Histogram, ProcessSample, StreamTotals};

fn sample(cpu_ms: u64, resident_bytes: u64) -> ProcessSample {
    let half = Duration::from_millis(cpu_ms / 2);
    ProcessSample { user: half, system: half, resident_bytes }
}

fn readings(at: Instant, server: ProcessSample, counts: Counts) -> Readings {
    let (tester, machine_cpu) = (ProcessSample::default(), Duration::ZERO);
    Readings { at, counts, signalling_failed: 0, server: Some(server), tester, machine_cpu }
}

fn report(name: &str, counts: Counts) -> Report {
    Report::new(measured(name, counts))
}

fn measured(name: &str, counts: Counts) -> Measured {
    let now = Instant::now();
    let times = vec![Duration::from_millis(3); 100];
    Measured {
        options: RunOptions::of_tests(name),
        server_name: Some("tercet".to_owned()),
        joins: Outcomes { times, elapsed: Duration::from_secs(1), ..Outcomes::default() },
        late_joins: Outcomes::default(),
        empty: Some(sample(0, 10_000_000)),
        before: readings(now, sample(500, 20_000_000), Counts::default()),
        after: readings(now + Duration::from_secs(10), sample(1_500, 21_000_000), counts),
        direct: None,
        floors: None,
        calls: None,
    }
}

fn counts() -> Counts {
    let steady = StreamTotals { expected: 150_000, received: 150_000, ..StreamTotals::default() };
    let mut counts = Counts { packets_in: 5_000, packets_out: 150_000, steady, ..Counts::default() };
    counts.heard.packets = 20_000;
    counts.silences.add(Duration::from_millis(320));
    counts.heard.onset_missing.record(Duration::ZERO);
    counts
}

fn verdict(report: &Report, name: &str) -> Option<bool> {
    report.promises.iter().find(|it| it.promise == name).and_then(|it| it.kept)
}

#[test]
fn the_servers_cost_is_shared_out_over_its_packets() {
    let report = report("townhall", counts());
    let server = report.server.as_ref().unwrap();
    assert_eq!((server.cpu_seconds, server.cpu_percent), (1.0, 10.0));
    assert!((server.ns_per_packet_out.unwrap() - 6_666.7).abs() < 0.1);
    assert_eq!(server.resident_kb_per_participant, Some(100.0));
}

#[test]
fn nothing_received_has_no_cost_a_packet() {
    let report = report("townhall", Counts::default());
    assert_eq!(report.server.as_ref().unwrap().ns_per_packet_out, None);
    assert_eq!(verdict(&report, "no loss"), Some(false), "nothing heard is no proof");
    assert!(report.to_string().contains("everybody joined"));
}

#[test]
fn every_promise_of_a_good_run_is_kept() {
    let report = report("townhall", counts());
    assert!(report.promises.len() >= 7 && report.promises.iter().all(|it| it.kept == Some(true)));
    assert_eq!((report.outcome(), &report.warnings), (Outcome::Kept, &vec![]));
}

#[test]
fn a_server_that_hangs_is_not_heard_until_the_end() {
    let mut counts = counts();
    counts.silences.add(Duration::from_millis(4_200));
    let report = report("townhall", counts);
    assert_eq!(verdict(&report, "heard until the end"), Some(false));
    assert_eq!(verdict(&report, "no loss"), Some(true), "what was not sent leaves no gap");
    assert_eq!(report.outcome(), Outcome::Broken);
    assert!(report.to_string().contains("1 of 2 receivers heard nothing for over a second"), "{report}");
}

#[test]
fn signalling_that_fails_is_something_that_broke() {
    let mut measured = measured("quiet-room", counts());
    measured.after.signalling_failed = 100;
    assert_eq!(verdict(&Report::new(measured), "nothing broke"), Some(false));
}

#[test]
fn a_server_that_ended_has_no_figures_and_a_report_nevertheless() {
    let mut measured = measured("townhall", counts());
    measured.after.server = None;
    let report = Report::new(measured);
    assert_eq!((report.outcome(), report.server.is_none()), (Outcome::ServerEnded, true));
    assert!(report.to_string().contains("the server ended"), "{report}");
    assert_eq!(serde_json::to_value(&report).unwrap()["server_ended"], true);
}

#[test]
fn whether_the_server_lost_what_the_tester_may_have_dropped_is_unknown() {
    let with = |lost, dropped_here| {
        let mut counts = counts();
        counts.steady.received -= lost;
        counts.dropped_here = dropped_here;
        report("townhall", counts)
    };
    for (lost, dropped, kept) in [(0, 0, Some(true)), (0, 5, Some(true)), (5, 0, Some(false)), (5, 5, None)] {
        let report = with(lost, dropped);
        assert_eq!(verdict(&report, "no loss"), kept, "{lost} lost, {dropped} dropped");
        assert_eq!(report.outcome() == Outcome::Broken, kept == Some(false));
    }
    let unknown = with(5, 5);
    assert!(unknown.to_string().contains("  ?  no loss"), "{unknown}");
    let json = serde_json::to_value(&unknown).unwrap();
    let promise = json["promises"].as_array().unwrap().iter().find(|it| it["promise"] == "no loss").unwrap();
    assert!(promise["kept"].is_null());
}

#[test]
fn a_promise_that_is_broken_is_told_of() {
    let mut counts = counts();
    counts.steady.received -= 1;
    counts.heard.own = 1;
    counts.heard.turns_missed = 1;
    let report = report("townhall", counts);
    for name in ["no loss", "nobody hears themselves", "first syllable there"] {
        assert_eq!(verdict(&report, name), Some(false), "{name}");
    }
}

#[test]
fn where_more_talk_than_can_be_heard_beginnings_are_no_promise() {
    let mut counts = counts();
    counts.heard.turns_missed = 10;
    assert_eq!(verdict(&report("overlap", counts), "first syllable there"), None);
}

#[test]
fn a_saturated_tester_is_told_of() {
    let mut counts = counts();
    counts.dropped_here = 3;
    counts.send_lag.record(Duration::from_millis(30));
    let warnings = report("townhall", counts).warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings.iter().all(|it| it.starts_with("the tester is saturated")), "{warnings:?}");
}

#[test]
fn the_json_has_units_in_its_names_and_verdicts_as_numbers() {
    let json = serde_json::to_value(report("townhall", counts())).unwrap();
    assert_eq!(json["server"]["cpu_seconds"], 1.0);
    assert_eq!(json["joins"]["p50_ms"], 3.0);
    assert_eq!(json["promises"][0]["kept"], 1);
    assert_eq!(
        (&json["scenario"]["name"], &json["scenario"]["window_seconds"]),
        (&"townhall".into(), &30.0.into())
    );
    assert!(json["floor"].is_null() && json["machine"]["cpus"].is_u64());
}

#[test]
fn what_lost_much_is_not_held_against_the_floor() {
    let floor = Floor {
        destinations: 1_000,
        payload_bytes: 80,
        datagram_bytes: 124,
        seal_aes_128_gcm_ns: 200.0,
        seal_aes_256_gcm_ns: 300.0,
        send_ns: 1_600.0,
        total_ns: 2_000.0,
        gso_send_ns: 900.0,
        gso_total_ns: 1_200.0,
        dropped: 0,
    };
    let ratio = |lost, dropped_here| {
        let mut counts = counts();
        counts.steady.received -= lost;
        counts.dropped_here = dropped_here;
        let measured =
            Measured { floors: Some((floor.clone(), floor.clone())), ..measured("townhall", counts) };
        Report::new(measured).floor.unwrap().cpu_per_packet_over_floor
    };
    assert!(ratio(0, 0).is_some() && ratio(1_500, 0).is_some(), "1 % exactly");
    assert_eq!((ratio(1_501, 0), ratio(0, 2_000)), (None, None));
}

#[test]
fn memory_of_before_or_given_back_is_not_shared_out() {
    let each = |empty| {
        let measured = Measured { empty, ..measured("townhall", counts()) };
        Report::new(measured).server.unwrap().resident_kb_per_participant
    };
    assert_eq!(each(Some(sample(0, 20_000_000))), Some(0.0));
    assert_eq!((each(Some(sample(0, 20_000_001))), each(None)), (None, None));
}

#[test]
fn turns_of_which_nothing_came_have_a_line() {
    let mut counts = counts();
    counts.heard.turns_missed = 2;
    assert!(report("townhall", counts).to_string().contains("3, of 2 nothing was heard"));
}

#[test]
fn a_rush_says_nothing_of_packets_that_there_are_not() {
    let table = report("joins", Counts::default()).to_string();
    assert!(
        !table.contains("0 speakers") && !table.contains("- ns") && !table.contains("- ms late"),
        "{table}"
    );
    assert!(table.contains("tercet: 10.0 % of a CPU"), "{table}");
}

#[test]
fn a_server_adds_what_is_beyond_the_way_without_it() {
    let histogram = |ms| {
        let mut histogram = Histogram::default();
        (0..100).for_each(|_| histogram.record(Duration::from_millis(ms)));
        histogram
    };
    let with = |ms| {
        let mut counts = counts();
        counts.heard.mouth_to_ear = histogram(ms);
        Measured { direct: Some(histogram(2)), ..measured("broadcast", counts) }
    };
    let promise = "the server adds at most 5 ms";
    assert_eq!(verdict(&Report::new(with(6)), promise), Some(true));
    assert_eq!(verdict(&Report::new(with(9)), promise), Some(false));
    assert_eq!(verdict(&report("townhall", counts()), promise), None);
}

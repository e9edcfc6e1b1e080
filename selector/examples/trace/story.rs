//! What happened to one source, in sentences: why it got a slot, lost it, or had none while it spoke.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use selector::{Candidate, Heard};

use crate::reading::{Entry, TraceError, What};
use crate::replay::{Millis, Replay, SlotChange};

/// What is told of a moment: so much before and after.
const AROUND: Duration = Duration::from_secs(1);

/// Writes the story of a source; of a moment in it, if one is named.
pub(crate) fn tell(
    out: &mut impl Write,
    replay: &mut Replay,
    entries: &[Entry],
    source: &str,
    at_ms: Option<u64>,
) -> Result<(), TraceError> {
    let packets = || entries.iter().filter(|entry| matches!(entry.what, What::Packet { .. }));
    if !packets().any(|packet| packet.source == source) {
        let known: BTreeSet<&str> = packets().map(|packet| packet.source.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(TraceError::NoSuchSource { name: source.to_owned(), known });
    }
    let at = at_ms.map(Duration::from_millis);
    let is_told = |now: Duration| at.is_none_or(|at| now + AROUND >= at && now <= at + AROUND);
    let (mut unheard_spurt, mut told, mut last) = (None, false, None);
    for entry in entries {
        let (candidate, changes) = replay.judged(entry);
        let is_own = entry.source == source;
        let concerning = changes.iter().filter(|change| concerns(change, source));
        let mut sentences: Vec<String> = concerning.map(|change| sentence(change, source)).collect();
        let has_slot = replay.speakers().any(|(_, _, name)| name == source);
        if let Some(candidate) = candidate.filter(|candidate| is_own && candidate.heard != Heard::Quiet) {
            let spurt = entry.at.saturating_sub(candidate.spurt_age);
            if !has_slot && unheard_spurt != Some(spurt) {
                unheard_spurt = Some(spurt);
                sentences.push(format!("{} ms: {source} is loud, but has no slot", Millis(entry.at)));
            }
        }
        sentences.extend(is_own.then(|| noted(entry)).flatten());
        if sentences.is_empty() {
            continue;
        }
        if !is_told(entry.at) {
            if at.is_some_and(|at| entry.at < at) {
                last = sentences.pop();
            }
            continue;
        }
        told = true;
        for sentence in sentences {
            writeln!(out, "{sentence}").map_err(TraceError::Output)?;
        }
        for line in circumstances(replay, entry, candidate.as_ref()) {
            writeln!(out, "    {line}").map_err(TraceError::Output)?;
        }
    }
    if !told {
        let before = last.unwrap_or_else(|| format!("{source} was never loud before"));
        if let (Some(at), Some(end)) = (at, entries.last().filter(|end| at.is_some_and(|at| at > end.at))) {
            writeln!(out, "the trace ends at {} ms, before {} ms", Millis(end.at), Millis(at))
                .map_err(TraceError::Output)?;
        }
        writeln!(out, "nothing happened to {source} within a second of then; before: {before}")
            .map_err(TraceError::Output)?;
    }
    Ok(())
}

fn concerns(change: &SlotChange, source: &str) -> bool {
    [&change.source, &change.former].into_iter().flatten().any(|name| name == source)
}

fn sentence(change: &SlotChange, source: &str) -> String {
    let SlotChange { at, slot, reason, .. } = change;
    let at = Millis(*at);
    match (&change.source, &change.former) {
        (Some(now), _) if now == source => format!("{at} ms: {source} got slot {slot}: {reason}"),
        (Some(now), _) => format!("{at} ms: {source} lost slot {slot} to {now}: {reason}"),
        (None, _) => format!("{at} ms: {source} lost slot {slot}: {reason}"),
    }
}

/// What a server noted, in words.
fn noted(entry: &Entry) -> Option<String> {
    let (at, source) = (Millis(entry.at), &entry.source);
    match entry.what {
        What::Packet { .. } => None,
        What::Silent => Some(format!("{at} ms: {source} was muted, or left")),
        What::Stands(standing) => Some(format!("{at} ms: {source} stands as {standing:?} from now on")),
    }
}

/// What was known at the moment: of the packet's source, and of those in the slots.
fn circumstances(replay: &Replay, entry: &Entry, candidate: Option<&Candidate>) -> Vec<String> {
    let selector = &replay.selector;
    let mut lines = Vec::new();
    if let (Some(candidate), What::Packet { level, .. }) = (candidate, entry.what) {
        let floor = selector.noise_floor(candidate.source).unwrap_or_default();
        let what = match candidate.heard {
            Heard::Active if candidate.is_bang => "a bang",
            Heard::Active if candidate.is_denied => "no voice, says its sender",
            Heard::Active if !candidate.is_proven => "loud since it came",
            Heard::Active => "speaks",
            Heard::Steady => "a steady sound",
            Heard::Quiet => "quiet",
        };
        lines.push(format!(
            "{}: {what}, for {} ms; this packet {level:?}, its noise {floor:?}",
            entry.source,
            Millis(candidate.spurt_age),
        ));
    }
    lines.extend(
        replay.speakers().map(|(slot, id, name)| format!("slot {slot}: {name}, {:?}", selector.level(id))),
    );
    lines
}

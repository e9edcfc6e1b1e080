//! The report as a table, for a terminal.

use std::fmt::{self, Write};

use super::Report;
use super::figures::{Distribution, HeardFigures, JoinFigures, MediaFigures, ServerFigures, TesterFigures};

/// A figure that may be missing.
pub(super) struct Maybe(pub(super) Option<f64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:.1}"),
            None => f.write_str("-"),
        }
    }
}

/// A line: what it is about, and what there is to say.
pub(super) fn line(f: &mut fmt::Formatter<'_>, about: &str, text: impl fmt::Display) -> fmt::Result {
    writeln!(f, "  {about:<14}{text}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = &self.scenario;
        let version = self.target.version.as_deref().unwrap_or("");
        writeln!(f, "{} on {} {version}", scenario.name, self.target.name)?;
        let (rooms, speakers, listeners) = (scenario.rooms, scenario.speakers, scenario.listeners);
        let of_rooms =
            scenario.talking_rooms.map_or_else(String::new, |talking| format!(" in {talking} rooms"));
        let who = if scenario.by_phone { "phones" } else { "listeners" };
        match scenario.has_media() {
            true => line(
                f,
                "load",
                format_args!(
                    "{rooms} x {speakers} speakers and {listeners} {who}, {} talk at a time{of_rooms}, {:.1} s measured",
                    scenario.talkers, self.seconds
                ),
            )?,
            false => line(f, "load", format_args!("{}, {:.1} s measured", scenario.about, self.seconds))?,
        }
        if self.joins.succeeded + self.joins.failed > 0 {
            line(f, "joins", &self.joins)?;
        }
        if let Some(joins) = &self.late_joins {
            line(f, "joins later", joins)?;
        }
        if let Some(media) = &self.media {
            media.write(f)?;
        }
        if let Some(heard) = &self.heard {
            heard.write(f)?;
        }
        if let Some(pictures) = &self.pictures {
            pictures.write(f)?;
        }
        if let Some(calls) = &self.calls {
            calls.write(f)?;
        }
        match &self.server {
            Some(server) => server.write(self.target.process.as_deref(), f)?,
            None if self.server_ended => line(f, "server", "it ended")?,
            None => line(f, "server", "not measured: pass --server-pid")?,
        }
        self.tester.write(f)?;
        if let Some(floor) = &self.floor {
            let ratio = Maybe(floor.cpu_per_packet_over_floor);
            line(
                f,
                "floor",
                format_args!(
                    "{:.0} ns a packet to {} destinations; the server's cost is {ratio} times that",
                    floor.total_ns, floor.before.destinations
                ),
            )?;
        }
        if let Some(simulated) = self.pictures.as_ref().and_then(|pictures| pictures.simulated) {
            simulated.write(f)?;
        }
        writeln!(f)?;
        for promise in &self.promises {
            let kept = match promise.kept {
                Some(true) => '1',
                Some(false) => '0',
                None => '?',
            };
            writeln!(f, "  {kept}  {:<28}{}", promise.promise, promise.because)?;
        }
        for warning in &self.warnings {
            writeln!(f, "  !  {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for JoinFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, max) = (Maybe(self.p50_ms), Maybe(self.p99_ms), Maybe(self.max_ms));
        let JoinFigures { succeeded, failed, put_off, per_second, .. } = self;
        write!(
            f,
            "{succeeded} succeeded, {failed} failed, {per_second:.1}/s; p50 {p50} ms, p99 {p99} ms, max {max} ms"
        )?;
        match put_off {
            0 => Ok(()),
            _ => write!(f, "; {put_off} times told to come again later"),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p95, p99) = (Maybe(self.p50_ms), Maybe(self.p95_ms), Maybe(self.p99_ms));
        write!(f, "p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, max {:.1} ms ({})", self.max_ms, self.samples)
    }
}

impl MediaFigures {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.packets_out_per_second;
        line(
            f,
            "packets",
            format_args!("{} in, {} out, {per_second:.0} out a second", self.packets_in, self.packets_out),
        )?;
        let MediaFigures { loss_percent, lost_by_server, dropped_by_tester, steady, .. } = self;
        line(
            f,
            "loss",
            format_args!(
                "{loss_percent:.4} %: {lost_by_server} of {}; the tester dropped {dropped_by_tester}; {} late, {} twice",
                steady.expected, steady.reordered, steady.duplicates
            ),
        )
    }
}

impl HeardFigures {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.packets == 0 {
            return Ok(());
        }
        line(f, "mouth to ear", &self.mouth_to_ear)?;
        if let Some(direct) = &self.mouth_to_ear_direct {
            line(f, "direct pair", direct)?;
        }
        if self.pre_roll.samples > 0 {
            line(f, "pre-roll", &self.pre_roll)?;
        }
        line(f, "switch delay", &self.switch_delay)?;
        line(f, "onset missing", &self.onset_missing)?;
        let began = self.onset_missing.samples + self.turns_missed;
        line(f, "turns", format_args!("{began}, of {} nothing was heard", self.turns_missed))
    }
}

impl ServerFigures {
    /// The name shows whether the process id was the right one.
    fn write(&self, process: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerFigures { cpu_percent, user_seconds, system_seconds, .. } = self;
        line(
            f,
            "server",
            format_args!(
                "{}: {cpu_percent:.1} % of a CPU, {user_seconds:.2} s user, {system_seconds:.2} s system",
                process.unwrap_or("unknown")
            ),
        )?;
        if let Some(ns) = self.ns_per_packet_out {
            let (user, system) = (Maybe(self.user_ns_per_packet_out), Maybe(self.system_ns_per_packet_out));
            line(f, "", format_args!("{ns:.0} ns a packet out: {user} user, {system} system"))?;
        }
        if let Some(ms) = self.ms_per_join {
            line(f, "", format_args!("{ms:.2} ms a join and its leave"))?;
        }
        let each = Maybe(self.resident_kb_per_participant);
        line(f, "", format_args!("{:.1} MB resident, {each} kB a participant", self.resident_mb))
    }
}

impl TesterFigures {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{:.1} % of a CPU", self.cpu_percent);
        if let Some(ns) = self.ns_per_packet_received {
            let user = Maybe(self.user_ns_per_packet_received);
            let _ = write!(text, ", {ns:.1} ns a packet received ({user} user)");
        }
        if let Some(ms) = self.send_lag_p99_ms {
            let _ = write!(text, "; sent {ms:.1} ms late (p99)");
        }
        line(f, "tester", text)
    }
}

//! How far a run is: bars on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep};

/// How often a bar of time moves.
const STEP: Duration = Duration::from_millis(250);

/// A bar that counts to `length`.
pub(crate) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:40}] {pos}/{len} {msg}")
        .expect("the template is well formed");
    ProgressBar::with_draw_target(Some(length), target)
        .with_style(style.progress_chars("=> "))
        .with_prefix(what)
}

/// Sleeps, with a bar of seconds.
pub(crate) async fn wait(what: &'static str, time: Duration) {
    let bar = bar(what, time.as_secs());
    let start = Instant::now();
    while start.elapsed() < time {
        sleep(STEP.min(time - start.elapsed())).await;
        bar.set_position(start.elapsed().as_secs());
    }
    bar.finish_and_clear();
}

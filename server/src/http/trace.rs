//! A live room's levels as CSV, to be replayed by the selector's `trace` example.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use selector::{Params, Standing, Tunable};
use serde::{Deserialize, Serialize};
use tercet_protocol::ErrorCode;

use super::demo::refuse;
use super::{Node, bearer};
use crate::access::AccessError;
use crate::control::ControlInput;
use crate::media::{TraceReceiver, Traced, What};

/// Workers hand their packets over ten times a second: what is older than this is complete.
const HORIZON: Duration = Duration::from_millis(300);

const SECONDS_MAX: u64 = 3600;

#[derive(Deserialize)]
pub(super) struct Parameters {
    #[serde(default = "seconds")]
    seconds: u64,
}

fn seconds() -> u64 {
    60
}

/// A line of the trace.
#[derive(Serialize)]
struct Line {
    t_ms: f64,
    source: u32,
    level_dbov: i8,
    vad: Option<u8>,
}

/// `GET /v1/rooms/{room}/trace?seconds=60`, with the token of a moderator.
pub(super) async fn trace(
    State(node): State<Node>,
    Path(room): Path<String>,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let seconds = match parameters {
        Ok(Query(Parameters { seconds })) if (1..=SECONDS_MAX).contains(&seconds) => seconds,
        _ => {
            let message = "`seconds` has to be a number from 1 to 3600";
            return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadMessage, message);
        }
    };
    let unauthorized = |code, message: &str| {
        let refusal = refuse(StatusCode::UNAUTHORIZED, code, message);
        ([("www-authenticate", "Bearer")], refusal).into_response()
    };
    let Some(token) = bearer(&headers) else {
        return unauthorized(ErrorCode::Unauthorized, "`Authorization: Bearer` has to have an access token");
    };
    let claims = match node.access.verify(token) {
        Ok(claims) => claims,
        Err(error @ AccessError::Expired) => {
            return unauthorized(ErrorCode::TokenExpired, &error.to_string());
        }
        Err(error) => return unauthorized(ErrorCode::Unauthorized, &error.to_string()),
    };
    if claims.room != room {
        return refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, "the token is for another room");
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    match node.control.ask(|reply| ControlInput::Trace { claims, reply }).await {
        Some(Ok((params, entries))) => {
            ([(CONTENT_TYPE, "text/csv")], csv_until(end, &params, entries)).into_response()
        }
        Some(Err(error)) => {
            let status = match error.code {
                ErrorCode::Forbidden => StatusCode::FORBIDDEN,
                ErrorCode::NoSuchRoom => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refuse(status, error.code, &error.message)
        }
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ShuttingDown, "the node is stopping"),
    }
}

/// What a trace has still to write.
struct Writing {
    entries: TraceReceiver,
    start: Instant,
    end: Instant,
    /// Of several workers, and so not in order yet.
    pending: Vec<Traced>,
    /// The time of the last line.
    written: Instant,
    over: bool,
}

/// The lines of a trace as they come; the first one names the columns, the next ones the parameters that aren't the
/// defaults.
fn csv_until(end: Instant, params: &Params, entries: TraceReceiver) -> Body {
    let start = Instant::now();
    let writing = Writing { entries, start, end, pending: Vec::new(), written: start, over: false };
    let mut header = "t_ms,source,level_dbov,vad\n".to_owned();
    let defaults = Params::default();
    if params.slots != defaults.slots {
        header += &format!("#k,{}\n", params.slots);
    }
    for tunable in Tunable::all() {
        let value = tunable.get(params);
        if value != tunable.get(&defaults) {
            header += &format!("#{},{value}\n", tunable.name);
        }
    }
    let header = stream::once(async { Ok(header.into_bytes()) });
    let lines = stream::try_unfold(writing, |mut writing| async move {
        let lines = writing.next().await?;
        Ok::<_, anyhow::Error>(lines.map(|lines| (lines, writing)))
    });
    Body::from_stream(futures_util::StreamExt::chain(header, lines))
}

impl Writing {
    /// Some lines, in order; `None` when there are no more.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        if self.over {
            return Ok(None);
        }
        // A room in which nobody sends still tells ten times a second that there is nothing.
        let room_is_over = match self.entries.next().await? {
            Some(batch) => {
                self.pending.extend(batch);
                false
            }
            None => true,
        };
        let now = Instant::now();
        self.over = room_is_over || now >= self.end + HORIZON;
        let complete =
            if self.over { self.end } else { self.end.min(now.checked_sub(HORIZON).unwrap_or(now)) };
        self.pending.sort_by_key(|entry| entry.at);
        let count = self.pending.partition_point(|entry| entry.at <= complete);
        // A note has as many columns as it needs.
        let mut csv = csv::WriterBuilder::new().has_headers(false).flexible(true).from_writer(Vec::new());
        for Traced { at, source, what } in self.pending.drain(..count) {
            // What a busy worker hands over late has the time of the line before: a trace is sorted.
            self.written = self.written.max(at);
            let since_start = self.written.saturating_duration_since(self.start);
            let t_ms = since_start.as_micros() as f64 / 1000.0;
            match what {
                What::Packet { level, voice } => {
                    let (level_dbov, vad) = (level.dbov(), voice.map(u8::from));
                    csv.serialize(Line { t_ms, source: source.0, level_dbov, vad })?;
                }
                What::Silent => csv.serialize((format!("#{t_ms}"), source.0, "silent"))?,
                What::Stands(standing) => csv.serialize((format!("#{t_ms}"), source.0, name(standing)))?,
            }
        }
        Ok(Some(csv.into_inner()?))
    }
}

fn name(standing: Standing) -> &'static str {
    match standing {
        // Nobody is excluded for all.
        Standing::Excluded => "silent",
        Standing::Ordinary => "ordinary",
        Standing::Priority => "priority",
        Standing::Pinned => "pinned",
    }
}

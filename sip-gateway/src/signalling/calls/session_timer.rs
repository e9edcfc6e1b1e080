//! Session timers (RFC 4028): who refreshes a call how often, and what becomes of one that nobody refreshes.

use std::time::{Duration, Instant};

use super::super::message::{Headers, Method, Response, parameter};
use super::super::{CallId, EndReason, SessionTimers};
use super::call::State;
use super::outgoing::Purpose;
use super::timers::Timer;
use super::{ALLOW, Core, SUPPORTED};

/// "The minimum … is 90 seconds" (section 5).
const MIN_S: u32 = 90;

/// The longest that a peer gets, unless the configuration wants longer ones. Whatever is answered may not be "below the Min-SE"
/// (section 9); but who wants more than this in `Min-SE`, and gets less, only has to refresh earlier than they like, while a
/// call on hold whose peer has gone would stay for as long as they like.
const MAX_S: u32 = 2 * 3600;

/// Who refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    Us,
    Peer,
}

/// The peer asks for a shorter interval than we take: 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSmall {
    pub(super) min_s: u32,
}

/// What a request and its response agree on: the timer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    expires_s: u32,
    refresher: Refresher,
}

/// `SECONDS[;refresher=uac|uas]`.
fn session_expires(headers: &Headers) -> Option<(u32, Option<String>)> {
    let value = headers.get("Session-Expires")?;
    let (seconds, parameters) = value.find(';').map_or((value, ""), |at| value.split_at(at));
    Some((seconds.trim().parse().ok()?, parameter(parameters, "refresher").map(str::to_ascii_lowercase)))
}

fn min_se(headers: &Headers) -> u32 {
    let value = headers.get("Min-SE").and_then(|value| value.split(';').next()?.trim().parse().ok());
    value.unwrap_or(MIN_S).max(MIN_S)
}

impl Interval {
    /// What we answer to a request of the peer (section 9).
    pub(super) fn of_request(
        headers: &Headers,
        ours: Option<SessionTimers>,
    ) -> Result<Option<Interval>, TooSmall> {
        let min_s = ours.map_or(MIN_S, |ours| ours.min_s.max(MIN_S));
        let can_refresh = headers.has_token("Supported", "timer") || headers.has_token("Require", "timer");
        let asked = session_expires(headers);
        if asked.as_ref().is_some_and(|(asked_s, _)| *asked_s < min_s) {
            return Err(TooSmall { min_s });
        }
        // It may be shortened, but not below what the peer and its proxies take.
        let wanted_s = ours.map(|ours| ours.expires_s.max(min_s).max(min_se(headers).min(MAX_S)));
        let expires_s = match (&asked, wanted_s) {
            (Some((asked_s, _)), Some(wanted_s)) => wanted_s.min(*asked_s),
            (Some((asked_s, _)), None) => (*asked_s).min(MAX_S),
            (None, Some(wanted_s)) => wanted_s,
            (None, None) => return Ok(None),
        };
        let refresher = match asked.and_then(|(_, refresher)| refresher).as_deref() {
            Some("uas") => Refresher::Us,
            Some("uac") => Refresher::Peer,
            _ if can_refresh => Refresher::Peer,
            _ => Refresher::Us,
        };
        Ok(Some(Interval { expires_s, refresher }))
    }

    /// What the peer answered to a request of ours (section 7.2). Without a word from it there is no timer.
    pub(super) fn of_response(headers: &Headers, ours: Option<SessionTimers>) -> Option<Interval> {
        let (expires_s, refresher) = session_expires(headers)?;
        let refresher = if refresher.as_deref() == Some("uas") { Refresher::Peer } else { Refresher::Us };
        let max_s = ours.map_or(MAX_S, |ours| ours.expires_s.max(MAX_S));
        Some(Interval { expires_s: expires_s.clamp(MIN_S, max_s), refresher })
    }
    /// The headers of a 2xx to the peer's request.
    pub(super) fn write_answer(&self, response: &mut Response, can_refresh: bool) {
        let Interval { expires_s, refresher } = *self;
        let who = if refresher == Refresher::Us { "uas" } else { "uac" };
        response.headers.push("Session-Expires", format!("{expires_s};refresher={who}"));
        // "The UAS MUST place a Require header … if the refresher is the UAC" (section 9).
        if refresher == Refresher::Peer && can_refresh {
            response.headers.push("Require", "timer");
        }
    }

    /// The headers of a request of ours in the call: who refreshes stays as it is.
    pub(super) fn write_request(&self, headers: &mut Headers) {
        let Interval { expires_s, refresher } = *self;
        let who = if refresher == Refresher::Us { "uac" } else { "uas" };
        headers.push("Session-Expires", format!("{expires_s};refresher={who}"));
        headers.push("Min-SE", MIN_S.to_string());
    }
}

impl Core {
    /// What a 422 to a request of ours wants, if it makes sense.
    pub(super) fn longer_interval(response: &Response) -> Option<u32> {
        let min_s: u32 = response.headers.get("Min-SE")?.split(';').next()?.trim().parse().ok()?;
        (MIN_S..=MAX_S).contains(&min_s).then_some(min_s)
    }

    /// Sets the timers anew: the session was refreshed.
    pub(super) fn arm_session_timer(&mut self, now: Instant, id: CallId) {
        let Some(timer) = self.calls.get(&id).and_then(|call| call.session_timer) else {
            self.timers.clear(Timer::Refresh(id));
            return self.timers.clear(Timer::Expired(id));
        };
        let Interval { expires_s, refresher } = timer;
        let expires = Duration::from_secs(u64::from(expires_s));
        match refresher {
            Refresher::Us => {
                self.timers.set(now + expires / 2, Timer::Refresh(id));
                self.timers.set(now + expires, Timer::Expired(id));
            }
            Refresher::Peer => {
                // "The minimum of 32 seconds and one third of the session interval" before its end (section 10).
                let early = Duration::from_secs(32).min(expires / 3);
                self.timers.clear(Timer::Refresh(id));
                self.timers.set(now + (expires - early), Timer::Expired(id));
            }
        }
    }

    /// Takes what a request or response says of the timer, and sets it anew.
    pub(super) fn renew_session_timer(&mut self, now: Instant, id: CallId, interval: Option<Interval>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.session_timer = interval;
        self.arm_session_timer(now, id);
    }

    /// Our turn: UPDATE without an offer if the peer knows it, or else the offer that holds (section 7.4).
    pub(super) fn refresh(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.live(id) else { return };
        let Some(timer) = call.session_timer else { return };
        if call.state != State::Standing || call.has_open_offer() {
            self.timers.set(now + Duration::from_secs(5), Timer::Refresh(id));
            return;
        }
        let method = if call.abilities.update { Method::Update } else { Method::Invite };
        let mut request = call.dialog.request(method);
        timer.write_request(&mut request.headers);
        if request.method == Method::Invite {
            call.invite_cseq = call.dialog.cseq;
            let Some(sdp) = call.our_sdp.clone() else { return };
            request.set_body("application/sdp", sdp);
        }
        request.headers.push("Allow", ALLOW);
        request.headers.push("Supported", SUPPORTED);
        let (target, trunk) = (call.dialog.next_hop(), call.trunk);
        self.send(Purpose::Refresh(id), request, target, trunk);
    }

    pub(super) fn on_expired(&mut self, now: Instant, id: CallId) {
        if self.live(id).is_none() {
            return;
        }
        self.tally.sessions_expired.add(1);
        self.say_goodbye(now, id, EndReason::PeerGone, None);
    }

    pub(super) fn on_refreshed(&mut self, now: Instant, id: CallId, response: &Response, method: &Method) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match response.status {
            200..300 => {
                call.dialog.retarget(&response.headers);
                if *method == Method::Invite {
                    self.acknowledge(id, response);
                }
                let Some(call) = self.calls.get(&id) else { return };
                let kept = call.session_timer;
                let interval = Interval::of_response(&response.headers, self.config.session_timers);
                self.renew_session_timer(now, id, interval.or(kept));
            }
            // The peer doesn't know the call, or has gone (RFC 3261, section 12.2.1.2).
            408 | 481 => self.say_goodbye(now, id, EndReason::PeerGone, Some(response.status)),
            405 | 501 if *method == Method::Update => {
                call.abilities.update = false;
                self.refresh(now, id);
            }
            _ => {
                if let (Some(timer), Some(min_s)) = (&mut call.session_timer, Core::longer_interval(response))
                {
                    timer.expires_s = timer.expires_s.max(min_s);
                }
                // Half of the interval is left to try it again.
                self.timers.set(now + Duration::from_secs(5), Timer::Refresh(id));
            }
        }
    }
}

//! Who somebody is: credentials of peers are asked for and checked, and ours are given where we are asked.

use std::time::Instant;

use super::super::digest::{Algorithm, Challenge, Claim, quoted};
use super::super::message::{Request, Response};
use super::super::nonces::Verdict;
use super::{Arrived, Core};

/// What a peer's credentials are worth.
pub(super) enum Proof {
    /// The password of whose name this is.
    Of(String),
    /// None, or not good enough: send this.
    Asked(Box<Response>),
}

impl Core {
    /// Checks a request's credentials among these names and passwords.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        arrived: &Arrived,
        password_of: impl Fn(&super::Config, &str) -> Option<String>,
    ) -> Proof {
        let realm = self.config.realm.clone();
        let claims = arrived.request.headers.all("Authorization");
        let claim = claims.filter_map(Claim::parse).find(|claim| claim.realm == realm);
        let Some(claim) = claim else { return self.ask(now, arrived, false) };
        // A nonce that isn't ours is of another life or node, perhaps, or of somebody who speaks in another's name and doesn't
        // hear our challenges: they could shut that other one out if it counted as a failure.
        let Some(nonce) = self.nonces.read(now, arrived.source.ip(), &claim.nonce) else {
            return self.ask(now, arrived, true);
        };
        let method = arrived.request.method.name();
        let is_right = password_of(&self.config, &claim.username)
            .is_some_and(|password| claim.is_made_with(&password, method));
        if !is_right {
            self.tally.authentication_failures.add(1);
            self.admission.count_failure(now, arrived.source.ip());
            tracing::warn!(source = %arrived.source, "wrong credentials for SIP");
            return self.ask(now, arrived, false);
        }
        match self.nonces.use_up(now, &nonce, claim.qop.as_ref()) {
            Verdict::Fresh => Proof::Of(claim.username),
            Verdict::Stale => self.ask(now, arrived, true),
            Verdict::Replayed => {
                self.tally.replays.add(1);
                self.ask(now, arrived, true)
            }
        }
    }

    /// 401, with one challenge for each algorithm, the best first (RFC 8760, section 2.4).
    fn ask(&mut self, now: Instant, arrived: &Arrived, is_stale: bool) -> Proof {
        self.tally.challenges.add(1);
        let nonce = self.nonces.make(now, arrived.source.ip());
        let mut response = self.response(&arrived.request, 401);
        let stale = if is_stale { ", stale=true" } else { "" };
        for algorithm in self.config.digests.clone() {
            let challenge = format!(
                "Digest realm={}, nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                quoted(&self.config.realm),
                algorithm.name(),
            );
            response = response.with("WWW-Authenticate", challenge);
        }
        Proof::Asked(Box::new(response))
    }

    /// Puts our credentials with a trunk into a request that was challenged, or was sent again; `false` if there are none, or
    /// they were wrong.
    pub(super) fn authenticate(
        &mut self,
        trunk: Option<usize>,
        request: &mut Request,
        challenged: &Response,
    ) -> bool {
        let Some(credentials) = trunk.and_then(|trunk| self.config.trunks.get(trunk)?.credentials.clone())
        else {
            return false;
        };
        let (asked, given) = match challenged.status {
            407 => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => ("WWW-Authenticate", "Authorization"),
        };
        let challenges: Vec<Challenge> = challenged.headers.all(asked).filter_map(Challenge::parse).collect();
        let is_best = |challenge: &&Challenge| challenge.algorithm == Algorithm::Sha256;
        let Some(challenge) = challenges.iter().find(is_best).or_else(|| challenges.first()) else {
            return false;
        };
        // The same challenge again means that the password is wrong, unless only the nonce was too old.
        let has_tried = request.headers.get(given).is_some();
        if has_tried && !challenge.is_stale {
            return false;
        }
        let cnonce = self.token();
        let count = self.count_of(trunk, &challenge.nonce);
        let answer = challenge.answer(&credentials, request.method.name(), &request.uri, count, &cnonce);
        request.headers.set(given, answer);
        true
    }

    /// How often we have used a nonce: a trunk may give the same one again (RFC 7616, section 3.4).
    fn count_of(&mut self, trunk: Option<usize>, nonce: &str) -> u32 {
        let Some(registering) = trunk.and_then(|trunk| self.registering.get_mut(trunk)) else { return 1 };
        let (last, count) = &mut registering.nonce_used;
        if last != nonce {
            nonce.clone_into(last);
            *count = 0;
        }
        *count += 1;
        *count
    }
}

//! Which room a call is for: who called whom from where in, a room and what holds for the caller there out.

use tercet_protocol::Role;
use tercet_sip_gateway::menu::Pin;
use tercet_sip_gateway::prompts::Language;
use tercet_sip_gateway::signalling::{Incoming, Peer};

use crate::config::{SipCallerId, SipConfig, SipRoute, is_name};

/// Of a masked number so many digits are shown, if there are more.
const DIGITS_SHOWN: usize = 3;

/// Where a call goes.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) room: String,
    pub(super) role: Role,
    pub(super) pin: Option<Pin>,
    pub(super) moderator_pin: Option<Pin>,
    pub(super) waits_for_moderator: bool,
    pub(super) language: Language,
}

/// The room that a call is for, if there is one.
pub(super) fn destination(config: &SipConfig, call: &Incoming) -> Option<Destination> {
    let by_default = SipRoute::default();
    // Without any others can't reach it: `Config::validate` wants routes where they can.
    let routes = if config.route.is_empty() { std::slice::from_ref(&by_default) } else { &config.route };
    let (route, called) = routes.iter().find_map(|route| Some((route, called_by(route, call)?)))?;
    let header = route.header.as_ref().and_then(|name| header(call, name));
    let room = route.room.as_deref().or(header).unwrap_or(called);
    is_name(room).then(|| Destination {
        room: room.to_owned(),
        role: route.role.unwrap_or(Role::Speaker),
        // `Config::validate` has seen that these are PINs and a language.
        pin: route.pin.as_deref().and_then(|pin| pin.parse().ok()),
        moderator_pin: route.moderator_pin.as_deref().and_then(|pin| pin.parse().ok()),
        waits_for_moderator: route.wait_for_moderator,
        language: route.language.as_ref().unwrap_or(&config.language).parse().unwrap_or_default(),
    })
}

/// The number or name that was called, if the route is for it. A call that a trunk sends to where we registered has our own
/// name in its request URI, and the number that was called in `To`.
fn called_by<'a>(route: &SipRoute, call: &'a Incoming) -> Option<&'a str> {
    let is_number = |called: &&str| match route.number.as_deref().map(|it| (it, it.strip_suffix('*'))) {
        None => true,
        Some((_, Some(start))) => digits(called).starts_with(digits(start)),
        Some((number, None)) => digits(called) == digits(number),
    };
    let is_trunk = |trunk: &String| call.peer == Peer::Trunk(trunk.clone());
    let is_for_it = route.trunk.as_ref().is_none_or(is_trunk)
        && route.header.as_ref().is_none_or(|name| header(call, name).is_some());
    [call.to.user.as_str(), &call.to_header.user].into_iter().find(is_number).filter(|_| is_for_it)
}

fn header<'a>(call: &'a Incoming, name: &str) -> Option<&'a str> {
    let found = call.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// A number is the same with `+` before it and without.
fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

/// What has so many digits is a number, whatever else is written around them.
const DIGITS_OF_NAME_MAX: usize = 4;

fn is_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    digits > DIGITS_OF_NAME_MAX
        || (digits > 0 && text.chars().all(|c| c.is_ascii_digit() || "+-(). ".contains(c)))
}

/// How a caller is named to others in the room.
pub(super) fn shown_name(how: SipCallerId, display: Option<&str>, user: &str) -> String {
    // Trunks put parameters of a telephone number there (RFC 3966, section 3), whose digits aren't of it.
    let user = user.split(';').next().unwrap_or_default();
    let named = display.filter(|display| is_name(display) && !is_number(display));
    if let Some(name) = named.or_else(|| Some(user).filter(|user| is_name(user) && !is_number(user))) {
        return name.to_owned();
    }
    let digits: Vec<char> = user.chars().filter(char::is_ascii_digit).collect();
    match how {
        SipCallerId::Full if is_name(user) => user.to_owned(),
        SipCallerId::Masked if digits.len() > DIGITS_SHOWN => {
            let shown = digits.iter().skip(digits.len() - DIGITS_SHOWN);
            format!("•••{}", shown.collect::<String>())
        }
        _ => "Phone".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tercet_sip_gateway::signalling::{CallId, Party, Transport};

    use super::*;

    fn call(to: &str, trunk: Option<&str>, headers: &[(&str, &str)]) -> Incoming {
        let party = |user: &str| Party { display: None, user: user.to_owned(), host: "192.0.2.1".to_owned() };
        Incoming {
            call: CallId(1),
            from: party("+49301234567"),
            to: party(to),
            to_header: party(to),
            peer: trunk.map_or(Peer::Anonymous, |trunk| Peer::Trunk(trunk.to_owned())),
            source: ([192, 0, 2, 9], 5060).into(),
            transport: Transport::Udp,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            offer: None,
            sip_call_id: "a".to_owned(),
        }
    }

    fn room(routes: &str, call: &Incoming) -> Option<String> {
        let config: SipConfig = toml::from_str(routes).expect("routes can be read");
        destination(&config, call).map(|destination| destination.room)
    }

    #[test]
    fn without_routes_a_call_is_for_the_room_of_its_name() {
        assert_eq!(room("", &call("stage", None, &[])).as_deref(), Some("stage"));
        assert_eq!(room("", &call("", None, &[])), None);
        assert_eq!(room("", &call(&"x".repeat(129), None, &[])), None);
    }

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let routes = r#"
            route = [
                { number = "+4930100", room = "one" },
                { number = "4930*", trunk = "carrier", room = "berlin" },
                { header = "X-Room" },
                { number = "stage" },
            ]
        "#;
        assert_eq!(room(routes, &call("4930100", None, &[])).as_deref(), Some("one"));
        assert_eq!(room(routes, &call("+49302", Some("carrier"), &[])).as_deref(), Some("berlin"));
        assert_eq!(room(routes, &call("49302", Some("other"), &[])), None);
        assert_eq!(room(routes, &call("1", None, &[("x-room", " hall ")])).as_deref(), Some("hall"));
        assert_eq!(room(routes, &call("1", None, &[("X-Room", " ")])), None);
        assert_eq!(room(routes, &call("stage", None, &[])).as_deref(), Some("stage"));
        let registered = Incoming { to_header: call("4930100", None, &[]).to, ..call("tercet", None, &[]) };
        assert_eq!(room(routes, &registered).as_deref(), Some("one"));
    }

    #[test]
    fn numbers_are_masked_and_names_are_not() {
        use SipCallerId::{Full, Hidden, Masked};
        assert_eq!(shown_name(Masked, None, "+4930123456"), "•••456");
        assert_eq!(shown_name(Masked, Some("+49 30 123456"), "+4930123456"), "•••456");
        assert_eq!(shown_name(Masked, Some("Ada"), "+4930123456"), "Ada");
        assert_eq!(shown_name(Masked, None, "ada"), "ada");
        assert_eq!(shown_name(Masked, None, "110"), "Phone");
        assert_eq!(shown_name(Masked, Some("Room 101"), "110"), "Room 101");
        for display in
            ["+49 (0)30/123456", "tel:+4930123456", "+4930123456;cpc=ordinary", "Call from 4930123456"]
        {
            assert_eq!(shown_name(Masked, Some(display), "+4930123456;cpc=ordinary"), "•••456", "{display}");
        }
        assert_eq!(shown_name(Masked, None, "+4930123456;npdi;rn=4999"), "•••456");
        assert_eq!(shown_name(Hidden, None, "+4930123456"), "Phone");
        assert_eq!(shown_name(Full, None, "+4930123456"), "+4930123456");
        assert_eq!(shown_name(Full, None, "\n"), "Phone");
    }
}

//! The rules of HTTP, a row each: what is asked, what is answered, and where it says so.

use tercet_loadtest::Voice;
use tercet_protocol::Role;
use tercet_tests::{SOON, Server};

use crate::wire::{Ask, ROOM, Reply, line, offer, played, publish, published, token};

/// A rule: where it stands, what is asked, and the status.
type Rule = (&'static str, Ask, u16);

async fn check(server: &Server, rules: Vec<Rule>) -> anyhow::Result<Vec<Reply>> {
    let mut replies = Vec::new();
    for (rule, ask, status) in rules {
        let reply = ask.send(server).await?;
        assert_eq!(reply.status, status, "{rule}: {ask:?}: {reply:?}");
        replies.push(reply);
    }
    Ok(replies)
}

#[tokio::test]
async fn an_endpoint_keeps_the_rules_of_whip() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (speaker, listener) = (token("ada", Role::Speaker)?, token("ben", Role::Listener)?);
    let ask = |method| Ask::new(method, format!("/whip/{ROOM}"));
    let post = || ask("POST").token(&speaker);
    let other_codec = published().replace("opus/48000/2", "L16/48000/2");
    let replies = check(
        &server,
        vec![
            ("RFC 9725, 4.2: 201 for an offer", post().sdp(&published()), 201),
            ("RFC 9725, 4.2: as sendrecv too", post().sdp(&published().replace("sendonly", "sendrecv")), 201),
            (
                "RFC 9110, 8.3: parameters of a type",
                post().header("content-type", "Application/SDP; charset=utf-8").body(published()),
                201,
            ),
            (
                "RFC 9725, 4.2: another type",
                post().header("content-type", "text/plain").body(published()),
                415,
            ),
            ("RFC 9725, 4.2: no type", post().body(published()), 415),
            ("RFC 9725, 4.2: malformed", post().sdp("hello"), 400),
            ("RFC 9725, 4.2: nothing", post().sdp(""), 400),
            (
                "RFC 9725, 4.4.2: two audio tracks",
                post().sdp(&offer(&[
                    line("audio", 0, "opus/48000/2", "sendonly"),
                    line("audio", 1, "opus/48000/2", "sendonly"),
                ])),
                422,
            ),
            ("neither audio nor video", post().sdp("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"), 400),
            ("a codec that nobody hears", post().sdp(&other_codec), 422),
            ("RFC 9725, 4.2: nothing to publish", post().sdp(&played()), 422),
            ("RFC 9725, 4.4.1: not bundled", post().sdp(&published().replace("BUNDLE 0", "LS 0")), 422),
            ("RFC 9725, 4.7: no token", ask("POST").sdp(&published()), 401),
            ("RFC 9725, 4.7: no token of ours", ask("POST").token("a.b.c").sdp(&published()), 401),
            (
                "RFC 9725, 4.7: another scheme",
                ask("POST").header("authorization", "Basic YTpi").sdp(&published()),
                401,
            ),
            (
                "RFC 9110, 11.1: a scheme in any case",
                ask("POST").header("authorization", format!("bearer {speaker}")).sdp(&published()),
                201,
            ),
            ("no room", Ask::new("POST", "/whip").token(&speaker).sdp(&published()), 404),
            ("no room", Ask::new("POST", "/whep/").token(&speaker).sdp(&played()), 404),
            (
                "a token for another room",
                Ask::new("POST", "/whip/elsewhere").token(&speaker).sdp(&published()),
                403,
            ),
            ("a listener's token", ask("POST").token(&listener).sdp(&published()), 403),
            ("RFC 9725, 4.2: GET is kept free", ask("GET").token(&speaker), 204),
            ("HEAD as GET", ask("HEAD").token(&speaker), 204),
            ("GET without token", ask("GET"), 401),
            ("RFC 9110, 15.5.6: PUT", ask("PUT").token(&speaker).sdp(&published()), 405),
            ("RFC 9110, 15.5.6: PATCH", ask("PATCH").token(&speaker).sdp(&published()), 405),
            ("RFC 9725, 4.2: OPTIONS", ask("OPTIONS"), 200),
            ("RFC 9110, 15.5.14: too large", post().sdp(&published().repeat(200)), 413),
        ],
    )
    .await?;
    for reply in &replies[..3] {
        assert!(reply.session()?.starts_with("/whip/studio/"), "{reply:?}");
        let etag = reply.etag()?;
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "strong: {etag}");
        assert_eq!(reply.header("content-type"), Some("application/sdp"));
        assert!(
            reply.body.contains("a=recvonly\r\n") && !reply.body.contains("a=sendrecv"),
            "{}",
            reply.body
        );
        assert!(
            reply.body.contains("a=candidate:") && reply.body.contains("a=rtcp-mux-only"),
            "{}",
            reply.body
        );
        assert!(!reply.body.contains("a=ice-lite"), "full ICE: {}", reply.body);
    }
    for reply in replies.iter().filter(|reply| reply.status == 401) {
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    assert!(
        replies.iter().filter(|reply| [204, 405].contains(&reply.status)).all(|reply| reply.body.is_empty())
    );
    Ok(())
}

#[tokio::test]
async fn pages_of_other_origins_may_use_it() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (begun, token) = publish(&server, "ada").await?;
    for path in [format!("/whip/{ROOM}"), format!("/whep/{ROOM}"), begun.session()?] {
        let preflight = Ask::new("OPTIONS", &path)
            .header("origin", "https://example.com")
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,content-type,etag,if-match")
            .send(&server)
            .await?;
        assert_eq!((preflight.status, preflight.header("accept-post")), (200, Some("application/sdp")));
        let allowed = preflight.header("access-control-allow-methods").unwrap_or_default();
        assert!(["POST", "PATCH", "DELETE"].iter().all(|method| allowed.contains(method)), "{allowed}");
        let allowed = preflight.header("access-control-allow-headers").unwrap_or_default();
        let headers = ["authorization", "content-type", "if-match", "etag"];
        assert!(headers.iter().all(|header| allowed.contains(header)), "{allowed}");
    }
    // What is refused is for the page to see too.
    for token in [token.as_str(), "wrong"] {
        let ask = Ask::new("GET", begun.session()?).token(token).header("origin", "https://example.com");
        let reply = ask.send(&server).await?;
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let exposed = reply.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
        assert!(
            ["location", "etag", "link", "retry-after"].iter().all(|name| exposed.contains(name)),
            "{exposed}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_keeps_the_rules_of_whep() -> anyhow::Result<()> {
    let server = Server::start()?;
    let listener = token("ben", Role::Listener)?;
    let ask = |method| Ask::new(method, format!("/whep/{ROOM}"));
    let post = || ask("POST").token(&listener).sdp(&played());
    let not_live = post().send(&server).await?;
    assert_eq!(
        (not_live.status, not_live.header("retry-after")),
        (409, Some("5")),
        "WHEP, 4.2: {not_live:?}"
    );
    for _ in 0..70 {
        assert_eq!(post().send(&server).await?.status, 409, "who waits is not told to wait longer");
    }
    let publisher = server.join(ROOM, "ada", Role::Speaker).await?;
    publisher.speak(Voice::new(1, -20)).await?;
    let deadline = tokio::time::Instant::now() + SOON;
    while post().send(&server).await?.status == 409 {
        assert!(tokio::time::Instant::now() < deadline, "ada publishes");
    }
    let three = offer(&[0, 1, 2].map(|mid| line("audio", mid, "OPUS/48000", "sendrecv")));
    let with_video =
        offer(&[line("video", 0, "THEORA/90000", "recvonly"), line("audio", 1, "opus/48000/2", "recvonly")]);
    let of = |query: &str| Ask::new("POST", format!("/whep/{ROOM}{query}")).token(&listener);
    let replies = check(
        &server,
        vec![
            ("WHEP, 4.2: three lines", ask("POST").token(&listener).sdp(&three), 201),
            ("WHEP, 4.2: a codec that nobody has", ask("POST").token(&listener).sdp(&with_video), 201),
            ("one participant", of("?participant=ada").sdp(&played()), 201),
            ("one who publishes nothing", of("?participant=zoe").sdp(&played()), 409),
            ("WHEP, 4.2: nothing to play", ask("POST").token(&listener).sdp(&published()), 422),
            ("WHEP, 4.2: another type", ask("POST").token(&listener).body(played()), 415),
            ("no token", ask("POST").sdp(&played()), 401),
            ("HEAD", ask("HEAD").token(&listener), 200),
            ("GET", ask("GET").token(&listener), 204),
            ("PUT", ask("PUT").token(&listener), 405),
        ],
    )
    .await?;
    assert_eq!(replies[7].header("content-type"), Some("application/sdp"));
    let answer = &replies[0].body;
    assert_eq!(answer.matches("a=sendonly\r\n").count(), 3, "{answer}");
    assert_eq!(answer.matches("a=msid:tercet ").count(), 3, "one stream: {answer}");
    assert_eq!(answer.matches(" cname:").count(), 3, "{answer}");
    let answer = &replies[1].body;
    assert!(answer.contains("m=video 0 ") && answer.contains("a=group:BUNDLE 1\r\n"), "{answer}");
    publisher.leave().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_keeps_the_rules() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (begun, own) = publish(&server, "ada").await?;
    let (path, etag) = (begun.session()?, begun.etag()?);
    let (again, other) = (token("ada", Role::Speaker)?, token("ben", Role::Speaker)?);
    let ask = |method| Ask::new(method, &path).token(&own);
    let candidate = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefabcdefabcdefabcdef\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                     a=candidate:1 1 udp 2130706431 192.0.2.1 9000 typ host\r\na=end-of-candidates\r\n";
    let nameless = "a=candidate:1 1 udp 2130706431 192.0.2.1 9000 typ host\r\n";
    let trickle = || ask("PATCH").fragment(candidate);
    let of = |tag: &str| trickle().header("if-match", tag);
    let restart = "a=ice-ufrag:efgh\r\na=ice-pwd:efghefghefghefghefghefgh\r\n";
    check(
        &server,
        vec![
            ("RFC 9725, 4.3: GET without body", ask("GET"), 204),
            ("HEAD", ask("HEAD"), 204),
            ("RFC 9725, 4.3.2: trickle", of(&etag), 204),
            ("RFC 9110, 13.1.1: one of several tags", of(&format!("\"x\", {etag}")), 204),
            ("RFC 9725, 4.3.1: another tag", of("\"x\""), 412),
            ("RFC 9110, 8.8.3.2: a weak tag", of(&format!("W/{etag}")), 412),
            ("medooze's player: no tag, its user fragment", trickle(), 204),
            ("Eyevinn's client: ETag for If-Match", trickle().header("etag", &etag), 204),
            ("RFC 9725, 4.3.1: no tag, and nothing else", ask("PATCH").fragment(nameless), 428),
            ("RFC 9725, 4.3.1: no tag, another ICE session", ask("PATCH").fragment(restart), 428),
            (
                "another ICE session under this tag",
                ask("PATCH").fragment(restart).header("if-match", &etag),
                422,
            ),
            ("a restart with the same credentials", of("*"), 422),
            ("a restart without credentials", ask("PATCH").fragment(nameless).header("if-match", "*"), 422),
            ("RFC 9725, 4.3: another type", ask("PATCH").sdp(&published()).header("if-match", &etag), 415),
            ("RFC 9725, 4.3: malformed", ask("PATCH").fragment("hello").header("if-match", &etag), 400),
            (
                "RFC 8839, 5.4: a short password",
                ask("PATCH").fragment("a=ice-pwd:short\r\n").header("if-match", "*"),
                400,
            ),
            ("RFC 9110, 15.5.14: too large", ask("PATCH").fragment(&candidate.repeat(1000)), 413),
            ("RFC 9725, 4.7: no token", Ask::new("DELETE", &path), 401),
            (
                "RFC 9725, 4.7: no token of ours",
                Ask::new("PATCH", &path).token("a.b.c").fragment(candidate),
                401,
            ),
            ("somebody else's token", Ask::new("DELETE", &path).token(&other), 403),
            ("as another protocol's", Ask::new("DELETE", path.replace("/whip/", "/whep/")).token(&own), 404),
            ("another session", Ask::new("DELETE", format!("/whip/{ROOM}/{:032x}", 7)).token(&own), 404),
            ("POST", ask("POST").sdp(&published()), 405),
            ("PUT", ask("PUT").sdp(&published()), 405),
            ("a new token of the same participant", Ask::new("GET", &path).token(&again), 204),
            ("RFC 9725, 4.2: DELETE, whatever the tag", ask("DELETE").header("if-match", "\"x\""), 200),
            ("gone", ask("DELETE"), 404),
            ("gone", of(&etag), 404),
        ],
    )
    .await?;
    Ok(())
}

//! RFC 4475: messages that are hard to read, and messages that are none. Each was written anew from what the RFC says of it,
//! beside what the RFC wants done about it. All go over a real socket to a gateway whose application is busy: what is let in
//! as an INVITE gets 486.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use support::{Phones, Raw, open_config};
use tercet_sip_gateway::signalling::{Config, Event, Limits, Registrar, Rejection};

/// What has to come of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// This final response.
    Status(u16),
    /// Nothing at all.
    Silence,
}
use Outcome::{Silence, Status};

struct Torture {
    /// As section 3 of the RFC calls it.
    name: &'static str,
    /// What it is about.
    why: &'static str,
    /// With `\n` for the ends of lines, and `{id}` where its `Call-ID` has to be one of its own.
    text: &'static str,
    outcome: Outcome,
}

const VALID: &[Torture] = &[
    Torture {
        name: "wsinv",
        why: "3.1.1.1: folded lines, compact names, names in any case, spaces before colons, escaped quotes, unknown headers",
        text: "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\nTO :\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\nfrom   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\nMaX-fOrWaRdS: 0068\nCall-ID: {id}\nContent-Length   : 150\ncseq: 0009\n  INVITE\nVia  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\ns :\nNewFangledHeader:   newfangled value\n continued newfangled value\nUnknownHeaderWithUnusualValue: ;;,,;;,;\nContent-Type: application/sdp\nRoute:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\nv:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\nm:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\n      newvalue ;\n  secondparam ; q = 0.33\n\nv=0\no=mhandley 29739 7272939 IN IP4 192.0.2.3\ns=-\nc=IN IP4 192.0.2.4\nt=0 0\nm=audio 49217 RTP/AVP 0 12\nm=video 3227 RTP/AVP 31\na=rtpmap:31 LPC\n",
        // Its To has a tag: it is a request within a call that we don't know.
        outcome: Status(481),
    },
    Torture {
        name: "intmeth",
        why: "3.1.1.2: every character that a token may have, in the method; nobody knows it",
        text: "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\nTo: \"BEL:\\\u{7} NUL:\\ DEL:\\\u{7f}\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>\nFrom: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u{440}\u{430}\u{431}\";tag=_token~1'+`*%!-.\nCall-ID: {id}\nCSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\nMax-Forwards: 255\nextensionHeader-!.%*+_`'~: \u{fe0f}\nContent-Length: 0\n\n",
        outcome: Status(501),
    },
    Torture {
        name: "esc01",
        why: "3.1.1.3: escapes in addresses are kept, and \"sip%3A…\" is a user",
        text: "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\nTo: sip:%75se%72@example.com\nFrom: <sip:I%20have%20spaces@example.net>;tag=938\nMax-Forwards: 87\ni: {id}\nCSeq: 234234 INVITE\nVia: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw\nC: application/sdp\nContact:\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\nContent-Length: 0\n\n",
        outcome: Status(486),
    },
    Torture {
        name: "escnull",
        why: "3.1.1.4: escaped NUL in users",
        text: "REGISTER sip:example.com SIP/2.0\nTo: sip:null-%00-null@example.com\nFrom: sip:null-%00-null@example.com;tag=839923423\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 14398234 REGISTER\nVia: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw\nContact: <sip:%00@host5.example.com>\nContact: <sip:%00%00@host5.example.com>\nL:0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "esc02",
        why: "3.1.1.5: a per cent sign in a method is no escape: it is not REGISTER",
        text: "RE%47IST%45R sip:registrar.example.com SIP/2.0\nTo: \"%Z%45\" <sip:resource@example.com>\nFrom: \"%Z%45\" <sip:resource@example.com>;tag=f232jadfj23\nCall-ID: {id}\nVia: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234\nCSeq: 29344 RE%47IST%45R\nMax-Forwards: 70\nContact: <sip:alias1@host1.example.com>\nC%6Fntact: <sip:alias2@host2.example.com>\nContact: <sip:alias3@host3.example.com>\nl: 0\n\n",
        outcome: Status(501),
    },
    Torture {
        name: "lwsdisp",
        why: "3.1.1.6: no space between a name and its bracket",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: caller<sip:caller@example.com>;tag=323\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 60 OPTIONS\nVia: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw\nl: 0\n\n",
        outcome: Status(200),
    },
    Torture {
        name: "dblreq",
        why: "3.1.1.8: what comes after the body of a datagram is ignored",
        text: "OPTIONS sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=43251j3j324\nMax-Forwards: 8\nI: {id}\nContact: sip:j.user@host.example.com\nCSeq: 8 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492\nContent-Length: 0\n\n\nINVITE sip:joe@example.com SIP/2.0\nt: sip:joe@example.com\nFrom: sip:caller@example.net;tag=141334\nMax-Forwards: 8\n\n",
        outcome: Status(200),
    },
    Torture {
        name: "semiuri",
        why: "3.1.1.9: semicolons in the user",
        text: "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\nTo: sip:j_user@example.com\nFrom: sip:caller@example.org;tag=33242\nMax-Forwards: 3\nCall-ID: {id}\nCSeq: 8 OPTIONS\nAccept: application/sdp, application/pkcs7-mime,\n        multipart/mixed, multipart/signed,\n        message/sip, message/sipfrag\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw\nl: 0\n\n",
        outcome: Status(200),
    },
    Torture {
        name: "transports",
        why: "3.1.1.10: transports that we don't know, in Via",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: <sip:caller@example.com>;tag=323\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 60 OPTIONS\nVia: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\nVia: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\nVia: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\nVia: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee\nl: 0\n\n",
        outcome: Status(200),
    },
    Torture {
        name: "mpart01",
        why: "3.1.1.11: a multipart body; MESSAGE is none of ours",
        text: "MESSAGE sip:kumiko@example.org SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport\nMax-Forwards: 70\nRoute: <sip:127.0.0.1:5080>\nIdentity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD+813gvYjcBUaZngQmXc9WNZSDNGCzA+fWl9MEUHWIZo1CeJebdY/XlgKeTa0Olvq0rt70Q5jiSfbqMJmQFteeivUhkMWYUA=\nContact: <sip:fluffy@127.0.0.1:5070>\nTo: <sip:kumiko@example.org>\nFrom: <sip:fluffy@example.com>;tag=2fb0dcc9\nCall-ID: {id}\nCSeq: 1 MESSAGE\nContent-Transfer-Encoding: binary\nContent-Type: multipart/mixed;boundary=7a9cbec02ceef655\nContent-Length: 60\n\n--7a9cbec02ceef655\nContent-Type: text/plain\n\nHello\n--7a9cbec02ceef655--\n",
        outcome: Status(405),
    },
    Torture {
        name: "unreason",
        why: "3.1.1.12: a response of nobody's, its reason in other letters",
        text: "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e} \u{434}\u{435}\u{432}\u{44f}\u{43d}\u{43e}\u{441}\u{442}\u{43e} \u{434}\u{435}\u{432}\u{44f}\u{442}\u{44c} - \u{43f}\u{440}\u{43e}\u{441}\u{442}\u{43e}\u{435}\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\nCall-ID: {id}\nCSeq: 35 INVITE\nFrom: sip:user@example.com;tag=11141343\nTo: sip:user@example.edu;tag=2229\nContent-Length: 0\nContact: <sip:user@host198.example.com>\n\n",
        outcome: Silence,
    },
    Torture {
        name: "noreason",
        why: "3.1.1.13: a response without a reason",
        text: "SIP/2.0 100 \nVia: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe\nCall-ID: {id}\nCSeq: 35 INVITE\nFrom: <sip:user@example.com>;tag=39ansfi3\nTo: <sip:user@example.edu>;tag=902jndnke3\nContent-Length: 0\nContact: <sip:user@host105.example.com>\n\n",
        outcome: Silence,
    },
];

const INVALID: &[Torture] = &[
    Torture {
        name: "badinv01",
        why: "3.1.2.1: separators with nothing between them",
        text: "INVITE sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=134161461246\nMax-Forwards: 7\nCall-ID: {id}\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP 192.0.2.15;;,;,,\nContact: \"Joe\" <sip:joe@example.org>;;;;\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "clerr",
        why: "3.1.2.2: longer than the datagram, by its own word",
        text: "INVITE sip:user@example.com SIP/2.0\nMax-Forwards: 80\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=93942939o2\nContact: <sip:caller@hungry.example.net>\nCall-ID: {id}\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP 192.0.2.53;branch=z9hG4bK39234\nContent-Type: application/sdp\nContent-Length: 9999\n\nv=0\n",
        outcome: Status(400),
    },
    Torture {
        name: "ncl",
        why: "3.1.2.3: of negative length",
        text: "INVITE sip:user@example.com SIP/2.0\nMax-Forwards: 254\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=32394234\nCall-ID: {id}\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP 192.0.2.53;branch=z9hG4bKkdjuw2349i\nContact: <sip:caller@host5.example.net>\nContent-Type: application/sdp\nContent-Length: -999\n\nv=0\n",
        outcome: Status(400),
    },
    Torture {
        name: "scalar02",
        why: "3.1.2.4: numbers larger than there are",
        text: "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3\nTo: <sip:user@example.com>\nFrom: <sip:user@example.com>;tag=239232jh3\nCSeq: 36893488147419103232 REGISTER\nCall-ID: {id}\nMax-Forwards: 300\nExpires: 10000000000000000000000000000000000\nContact: <sip:user@host129.example.com>;expires=280297596632815\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "scalarlg",
        why: "3.1.2.5: a response with such numbers",
        text: "SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129\nTo: <sip:user@example.com>\nFrom: <sip:other@example.net>;tag=2easdjfejw\nCSeq: 9292394834772304023312 OPTIONS\nCall-ID: {id}\nRetry-After: 949302838503028349304023988\nWarning: 1812 overture \"In Progress\"\nContent-Length: 0\n\n",
        outcome: Silence,
    },
    Torture {
        name: "quotbal",
        why: "3.1.2.6: a quote that doesn't end",
        text: "INVITE sip:user@example.com SIP/2.0\nTo: \"Mr. J. User <sip:j.user@example.com>\nFrom: sip:caller@example.net;tag=93334\nMax-Forwards: 10\nCall-ID: {id}\nContact: \"Joe\" <sip:caller@host59.example.net>\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "ltgtruri",
        why: "3.1.2.7: brackets around the request URI",
        text: "INVITE <sip:user@example.com> SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=39291\nMax-Forwards: 23\nCall-ID: {id}\nCSeq: 1 INVITE\nVia: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKkdjuw\nContact: <sip:caller@host5.example.net>\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "lwsruri",
        why: "3.1.2.8: a space in the request URI",
        text: "INVITE sip:user@example.com; lr SIP/2.0\nTo: sip:user@example.com;tag=3xfe-9921883-z9f\nFrom: sip:caller@example.net;tag=231413434\nMax-Forwards: 5\nCall-ID: {id}\nCSeq: 2130706432 INVITE\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKkdjuw2395\nContact: <sip:caller@host5.example.net>\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "lwsstart",
        why: "3.1.2.9: more than one space in the request line",
        text: "INVITE  sip:user@example.com  SIP/2.0\nMax-Forwards: 8\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=8814\nCall-ID: {id}\nCSeq: 1893884 INVITE\nVia: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw3923\nContact: <sip:caller@host1.example.net>\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "trws",
        why: "3.1.2.10: spaces after the version",
        text: "OPTIONS sip:remote-target@example.com SIP/2.0  \nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK299342093\nTo: <sip:remote-target@example.com>\nFrom: <sip:local-resource@example.com>;tag=329429089\nCall-ID: {id}\nMax-Forwards: 70\nCSeq: 238923 OPTIONS\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "escruri",
        why: "3.1.2.11: headers in the request URI",
        text: "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=341518\nMax-Forwards: 7\nContact: <sip:caller@host39923.example.net>\nCall-ID: {id}\nCSeq: 149209342 INVITE\nVia: SIP/2.0/UDP host-of-the-hour.example.com;branch=z9hG4bKkdjuw\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "baddate",
        why: "3.1.2.12: a time zone that SIP has not; it may be ignored",
        text: "INVITE sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=2234923\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 1392934 INVITE\nVia: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw\nDate: Fri, 01 Jan 2010 16:00:00 EST\nContact: <sip:caller@host5.example.net>\nContent-Length: 0\n\n",
        outcome: Status(486),
    },
    Torture {
        name: "regbadct",
        why: "3.1.2.13: a contact with headers and without brackets: whose are the parameters?",
        text: "REGISTER sip:example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=998332\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 1 REGISTER\nVia: SIP/2.0/UDP 135.180.130.133:5060;branch=z9hG4bKkdjuw\nContact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\nl: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "badaspec",
        why: "3.1.2.14: spaces within an address",
        text: "OPTIONS sip:user@example.org SIP/2.0\nVia: SIP/2.0/UDP host4.example.com:5060;branch=z9hG4bKkdju43234\nMax-Forwards: 70\nFrom: \"Bell, Alexander\" <sip:a.g.bell@example.com>;tag=433423\nTo: \"Watson, Thomas\" < sip:t.watson@example.org >\nCall-ID: {id}\nCSeq: 3923239 OPTIONS\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "baddn",
        why: "3.1.2.15: a comma in a name without quotes",
        text: "OPTIONS sip:t.watson@example.org SIP/2.0\nVia:     SIP/2.0/UDP c.example.com:5060;branch=z9hG4bKkdjuw\nMax-Forwards:      70\nFrom:    Bell, Alexander <sip:a.g.bell@example.com>;tag=43\nTo:      Watson, Thomas <sip:t.watson@example.org>\nCall-ID: {id}\nCSeq: 31 OPTIONS\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "badvers",
        why: "3.1.2.16: a version to come",
        text: "OPTIONS sip:t.watson@example.org SIP/7.0\nVia:     SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw\nMax-Forwards:     70\nFrom:    A. Bell <sip:a.g.bell@example.com>;tag=qweoiqpe\nTo:      T. Watson <sip:t.watson@example.org>\nCall-ID: {id}\nCSeq:    1 OPTIONS\nl: 0\n\n",
        outcome: Status(505),
    },
    Torture {
        name: "mismatch01",
        why: "3.1.2.17: CSeq of another method",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=34525\nMax-Forwards: 6\nCall-ID: {id}\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw\nl: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "mismatch02",
        why: "3.1.2.18: the same, of a method that nobody knows: 501 or 400",
        text: "NEWMETHOD sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=34525\nMax-Forwards: 6\nCall-ID: {id}\nCSeq: 8 INVITE\nContact: <sip:caller@host.example.net>\nVia: SIP/2.0/UDP host.example.net;branch=z9hG4bKkdjuw\nContent-Type: application/sdp\nl: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "bigcode",
        why: "3.1.2.19: a status that is larger than there are",
        text: "SIP/2.0 4294967301 better not break the receiver\nVia: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe\nCall-ID: {id}\nCSeq: 353494 INVITE\nFrom: <sip:user@example.com>;tag=39ansfi3\nTo: <sip:user@example.edu>;tag=902jndnke3\nContent-Length: 0\nContact: <sip:user@host105.example.com>\n\n",
        outcome: Silence,
    },
    Torture {
        name: "badbranch",
        why: "3.2.1: a branch that is the cookie alone",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.org;tag=33242\nMax-Forwards: 3\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK\nAccept: application/sdp\nCall-ID: {id}\nCSeq: 8 OPTIONS\nl: 0\n\n",
        outcome: Status(400),
    },
];

const APPLICATION: &[Torture] = &[
    Torture {
        name: "insuf",
        why: "3.3.1: without Call-ID, From and To; nothing of the call to tell it by",
        text: "INVITE sip:user@example.com SIP/2.0\nCSeq: 193942 INVITE\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\nX-Probe: {id}\nContent-Type: application/sdp\nl: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "unkscm",
        why: "3.3.2: a request URI of a scheme that nobody knows",
        text: "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=384\nMax-Forwards: 3\nCall-ID: {id}\nCSeq: 3923423 OPTIONS\nVia: SIP/2.0/TCP host9.example.com;branch=z9hG4bKkdjuw39234\nContent-Length: 0\n\n",
        outcome: Status(416),
    },
    Torture {
        name: "novelsc",
        why: "3.3.3: one of another protocol's",
        text: "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=384\nMax-Forwards: 3\nCall-ID: {id}\nCSeq: 3923423 OPTIONS\nVia: SIP/2.0/TCP host9.example.com;branch=z9hG4bKkdjuw39234\nContent-Length: 0\n\n",
        outcome: Status(416),
    },
    Torture {
        name: "unksm2",
        why: "3.3.4: a REGISTER of what no user can be; who it is comes first",
        text: "REGISTER sip:example.com SIP/2.0\nTo: isbn:2983792873\nFrom: <http://www.example.com>;tag=3234233\nCall-ID: {id}\nCSeq: 234902 REGISTER\nMax-Forwards: 70\nVia: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKkdjuw\nContact: <name:John_Smith>\nl: 0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "bext01",
        why: "3.3.5: extensions required that nobody has",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:j_user@example.com\nFrom: sip:caller@example.net;tag=242etr\nMax-Forwards: 6\nCall-ID: {id}\nRequire: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\nCSeq: 8 OPTIONS\nVia: SIP/2.0/TLS fold-and-staple.example.com;branch=z9hG4bKkdjuw\nContent-Length: 0\n\n",
        outcome: Status(420),
    },
    Torture {
        name: "invut",
        why: "3.3.6: a body that nobody can read",
        text: "INVITE sip:user@example.com SIP/2.0\nContact: <sip:caller@host5.example.net>\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=8392034\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 235448 INVITE\nVia: SIP/2.0/UDP somehost.example.com;branch=z9hG4bKkdjuw\nContent-Type: application/unknownformat\nContent-Length: 40\n\n<audio>\n <pcmu port=\"443\"/>\n</audio>\n",
        outcome: Status(415),
    },
    Torture {
        name: "regaut01",
        why: "3.3.7: credentials of a scheme that nobody knows are none",
        text: "REGISTER sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=87321hj23128\nMax-Forwards: 8\nCall-ID: {id}\nCSeq: 9338 REGISTER\nVia: SIP/2.0/TCP 192.0.2.253;branch=z9hG4bKkdjuw\nAuthorization: NoOneKnowsThisScheme opaque-data=here\nContent-Length: 0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "multi01",
        why: "3.3.8: several of what there may be one of",
        text: "INVITE sip:user@company.com SIP/2.0\nContact: <sip:caller@host25.example.net>\nVia: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw\nMax-Forwards: 70\nCSeq: 5 INVITE\nCall-ID: {id}\nCSeq: 59 INVITE\nCall-ID: multi01.98asdh@192.0.2.2\nFrom: sip:caller@example.com;tag=3413415\nTo: sip:user@example.com\nTo: sip:other@example.net\nFrom: sip:caller@example.net;tag=2923420123\nContent-Length: 0\n\n",
        outcome: Status(400),
    },
    Torture {
        name: "mcl01",
        why: "3.3.9: two lengths",
        text: "OPTIONS sip:user@example.com SIP/2.0\nVia: SIP/2.0/UDP host5.example.net;branch=z9hG4bK293423\nTo: sip:user@example.com\nFrom: sip:other@example.net;tag=3923942\nCall-ID: {id}\nCSeq: 15932 OPTIONS\nMax-Forwards: 70\nContent-Length: 13\nContent-Length: 5\n\nThere's no way to know how many octets\n",
        outcome: Status(400),
    },
    Torture {
        name: "bcast",
        why: "3.3.10: a response to a broadcast address, of nobody's request",
        text: "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\nCall-ID: {id}\nMax-Forwards: 8\nCSeq: 35 INVITE\nFrom: sip:user@example.com;tag=11141343\nTo: sip:user@example.edu;tag=2229\nContact: <sip:user@host28.example.com>\nContent-Length: 0\n\n",
        outcome: Silence,
    },
    Torture {
        name: "zeromf",
        why: "3.3.11: no hops left",
        text: "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=3ghsd41\nCall-ID: {id}\nCSeq: 39234321 OPTIONS\nVia: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw2349i\nMax-Forwards: 0\nContent-Length: 0\n\n",
        outcome: Status(483),
    },
    Torture {
        name: "cparam01",
        why: "3.3.12: contacts with parameters of their own; who it is comes first",
        text: "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKkdjuw\nMax-Forwards: 70\nFrom: sip:watson@example.com;tag=DkfVgjkrtMwaerKKpe\nTo: sip:watson@example.com\nCall-ID: {id}\nCSeq: 2 REGISTER\nContact: sip:+19725552222@gw1.example.net;unknownparam\nl: 0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "cparam02",
        why: "3.3.13: the same parameter, of the URI and not of the header",
        text: "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKkdjuw\nMax-Forwards: 70\nFrom: sip:watson@example.com;tag=838293\nTo: sip:watson@example.com\nCall-ID: {id}\nCSeq: 3 REGISTER\nContact: <sip:+19725552222@gw1.example.net;unknownparam>\nl: 0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "sdp01",
        why: "3.3.15: the caller reads no session descriptions, and could not be answered",
        text: "INVITE sip:user@example.com SIP/2.0\nTo: sip:j_user@example.com\nContact: <sip:caller@host15.example.net>\nFrom: sip:caller@example.net;tag=234\nMax-Forwards: 5\nCall-ID: {id}\nCSeq: 8439 INVITE\nVia: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw\nContent-Length: 150\nContent-Type: application/sdp\nAccept: text/nobodyKnowsThis\n\nv=0\no=mhandley 29739 7272939 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 49217 RTP/AVP 0 12\nm=video 3227 RTP/AVP 31\na=rtpmap:31 LPC\n",
        outcome: Status(406),
    },
    Torture {
        name: "regescrt",
        why: "3.3.14: a contact with a route in it",
        text: "REGISTER sip:example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=8\nMax-Forwards: 70\nCall-ID: {id}\nCSeq: 14398234 REGISTER\nVia: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw\nM: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\nL:0\n\n",
        outcome: Status(401),
    },
    Torture {
        name: "inv2543",
        why: "4: INVITE as of RFC 2543, without tag and branch. The RFC would have it taken; phones like that are gone",
        text: "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\nRecord-Route: <sip:UserB@example.com;maddr=ss1.example.com>\nTo: sip:+16505552222@ss1.example.net;user=phone\nCall-ID: {id}\nCSeq: 56 INVITE\nContact: <sip:host.example.net>\nl: 0\n\n",
        outcome: Status(400),
    },
];

async fn busy() -> Phones {
    busy_with(open_config()).await
}

async fn busy_with(config: Config) -> Phones {
    let config = Config { registrar: Some(Registrar::default()), ..config };
    Phones::start(config, |handle, event| {
        if let Event::Incoming(incoming) = event {
            handle.reject(incoming.call, Rejection::with(486)).unwrap();
        }
    })
    .await
}

/// What becomes of some bytes; a probe behind them tells when nothing does.
fn outcome(raw: &Raw, message: &[u8], id: &str) -> Outcome {
    let has_id = message.windows(id.len()).any(|window| window == id.as_bytes());
    raw.send(message);
    // What the stack answers takes a moment longer than what stands before it.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let probe = raw.request("OPTIONS", "probe", "");
    let probe_id = probe.lines().find(|line| line.starts_with("Call-ID")).unwrap().to_owned();
    raw.send(probe.as_bytes());
    let mut found = Silence;
    loop {
        let response = raw.receive().expect("the gateway is still there");
        if response.contains(&probe_id) {
            return found;
        }
        let is_of_it = response.contains(id) || !has_id || !response.contains("Call-ID");
        let status: u16 = response[8..11].parse().unwrap();
        if is_of_it && status >= 200 && found == Silence {
            found = Status(status);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_rfc_4475_are_taken_or_refused_as_it_says() {
    let phones = busy().await;
    let raw = Raw::to(phones.address());
    for (number, torture) in VALID.iter().chain(INVALID).chain(APPLICATION).enumerate() {
        let id = format!("{}{number}@torture", torture.name);
        let text = torture.text.replace('\n', "\r\n").replace("{id}", &id);
        let found = outcome(&raw, text.as_bytes(), &id);
        assert_eq!(found, torture.outcome, "{}: {}\n{text}", torture.name, torture.why);
    }
}

/// 3.1.1.7, longreq: every part of a message is far longer than anybody needs, and is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_values_are_taken() {
    let phones = busy().await;
    let raw = Raw::to(phones.address());
    let long = |word: &str| word.repeat(20);
    let id = format!("longreq.one{}longcallid", long("really"));
    let vias: String = (1..=34)
        .map(|host| format!("v: SIP/2.0/TCP sip{host}.example.com;branch=z9hG4bK{}{host}\r\n", long("long")))
        .collect();
    let body = "v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                m=audio 49217 RTP/AVP 0 12\r\na=rtpmap:0 PCMU/8000\r\n";
    let text = format!(
        "INVITE sip:user@example.com SIP/2.0\r\n\
         To: \"I have a user name of {name} proportion\" <sip:user@example.com:6000;unknownparam1=very{long}value;\
         longparam{param}name=shortvalue;very{param}ParameterNameWithNoValue>\r\n\
         F: sip:amazinglylongcallername{caller}@example.net;tag=12{tag}982424;unknownheaderparam{param}name=\
         unknowheaderparam{long}value;unknownValueless{param}paramname\r\n\
         Call-ID: {id}\r\nCSeq: 3882340 INVITE\r\n\
         Unknown-{param}-Name: unknown-{long}-value; unknown-{param}-parameter-name = unknown-{long}-parameter-value\r\n\
         Via: SIP/2.0/UDP sip33.example.com;branch=z9hG4bKlong\r\n{vias}\
         Max-Forwards: 70\r\nContact: <sip:amazinglylongcallername{caller}@host5.example.net>\r\n\
         Content-Type: application/sdp\r\nl: {length}\r\n\r\n{body}",
        name = long("extreme"),
        caller = long("name"),
        param = long("long"),
        long = long("long"),
        tag = long("982424"),
        length = body.len(),
    );
    assert!(text.len() > 4_000, "{}", text.len());
    assert_eq!(outcome(&raw, text.as_bytes(), &id), Status(486));
}

/// What our parser takes and the stack's doesn't: it is answered, and takes no place in the gate for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_the_stack_cannot_read_are_answered_and_block_nobody() {
    let limits = Limits { messages_waiting_max: 8, ..open_config().limits };
    let phones = busy_with(Config { limits, ..open_config() }).await;
    let raw = Raw::to(phones.address());
    for (is, was) in [
        ("SIP/2.0/FOO ", "SIP/2.0/UDP "),
        (";transport=foo SIP/2.0\r\n", " SIP/2.0\r\n"),
        (";method=foo SIP/2.0\r\n", " SIP/2.0\r\n"),
    ] {
        for method in ["OPTIONS", "ACK"] {
            for _ in 0..5 {
                raw.send(raw.request(method, "room", "").replacen(was, is, 1).as_bytes());
                let expected = (method == "OPTIONS").then_some(400);
                if expected.is_some() {
                    assert_eq!(raw.final_status(), expected, "{is}");
                }
            }
        }
    }
    assert_eq!(raw.ask("OPTIONS", "room", ""), Some(200));
    assert_eq!(phones.gateway.counters().unparseable, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_are_never_answered() {
    let phones = busy().await;
    let raw = Raw::to(phones.address());
    for (number, torture) in INVALID.iter().enumerate() {
        let id = format!("{}{number}@ack", torture.name);
        let text = torture.text.replace('\n', "\r\n").replace("{id}", &id);
        let Some((_, rest)) = text.split_once(' ') else { panic!() };
        if !text.starts_with("SIP/2.0 ") {
            assert_eq!(outcome(&raw, format!("ACK {rest}").as_bytes(), &id), Silence, "{}", torture.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cut_anywhere_hurt_nobody() {
    let phones = busy().await;
    let raw = Raw::to(phones.address());
    for torture in VALID.iter().chain(INVALID).chain(APPLICATION) {
        let text = torture.text.replace('\n', "\r\n").replace("{id}", "cut@torture");
        for end in (0..text.len()).step_by(17) {
            raw.send(&text.as_bytes()[..end]);
        }
        for at in (0..text.len()).step_by(29) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if at % 2 == 0 { 0 } else { 0xff };
            raw.send(&bytes);
        }
    }
    for junk in
        [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0", &[0xff; 9000]]
    {
        raw.send(junk);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let fresh = Raw::to(phones.address());
    assert_eq!(fresh.ask("OPTIONS", "room", ""), Some(200));
    assert!(phones.gateway.counters().unparseable > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_that_is_too_long_is_told_so() {
    let phones = busy().await;
    let raw = Raw::to(phones.address());
    let long = format!("Subject: {}\r\n", "x".repeat(8500));
    assert_eq!(raw.ask("OPTIONS", "room", &long), Some(513));
    let longer = format!("Subject: {}\r\n", "x".repeat(20_000));
    assert_eq!(raw.ask("OPTIONS", "room", &longer), None, "more than is looked at");
    assert_eq!(phones.gateway.counters().dropped, 1);
}

use super::{BASIC, World, asked, assert_told_nothing, layer_of_box, user_at};
use crate::support::{Auth, Fault, Image, Registry, Rule, Tls, Windlass};

/// Addresses that no registry has business to lead to, as resolvers take them.
const FORBIDDEN: &[&str] = &[
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0251.254",
    "169.254.43518",
    "169.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "169.254.170.2",
    "[fe80::1]",
    "0.0.0.0",
    "0",
    "[::]",
    "[::ffff:0.0.0.0]",
];

/// Spellings of this machine.
const LOOPBACK: &[&str] = &[
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "127.0.0.1",
    "127.1",
    "127.9.8.7",
    "0x7f000001",
    "2130706433",
    "0177.1",
    "[::1]",
    "[0:0::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
];

/// What becomes of a hop.
#[derive(Clone, Copy, Debug)]
enum Hop {
    /// Taken, with our credentials.
    Same,
    /// Taken, as a stranger.
    Other,
    /// Not taken, for this reason.
    Refused(&'static str),
}

/// The server whose layer is led away, and the one that strangers reach.
struct Ends<'a> {
    home: &'a Registry,
    away: &'a Registry,
}

impl Ends<'_> {
    /// Gets the home ready: all need `me`, and the layer is at `location`.
    fn lead_to(&self, location: &str) {
        let image = Image::small();
        for server in [self.home, self.away] {
            server.recover();
            server.put_file("/f", &image.layers()[0].content);
            server.forget();
        }
        self.home.push(&image, "box:1");
        self.home.require(Auth::basic("me", super::PASSWORD));
        let rule = Rule::on(&layer_of_box()).fault(Fault::redirect(location));
        self.home.rule(rule);
    }

    #[track_caller]
    fn check(&self, location: &str, output: crate::support::Output, hop: Hop) {
        let (home, away) = (asked(self.home), asked(self.away));
        let output = output.never_says(super::PASSWORD);
        match hop {
            Hop::Same => {
                output.success();
                let led: Vec<_> = home.iter().filter(|line| line.contains("/f")).collect();
                assert_eq!(led, [&format!("GET /f {BASIC}")], "{location}");
                assert!(away.is_empty(), "{location}: {away:?}");
            }
            Hop::Other => {
                output.success();
                let led = home.iter().chain(&away).filter(|line| line.contains("/f"));
                assert_eq!(led.collect::<Vec<_>>(), ["GET /f"], "{location}");
                assert_told_nothing(self.away);
            }
            Hop::Refused(why) => {
                output.exits(4).says("hop from ").says("is refused").says(why).prints("");
                assert!(away.is_empty(), "{location}: {away:?}");
            }
        }
    }
}

#[test]
fn login_goes_to_no_other_origin_than_the_registrys() {
    let (home, away) = (Registry::start(), Registry::start());
    let ends = Ends { home: &home, away: &away };
    let (own, other) = (home.address().port(), away.address().port());
    for (location, hop) in [
        ("/f".to_owned(), Hop::Same),
        (format!("//127.0.0.1:{own}/f"), Hop::Same),
        (format!("http://127.0.0.1:{own}/f?sig=hunter2-marker"), Hop::Same),
        (format!("http://you:hunter2-marker@127.0.0.1:{own}/f"), Hop::Same),
        (format!("http://127.0.0.1:{other}/f"), Hop::Other),
        (format!("//127.0.0.1:{other}/f"), Hop::Other),
        (format!("http://you:pw@127.0.0.1:{other}/f"), Hop::Other),
        (format!("http://127.0.0.1:{own}@127.0.0.1:{other}/f"), Hop::Other),
        (format!("http://localhost:{own}/f"), Hop::Other),
        (format!("http://localhost:{other}/f"), Hop::Other),
        (format!("http://127.1:{own}/f"), Hop::Other),
    ] {
        ends.lead_to(&location);
        let windlass = user_at(&home.host());
        let output = windlass.run(&["pull", &home.name("box:1"), "--retries=1"]);
        ends.check(&location, output, hop);
    }
}

#[test]
fn addresses_of_metadata_services_are_refused_whatever_the_registry_and_the_spelling() {
    let (home, away) = (Registry::start(), Registry::start());
    let ends = Ends { home: &home, away: &away };
    for host in FORBIDDEN {
        for location in
            [format!("http://{host}/f"), format!("https://{host}:8443/?sig=hunter2-marker")]
        {
            ends.lead_to(&location);
            let output = user_at(&home.host()).run(&["pull", &home.name("box:1"), "--retries=1"]);
            ends.check(&location, output, Hop::Refused(" is refused: it leads to "));
        }
    }
}

#[test]
fn encrypted_registry_of_the_world_leads_neither_to_plain_http_nor_to_this_machine() {
    let world = World::https();
    let away = Registry::start_tls(world.tls.as_ref().unwrap());
    world.proxy.detour("elsewhere.test:444", away.address());
    let ends = Ends { home: &world.registry, away: &away };
    let mut rows = vec![
        ("https://elsewhere.test/f".to_owned(), Hop::Same),
        ("https://ELSEWHERE.test.:443/f".to_owned(), Hop::Same),
        ("https://elsewhere.test:444/f".to_owned(), Hop::Other),
        ("http://elsewhere.test/f".to_owned(), Hop::Refused("it would give up encryption")),
        ("http://elsewhere.test:443/f".to_owned(), Hop::Refused("it would give up encryption")),
        (format!("http://{}/f", away.host()), Hop::Refused("it would give up encryption")),
    ];
    let port = away.address().port();
    for host in LOOPBACK {
        rows.push((format!("https://{host}:{port}/f"), Hop::Refused("it leads to this machine")));
    }
    for host in FORBIDDEN {
        rows.push((format!("https://{host}/f"), Hop::Refused("it leads to ")));
    }
    for (location, hop) in rows {
        ends.lead_to(&location);
        let output = world.pull(&user_at("elsewhere.test"), &[]);
        ends.check(&location, output, hop);
    }
}

#[test]
fn plain_registry_of_the_world_leads_to_private_addresses_and_not_to_this_machine() {
    let world = World::http();
    let away = Registry::start();
    for target in ["cdn.test:80", "sub.registry.test:80", "registry.test:81", "10.0.0.1:80"] {
        world.proxy.detour(target, away.address());
    }
    let ends = Ends { home: &world.registry, away: &away };
    for (location, hop) in [
        ("http://registry.test/f".to_owned(), Hop::Same),
        ("http://cdn.test/f".to_owned(), Hop::Other),
        ("http://sub.registry.test/f".to_owned(), Hop::Other),
        ("http://registry.test:81/f".to_owned(), Hop::Other),
        ("http://10.0.0.1/f".to_owned(), Hop::Other),
        (format!("http://{}/f", away.host()), Hop::Refused("it leads to this machine")),
        ("http://169.254.169.254/f".to_owned(), Hop::Refused("it leads to a metadata service")),
    ] {
        ends.lead_to(&location);
        let output = world.pull(&user_at("registry.test"), &[]);
        ends.check(&location, output, hop);
    }
}

#[test]
fn who_is_led_back_home_by_a_stranger_comes_as_a_stranger() {
    let (home, away) = (Registry::start(), Registry::start());
    let ends = Ends { home: &home, away: &away };
    ends.lead_to(&away.url("/away"));
    away.fail_always("/away", Fault::redirect(home.url("/f")));
    user_at(&home.host()).run(&["pull", &home.name("box:1")]).success();
    assert!(asked(&home).contains(&"GET /f".to_owned()), "{:?}", asked(&home));
    assert_told_nothing(&away);
}

#[test]
fn manifest_and_tag_list_are_led_away_without_login_too() {
    let (home, away) = (Registry::start(), Registry::start());
    let image = Image::small();
    home.push(&image, "box:1");
    away.push(&image, "box:1");
    home.require(Auth::basic("me", super::PASSWORD));
    let windlass = user_at(&home.host());
    let name = home.name("box:1");
    home.fail_always("/v2/box/manifests/*", Fault::redirect(away.url("/v2/box/manifests/1")));
    windlass.run(&["digest", &name]).success().prints(&format!("{}\n", image.digest));
    windlass.run(&["manifest", &name]).success();
    windlass.run(&["pull", &name]).success();
    home.fail_always("/v2/box/tags/list", Fault::redirect(away.url("/v2/box/tags/list")));
    windlass.run(&["tags", &home.name("box")]).success().prints("1\n");
    assert_eq!(away.count("/v2/*"), 4);
    assert_told_nothing(&away);
}

#[test]
fn registry_that_a_redirect_leads_to_gets_the_login_stored_for_it_and_no_other() {
    let (home, away) = (Registry::start(), Registry::start());
    let image = Image::small();
    home.push(&image, "box:1");
    away.push(&image, "box:1");
    home.require(Auth::basic("me", super::PASSWORD));
    away.require(Auth::basic("me", super::PASSWORD));
    let name = home.name("box:1");
    home.fail_always("/v2/*", Fault::redirect(away.url("/v2/box/manifests/1")));
    let output = user_at(&home.host()).run(&["pull", &name, "--retries=1"]);
    output.exits(4).says(&format!("no credentials for {}", away.host()));
    assert_told_nothing(&away);
    let windlass = user_at(&away.host());
    windlass.run(&["digest", &name]).success();
    assert!(asked(&away).last().unwrap().ends_with(BASIC));
    assert!(home.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn pages_of_tags_stay_at_the_registry() {
    let (home, away) = (Registry::start(), Registry::start());
    home.push(&Image::small(), "box:1");
    home.require(Auth::basic("me", super::PASSWORD));
    let windlass = user_at(&home.host());
    let tags = |link: &str| {
        home.recover();
        let next = format!("<{link}>; rel=\"next\"");
        home.rule(Rule::on("/v2/box/tags/list?n=*").fault(Fault::header("Link", &next)));
        windlass.run(&["tags", &home.name("box"), "--retries=1"])
    };
    tags("/v2/box/tags/list?cursor=abc&x=y").success().prints("1\n1\n");
    tags(&home.url("/v2/box/tags/list?last=0")).success().prints("1\n1\n");
    for link in [
        away.url("/v2/box/tags/list?a"),
        away.url("/v2/box/tags/list?sig=hunter2-marker"),
        format!("http://localhost:{}/v2/box/tags/list?a", home.address().port()),
        "https://elsewhere.test/v2/box/tags/list".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        format!("//{}/v2/box/tags/list", away.host()),
    ] {
        let output = tags(&link).exits(7).prints("").never_says("hunter2");
        output.says("the next page of tags is at another host");
    }
    tags("/v2/box/tags/list?n=1000").exits(7).says("pages of tags lead in circles");
    assert_eq!(away.requests().len(), 0);
}

#[test]
fn insecure_and_client_certificate_are_for_the_registry_and_nobody_it_leads_to() {
    let own = Tls::self_signed();
    let (home, away) = (Registry::start_tls(&own), Registry::start_tls(&Tls::self_signed()));
    home.push(&Image::small(), "box:1");
    home.fail_always(&layer_of_box(), Fault::redirect(away.url("/f")));
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", &home.name("box:1"), "--insecure", "--retries=1"]);
    let output = output.exits(5).says(&format!("no TLS with {}", away.host()));
    output.says(&format!("warning: the certificate of {} is not verified", home.host()));
    assert_eq!(away.requests().len(), 0);

    let tls = Tls::with_client_certificate();
    let (home, away) = (Registry::start_tls(&tls), Registry::start_tls(&tls));
    home.push(&Image::small(), "box:1");
    home.fail_always(&layer_of_box(), Fault::redirect(away.url("/f")));
    let files = [tls.ca_file(), tls.cert_file(), tls.key_file()];
    let [ca, certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let args = ["--ca-file", ca, "--cert-file", certificate, "--key-file", key, "--retries=1"];
    let output = windlass.run(&[&["pull", &home.name("box:1")], &args[..]].concat());
    output.exits(5).says(&format!("no TLS with {}: it wants a client certificate", away.host()));
    assert_eq!(away.requests().len(), 0);
}

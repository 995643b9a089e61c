use std::thread;
use std::time::{Duration, Instant};

use super::{MIB, Scene, each};
use crate::support::{Fault, Image, Registry, Tls, Windlass};

#[test]
fn registry_that_opens_after_two_seconds_is_waited_for() {
    let address = Registry::free_address();
    let image = Image::of_size(MIB);
    let name = format!("{address}/box:1");
    let windlass = Windlass::new();
    let running = windlass.spawn(&["pull", &name, "--plain-http"]);
    thread::park_timeout(Duration::from_secs(2));
    let registry = Registry::start_at(&address);
    registry.push(&image, "box:1");
    let output = running.wait().success().says("connection refused");
    assert!(output.took < Duration::from_secs(10), "{output}");
    assert_eq!(registry.bytes_sent("GET /v2/box/blobs/*"), image.size() - image.root().size());
}

#[test]
fn registry_that_never_opens_is_exit_5_with_address_and_reason() {
    let address = Registry::free_address();
    let name = format!("{address}/box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", &name, "--retries=3"]).exits(5).prints("");
    let output = output.says("after 3 attempts").says(&format!("connecting to {address}"));
    output.says("connection refused").says("help: try again later");
}

#[test]
fn registry_that_goes_away_in_the_middle_loses_nothing() {
    let Scene { registry, image, name, windlass } = Scene::of_size(4 * MIB);
    let address = registry.host();
    let layer = format!("GET /v2/box/blobs/{}", image.layers()[0].digest);
    registry.fail_always(&layer, Fault::StallAfter(3 * MIB, Duration::from_secs(3600)));
    let running = windlass.spawn(&["pull", &name, "--no-sync"]);
    let begun = Instant::now();
    while registry.bytes_sent(&layer) < 3 * MIB {
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::yield_now();
    }
    drop(registry);
    let registry = Registry::start_at(&address);
    let scene = Scene { registry, image, name, windlass };
    scene.registry.push(&scene.image, "box:1");
    running.wait().success();
    scene.holds();
    assert!(scene.registry.bytes_sent(&layer) <= MIB + super::SLACK, "{}", scene.story());
}

#[test]
fn reserved_name_is_not_even_looked_up() {
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", "registry.invalid/box:1", "--retries=2"]).exits(5);
    let output = output.says("cannot resolve registry.invalid");
    assert!(output.took < Duration::from_secs(3), "{output}");
}

#[test]
fn name_without_address_is_looked_up_twice() {
    let windlass = Windlass::new();
    let config = windlass.scratch.write("resolv.conf", "nameserver 127.88.0.9\n");
    let hosts = windlass.scratch.write("hosts", "127.0.0.1 localhost\n");
    let mount = format!(
        "mount --bind {} /etc/resolv.conf && mount --bind {} /etc/hosts",
        config.display(),
        hosts.display()
    );
    let run = windlass.command(&["pull", "registry.test/box:1"]);
    let output = super::machine::in_namespace(run, &mount).run().exits(5);
    let output = output.says("after 2 attempts").says("cannot resolve registry.test");
    assert!(output.took < Duration::from_secs(15), "{output}");
}

#[test]
fn signal_ends_a_handshake_of_tls() {
    let registry = Registry::mute();
    let windlass = Windlass::new();
    let running = windlass.spawn(&["pull", &registry.name("box:1")]);
    let begun = Instant::now();
    while registry.connections() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::park_timeout(Duration::from_millis(1));
    }
    let sent = Instant::now();
    running.interrupt();
    running.wait().exits(130);
    assert!(sent.elapsed() < Duration::from_millis(1500));
}

#[test]
fn peer_that_never_shakes_hands_is_given_up() {
    let registry = Registry::mute();
    let output = Windlass::new().run(&["pull", &registry.name("box:1"), "--retries=1"]).exits(5);
    let output = output.says("did not finish the TLS handshake in 10 s");
    assert!(output.took < Duration::from_secs(14), "{output}");
}

#[test]
fn one_job_is_one_request_at_once() {
    let layers = (1..=3)
        .fold(crate::support::ImageBuilder::new(), |image, seed| image.layer_random(seed, 2 * MIB));
    let scene = Scene::of(layers.build());
    scene.registry.fail_always("GET *", Fault::Throttle { bytes_per_second: 8 * MIB });
    scene.registry.fail_once(&scene.layer(), Fault::CutFin(MIB));
    scene.succeeds(&["--jobs=1"]);
    assert_eq!(scene.registry.most_at_once(), 1);
    let env = scene.windlass.command(&["pull", &scene.name]);
    env.env("WINDLASS_JOBS", "1").run().success();
}

#[test]
fn unreachable_networks_are_told() {
    // Nothing is routed there.
    let output = Windlass::new().run(&["pull", "[100::1]:5000/box:1", "--retries=1"]);
    let output = output.exits(5).says("connecting to [100::1]:5000");
    assert!(output.took < Duration::from_secs(12), "{output}");
}

#[test]
fn certificates_that_do_not_verify_are_exit_5_at_once() {
    let cases = [
        (Tls::expired(), "expired"),
        (Tls::wrong_name(), "127.0.0.1"),
        (Tls::unknown_ca(), "authority"),
        (Tls::self_signed(), "sign"),
    ];
    for (tls, word) in cases {
        let scene = Scene::at(Registry::start_tls(&tls), Image::of_size(MIB));
        let ca = tls.ca_file();
        let output = scene.fails(5, "no TLS with 127.0.0.1", &["--ca-file", ca.to_str().unwrap()]);
        let output = output.says(word).says("help: --ca-file FILE").never_says("attempts");
        assert!(output.took < Duration::from_secs(5), "{output}");
        assert!(scene.registry.requests().is_empty(), "nothing was asked");
    }
}

#[test]
fn registry_without_tls_is_not_spoken_to_unless_told() {
    // Not by its address: on this machine a registry may be plain.
    let scene = Scene::of_size(MIB);
    let port = scene.registry.address().port();
    let proxy = crate::support::Proxy::start();
    proxy.detour(&format!("registry.test:{port}"), scene.registry.address());
    let name = format!("registry.test:{port}/box:1");
    let pull = |args: &[&str]| {
        let args = [&["pull", &name, "--retries=2"], args].concat();
        let run = scene.windlass.command(&args);
        run.env("HTTPS_PROXY", proxy.url()).env("HTTP_PROXY", proxy.url()).run()
    };
    pull(&[]).exits(5).says("the TLS handshake");
    assert!(scene.registry.requests().iter().all(|request| request.method != "GET"));
    pull(&["--plain-http"]).success();
}

#[test]
fn cut_in_the_handshake_of_tls_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let windlass = Windlass::new();
    let name = format!("{address}/box:1");
    let closing = thread::spawn(move || {
        let mut taken = 0;
        for socket in listener.incoming().take(4) {
            drop(socket);
            taken += 1;
        }
        taken
    });
    let output = windlass.run(&["pull", &name, "--retries=3"]).exits(5);
    output.says("after 3 attempts");
    let _ = std::net::TcpStream::connect(address);
    let _ = std::net::TcpStream::connect(address);
    assert_eq!(closing.join().unwrap(), 4);
}

#[test]
fn blobs_come_over_tls_through_cuts_too() {
    let cuts = [Fault::CutFin(MIB), Fault::CutRst(MIB), Fault::CutFin(0), Fault::CutRst(2 * MIB)];
    each(&cuts, |cut| {
        let tls = Tls::new();
        let scene = Scene::at(Registry::start_tls(&tls), Image::of_size(2 * MIB));
        scene.registry.fail_once(&scene.layer(), cut.clone());
        let ca = tls.ca_file();
        scene.succeeds(&["--ca-file", ca.to_str().unwrap()]);
        let sent = scene.registry.bytes_sent(&scene.layer());
        assert!(sent <= 2 * MIB + super::SLACK, "{}", scene.story());
    });
}

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Fault as NetworkFault, Remedy, Result};
use windlass::image::Manifest;
use windlass::reference::Reference;
use windlass::registry::{Options, Proxies, Registry as Client};

use super::{blob, name, network, read_all, remote, remote_with};
use crate::support::{Fault, Image, Proxy, Registry, Tls};

#[test]
fn certificate_that_does_not_verify_is_told_in_plain_words() {
    for (tls, reason) in [
        (Tls::expired(), "its certificate has expired"),
        (Tls::wrong_name(), "its certificate is for another name"),
        (Tls::unknown_ca(), "its certificate is signed by an unknown authority"),
        (Tls::self_signed(), "its certificate is signed by "),
    ] {
        let registry = Registry::start_tls(&tls);
        registry.push(&Image::small(), "box:1");
        let strict = remote_with(&registry, |options| options.ca_files = vec![tls.ca_file()]);
        let error = network(strict.resolve(&name(&registry, "box:1")), NetworkFault::Tls);
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.remedy(), Remedy::None);
        assert_eq!(registry.count("*"), 0, "and nothing is asked in plain");

        let insecure = remote_with(&registry, |options| options.insecure = true);
        assert!(insecure.resolve(&name(&registry, "box:1")).is_ok());
    }
}

#[test]
fn authority_that_is_given_is_trusted() {
    let tls = Tls::new();
    let registry = Registry::start_tls(&tls);
    let (descriptor, content) = blob(&registry, 500_000);
    let remote = remote_with(&registry, |options| options.ca_files = vec![tls.ca_file()]);
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    assert_eq!(read_all(remote.open(&descriptor, 1)).unwrap(), content[1..]);
    assert_eq!(registry.connections(), 1);
}

#[test]
fn insecure_holds_for_the_registry_and_not_where_it_redirects() {
    let (registry, storage) =
        (Registry::start_tls(&Tls::self_signed()), Registry::start_tls(&Tls::self_signed()));
    let (descriptor, _) = blob(&registry, 10);
    registry.fail_always("/v2/box/blobs/*", Fault::redirect(storage.url("/signed")));
    let remote = remote_with(&registry, |options| options.insecure = true);
    network(remote.open(&descriptor, 0), NetworkFault::Tls);
    assert_eq!((registry.count("*"), storage.count("*")), (1, 0));
}

#[test]
fn client_certificate_is_shown_to_the_registry() {
    let tls = Tls::with_client_certificate();
    let registry = Registry::start_tls(&tls);
    registry.push(&Image::small(), "box:1");
    let ca_files = vec![tls.ca_file()];
    let with = remote_with(&registry, |options| {
        options.ca_files = ca_files.clone();
        options.client_certificate = Some((tls.cert_file(), tls.key_file()));
    });
    assert!(with.resolve(&name(&registry, "box:1")).is_ok());
    let without = remote_with(&registry, |options| options.ca_files = ca_files);
    let error = network(without.resolve(&name(&registry, "box:1")), NetworkFault::Tls);
    assert!(error.to_string().contains("it wants a client certificate"), "{error}");
}

#[test]
fn certificates_are_found_in_the_folder_of_the_host() {
    let tls = Tls::with_client_certificate();
    let registry = Registry::start_tls(&tls);
    registry.push(&Image::small(), "box:1");
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(registry.host());
    std::fs::create_dir(&own).unwrap();
    for (from, to) in [
        (tls.ca_file(), "ca.crt"),
        (tls.cert_file(), "client.cert"),
        (tls.key_file(), "client.key"),
    ] {
        std::fs::copy(from, own.join(to)).unwrap();
    }
    let remote =
        remote_with(&registry, |options| options.cert_dirs = vec![folder.path().to_owned()]);
    assert!(remote.resolve(&name(&registry, "box:1")).is_ok());
}

#[test]
fn plain_http_is_found_out_on_this_machine_and_spoken_elsewhere_only_if_told() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let remote_here = remote(&registry);
    for _ in 0..2 {
        assert!(remote_here.resolve(&name(&registry, "box:1")).is_ok());
    }
    assert_eq!(registry.connections(), 2, "TLS is tried once");

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        assert_ne!(client.read(&mut [0; 2048]).unwrap(), 0);
        client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let by_name = |address: SocketAddr, plain_http| {
        let host = format!("registry.test:{}", address.port());
        let known = vec![("registry.test".into(), vec![address])];
        resolve(&host, Options { plain_http, resolve: known, ..Options::default() })
    };
    let error = network(by_name(address, false), NetworkFault::Tls);
    assert!(error.to_string().ends_with("it does not speak TLS"), "{error}");
    answering.join().unwrap();
    assert!(by_name(registry.address(), true).is_ok());
}

#[test]
fn nobody_there_and_no_such_name_are_told_apart() {
    let with = |host: &str, addresses: Vec<SocketAddr>| {
        let known = vec![("dead.test".to_owned(), addresses)];
        resolve(host, Options { plain_http: true, resolve: known, ..Options::default() })
    };
    let free: SocketAddr = Registry::free_address().parse().unwrap();
    let error = network(with("dead.test", vec![free]), NetworkFault::Unreachable);
    let expected = format!("connecting to dead.test: {free}: connection refused");
    assert!(error.to_string().ends_with(&expected), "{error}");
    let error = network(with("registry.invalid", vec![]), NetworkFault::Resolve);
    assert!(error.to_string().ends_with("cannot resolve registry.invalid"), "{error}");
}

#[test]
fn peer_that_says_nothing_is_given_up() {
    let registry = Registry::mute();
    let error = network(remote(&registry).resolve(&name(&registry, "box:1")), NetworkFault::Stall);
    assert_eq!(error.remedy(), Remedy::Resume);
}

#[test]
fn addresses_of_ipv6_are_hosts_too() {
    let registry = Registry::start_at("[::1]:0");
    registry.push(&Image::small(), "box:1");
    assert!(remote(&registry).resolve(&name(&registry, "box:1")).is_ok());
}

#[test]
fn dead_address_does_not_spoil_the_others() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let dead: SocketAddr = Registry::free_address().parse().unwrap();
    let nowhere: SocketAddr = "[100::1]:80".parse().unwrap();
    let host = format!("registry.test:{}", registry.address().port());
    let known = vec![("registry.test".into(), vec![nowhere, dead, registry.address()])];
    let options = Options { plain_http: true, resolve: known, ..Options::default() };
    assert!(resolve(&host, options).is_ok());
}

#[test]
fn proxy_leads_to_names_that_only_it_knows() {
    let tls = Tls::new();
    let registry = Registry::start_tls(&tls);
    registry.push(&Image::small(), "box:1");
    let login = || Proxy::with_login("me", "hunter2");
    for (proxy, login, lets_through) in [
        (Proxy::start(), "", true),
        (login(), "me:hunter2@", true),
        (login(), "me:hunter3@", false),
    ] {
        proxy.detour("registry.test:443", registry.address());
        let url = proxy.url().replace("http://", &format!("http://{login}"));
        let lookup = |name: &str| (name == "HTTPS_PROXY").then(|| url.clone());
        let options = Options {
            insecure: true,
            proxies: Proxies::from_lookup(lookup).unwrap(),
            ..Options::default()
        };
        let outcome = resolve("registry.test", options);
        assert_eq!(proxy.targets(), ["registry.test:443"]);
        match outcome {
            Ok(_) => assert!(lets_through),
            Err(error) => {
                let text = error.to_string();
                assert!(text.ends_with("the proxy for registry.test wants a login"), "{text}");
                assert!(!lets_through && matches!(error.kind(), ErrorKind::Denied(_)));
            }
        }
    }
}

/// Resolves `box:1` at a registry by that name.
fn resolve(host: &str, options: Options) -> Result<Manifest> {
    let reference: Reference = format!("{host}/box:1").parse().unwrap();
    let client = Client::new(host, options).unwrap();
    client.repository(reference.repository()).resolve(&reference)
}

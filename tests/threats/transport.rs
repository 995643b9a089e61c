use std::fs;

use super::{PASSWORD, assert_told_nothing, user_at};
use crate::support::{Auth, Image, Output, Registry, Tls, Windlass};

fn start(tls: &Tls) -> (Registry, String) {
    let registry = Registry::start_tls(tls);
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::basic("me", PASSWORD));
    (registry, name)
}

#[track_caller]
fn pull(registry: &Registry, options: &[&str]) -> Output {
    let name = registry.name("box:1");
    let output = user_at(&registry.host())
        .run(&[&["pull", &name, "--retries=3", "--retry-max-wait=1"], options].concat());
    output.never_says(PASSWORD)
}

#[test]
fn certificate_that_does_not_verify_is_exit_5_at_once_and_never_plain_http_instead() {
    for (tls, reason) in [
        (Tls::expired(), "its certificate has expired"),
        (Tls::wrong_name(), "its certificate is for another name"),
        (Tls::unknown_ca(), "its certificate is signed by an unknown authority"),
        (Tls::self_signed(), "its certificate is "),
        (Tls::with_client_certificate(), "it wants a client certificate"),
    ] {
        let (registry, _) = start(&tls);
        let ca = tls.ca_file();
        let ca = ca.to_str().unwrap();
        let output = pull(&registry, &["--ca-file", ca]).exits(5).prints("");
        let output = output.says(&format!("no TLS with {}: {reason}", registry.host()));
        let output = output.says("help: --ca-file FILE");
        assert!(!output.stderr.contains("retrying"), "{output}");
        assert_eq!(registry.requests().len(), 0);
    }
    let (registry, _) = start(&Tls::new());
    pull(&registry, &[]).exits(5).says("signed by an unknown authority");
    assert_told_nothing(&registry);
}

#[test]
fn authority_is_trusted_by_file_and_by_environment() {
    let tls = Tls::new();
    let (registry, name) = start(&tls);
    let ca = tls.ca_file();
    pull(&registry, &["--ca-file", ca.to_str().unwrap()]).success();
    let stranger = Tls::new();
    let other = stranger.ca_file();
    let both = ["--ca-file", other.to_str().unwrap(), "--ca-file", ca.to_str().unwrap()];
    pull(&registry, &both).success();
    let windlass = user_at(&registry.host());
    windlass.command(&["digest", &name]).env("SSL_CERT_FILE", &ca).run().success();
    for (file, says) in [("gone.pem", "`gone.pem`"), ("docker/config.json", "expected a cert")] {
        windlass.run(&["digest", &name, "--ca-file", file]).exits(8).says(says);
    }
}

#[test]
fn insecure_takes_any_certificate_with_a_warning_and_still_no_plain_http_for_the_world() {
    for tls in [Tls::expired(), Tls::wrong_name(), Tls::unknown_ca(), Tls::self_signed()] {
        let (registry, _) = start(&tls);
        let output = pull(&registry, &["--insecure"]).success();
        let warning = format!("the certificate of {} is not verified", registry.host());
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
    }
}

#[test]
fn plain_http_is_found_out_on_this_machine_by_every_name_of_it() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let port = registry.address().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let name = format!("{host}:{port}/box:1");
        Windlass::new().run(&["digest", &name]).success();
    }
    let plain = Registry::start();
    plain.push(&Image::small(), "box:1");
    Windlass::new().run(&["digest", &plain.name("box:1"), "--plain-http"]).success();
    assert_eq!(plain.connections(), 1, "nothing is tried before");
    let tls = Tls::new();
    let (registry, name) = start(&tls);
    let output = Windlass::new().run(&["digest", &name, "--plain-http", "--retries=1"]);
    output.exits(5);
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn client_certificate_needs_its_key_and_both_need_to_fit() {
    let tls = Tls::with_client_certificate();
    let (registry, name) = start(&tls);
    let files = [tls.ca_file(), tls.cert_file(), tls.key_file()];
    let [ca, certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let with = |certificate: &str, key: &str| {
        pull(&registry, &["--ca-file", ca, "--cert-file", certificate, "--key-file", key])
    };
    with(certificate, key).success();
    with(certificate, Tls::new().key_file().to_str().unwrap()).exits(8).says("it is not the key");
    with(key, certificate).exits(8);
    with("gone", key).exits(8).says("`gone`");
    let only = ["digest", &name, "--cert-file", certificate];
    Windlass::new().run(&only).exits(2).says("--cert-file needs --key-file");
    let stranger = Tls::with_client_certificate();
    with(stranger.cert_file().to_str().unwrap(), stranger.key_file().to_str().unwrap())
        .exits(5)
        .says("it refuses the client certificate");
}

#[test]
fn certificates_of_one_host_are_found_in_the_users_folder() {
    let tls = Tls::with_client_certificate();
    let (registry, name) = start(&tls);
    let windlass = user_at(&registry.host());
    let folder = format!("XDG_CONFIG_HOME/containers/certs.d/{}", registry.host());
    for (from, to) in
        [(tls.ca_file(), "ca.crt"), (tls.cert_file(), "me.cert"), (tls.key_file(), "me.key")]
    {
        windlass.scratch.write(&format!("{folder}/{to}"), fs::read(from).unwrap());
    }
    windlass.run(&["pull", &name]).success();
    let (other, other_name) = start(&tls);
    windlass.run(&["pull", &other_name, "--retries=1"]).exits(5);
    assert_eq!(other.requests().len(), 0, "they are for that host and port");
}

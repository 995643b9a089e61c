use super::{MIB, SLACK, Scene, each};
use crate::support::{Fault, Registry, Rule};

const SIZE: u64 = 4 * MIB;
const FILES: &str = "GET /files/*";

/// A registry that redirects its layer to a second host.
fn redirecting() -> (Scene, Registry) {
    let scene = Scene::of_size(SIZE);
    let storage = Registry::start();
    let layer = &scene.image.layers()[0];
    let url = storage.put_file("/files/layer", &layer.content);
    scene.registry.fail_always(&scene.layer(), Fault::redirect(format!("{url}?signature=s3cr3t")));
    (scene, storage)
}

#[test]
fn redirect_and_then_a_cut_goes_back_to_the_registry_and_on() {
    each(&[Fault::CutFin(3 * MIB), Fault::CutRst(3 * MIB), Fault::CutFin(1)], |cut| {
        let (scene, storage) = redirecting();
        storage.fail_once(FILES, cut.clone());
        scene.succeeds(&["--plain-http"]).never_says("s3cr3t");
        assert_eq!(scene.registry.count(&scene.layer()), 2, "a fresh redirect");
        assert!(storage.bytes_sent(FILES) <= SIZE + SLACK);
        assert!(storage.requests_for(FILES)[1].range().is_some());
    });
}

#[test]
fn redirect_that_has_expired_is_asked_for_anew() {
    each(&[400, 401, 403, 404, 410], |&code| {
        let (scene, storage) = redirecting();
        storage.fail_once(FILES, Fault::CutFin(3 * MIB));
        storage.rule(Rule::on(FILES).nth(1..2).fault(Fault::Status(code)));
        scene.succeeds(&["--plain-http"]);
        assert_eq!(scene.registry.count(&scene.layer()), 3);
        assert!(storage.bytes_sent(FILES) <= SIZE + SLACK);
    });
}

#[test]
fn redirect_that_leads_nowhere_for_ever_ends_with_what_is_said_there() {
    each(&[(403, 4), (404, 3), (400, 1)], |&(code, status)| {
        let (scene, storage) = redirecting();
        storage.fail_always(FILES, Fault::Status(code));
        let output = scene.fails(status, &format!("{code}"), &["--plain-http"]);
        let output = output.never_says("s3cr3t");
        assert!(storage.count(FILES) <= 4, "{output}");
        storage.recover();
        scene.succeeds(&["--plain-http"]);
    });
}

#[test]
fn storage_that_is_down_is_exit_5_and_the_registry_is_not_blamed() {
    let scene = Scene::of_size(SIZE);
    let address = Registry::free_address();
    let url = format!("http://{address}/files/layer?signature=s3cr3t");
    scene.registry.fail_always(&scene.layer(), Fault::redirect(url));
    let output = scene.fails(5, &format!("connecting to {address}"), &["--retries=2"]);
    output.never_says("s3cr3t").says("connection refused");
    scene.recovers(SIZE);
}

#[test]
fn redirects_in_a_circle_end() {
    let scene = Scene::of_size(SIZE);
    let pattern = scene.layer();
    let own = pattern.strip_prefix("GET ").unwrap();
    scene.registry.fail_always(&pattern, Fault::redirect(own));
    scene.fails(5, "more than 5 redirects", &[]);
    assert_eq!(scene.registry.count(&pattern), 6);
    scene.recovers(SIZE);
}

#[test]
fn redirect_to_nowhere_is_told() {
    let targets = ["", "ftp://127.0.0.1/x", "http://[::1", "//", "http://user:pw@127.0.0.1:1/"];
    each(&targets, |target| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), Fault::redirect(*target));
        let output = scene.pull(&["--retries=2"]);
        assert!([4, 5].contains(&output.status()), "{output}");
        scene.recovers(SIZE);
    });
    let scene = Scene::of_size(SIZE);
    scene.registry.fail_always(&scene.layer(), Fault::Status(307));
    scene.fails(5, "redirects to nowhere", &[]);
    scene.recovers(SIZE);
}

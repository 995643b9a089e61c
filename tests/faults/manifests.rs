use super::{MIB, Scene, each};
use crate::support::{Fault, IndexBuilder, Registry, Rule, Windlass};

const PAGE: &str = "<html>\u{1b}[2Jplease log in</html>";

fn page() -> Fault {
    Fault::answer(200, &[("Content-Type", "text/html")], PAGE)
}

#[test]
fn page_instead_of_a_manifest_is_quoted_and_moves_no_terminal() {
    let scene = Scene::of_size(MIB);
    scene.registry.fail_always(&scene.manifest(), page());
    let message = r"answer is text/html, starts with `<html>\x1b[2Jplease log in</html>`";
    scene.fails(7, message, &[]).never_says("\u{1b}").says("/v2/box/manifests/1");
    assert_eq!(scene.registry.count(&scene.manifest()), 1);
    scene.recovers(MIB);
}

#[test]
fn page_instead_of_a_blob_is_a_wrong_size() {
    let scene = Scene::of_size(MIB);
    scene.registry.fail_always(&scene.layer(), page());
    scene.fails(7, &format!("expected {MIB} bytes, got {}", PAGE.len()), &[]);
    assert!(scene.registry.count(&scene.layer()) <= 2);
    scene.recovers(MIB);
}

#[test]
fn step_of_reading_a_manifest_is_told_once() {
    let registry = Registry::start();
    let name = registry.push(&IndexBuilder::platforms(&["linux/amd64"]), "box:1");
    registry.rule(Rule::on("GET /v2/box/manifests/sha256*").fault(Fault::Status(503)));
    let args = ["pull", &name, "--all-platforms", "--retries=2", "--retry-max-wait=1"];
    let output = Windlass::new().run(&args).exits(5).says(": after 2 attempts: the registry");
    let error = output.stderr.lines().find(|line| line.starts_with("windlass: pulling ")).unwrap();
    assert_eq!(error.matches("reading manifest").count(), 1, "{output}");
}

#[test]
fn manifest_that_breaks_off_is_asked_for_once_more() {
    let framings = [Fault::CloseDelimited, Fault::Chunked, Fault::NoHeader("X".into())];
    each(&framings, |framing| {
        let scene = Scene::of_size(MIB);
        let length = scene.image.root().size();
        for at in [0, 1, length / 2, length - 1] {
            scene.registry.recover();
            std::fs::remove_dir_all(scene.windlass.store()).ok();
            let cut = Rule::on(&scene.manifest()).once().fault(framing.clone());
            scene.registry.rule(cut.fault(Fault::Truncate(at)));
            scene.registry.forget();
            scene.succeeds(&[]);
            assert_eq!(scene.registry.count(&scene.manifest()), 2, "cut at {at}");
        }
    });
}

#[test]
fn manifest_that_always_breaks_off_is_told_with_its_place_and_length() {
    let scene = Scene::of_size(MIB);
    scene.registry.fail_always(&scene.manifest(), Fault::Truncate(100));
    let place = format!("100 bytes from {}", scene.registry.url("/v2/box/manifests/1"));
    scene.fails(7, &place, &[]);
    assert_eq!(scene.registry.count(&scene.manifest()), 2);
    scene.recovers(MIB);
}

#[test]
fn manifest_that_is_cut_is_asked_for_again() {
    let length = Scene::of_size(MIB).image.root().size();
    let mut cases = Vec::new();
    for at in [0, 1, length / 2, length - 1] {
        cases.extend([Fault::CutFin(at), Fault::CutRst(at)]);
    }
    each(&cases, |cut| {
        let scene = Scene::of_size(MIB);
        scene.registry.fail_times(2, &scene.manifest(), cut.clone());
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(&scene.manifest()), 3);
    });
}

#[test]
fn manifest_of_64_mib_is_refused_without_reading_it() {
    each(&[None, Some(Fault::Chunked), Some(Fault::CloseDelimited)], |framing| {
        let scene = Scene::of_size(MIB);
        let large = Rule::on(&scene.manifest()).fault(Fault::Body(vec![b' '; 64 << 20]));
        scene.registry.rule(framing.iter().cloned().fold(large, Rule::fault));
        scene.fails(7, "expected a manifest of at most 4194304 bytes", &[]);
        let sent = scene.registry.bytes_sent(&scene.manifest());
        assert!(sent < 32 * MIB, "{sent} bytes, kernel buffers included");
        scene.recovers(MIB);
    });
}

#[test]
fn endless_manifest_ends() {
    let scene = Scene::of_size(MIB);
    scene.registry.fail_always(&scene.manifest(), Fault::Endless);
    scene.fails(7, "expected a manifest of at most 4194304 bytes", &[]);
    scene.recovers(MIB);
}

#[test]
fn manifest_with_another_digest_than_it_was_asked_for_by_is_refused() {
    let scene = Scene::of_size(MIB);
    let pinned = format!("{}/box@{}", scene.registry.host(), scene.image.digest);
    let pattern = format!("GET /v2/box/manifests/{}", scene.image.digest);
    scene.registry.fail_always(&pattern, Fault::Flip(40));
    let output = scene.windlass.run(&["pull", &pinned]).exits(7).prints("");
    output.says(&format!("expected {}, got sha256:", scene.image.digest));
    scene.is_whole();
    scene.recovers(MIB);
}

#[test]
fn config_with_wrong_bytes_is_fetched_once_more_and_never_stored() {
    let scene = Scene::of_size(MIB);
    let config = scene.image.config().digest.clone();
    let pattern = format!("GET /v2/box/blobs/{config}");
    scene.registry.fail_always(&pattern, Fault::Flip(3));
    scene.fails(7, &format!("expected {config}, got sha256:"), &[]);
    let asked = scene.registry.count(&pattern);
    assert!(asked <= 4, "{asked} requests");
    scene.recovers(MIB);
    let scene = Scene::of_size(MIB);
    scene.registry.fail_once(&pattern, Fault::Flip(3));
    scene.succeeds(&[]);
}

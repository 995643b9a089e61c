use serde_json::Value;

use crate::support::{Fault, Image, Registry, Windlass};

#[test]
fn plain_progress_has_a_line_at_the_start_and_one_a_blob() {
    let registry = Registry::start();
    let image = Image::of_size(300_000);
    let name = registry.push(&image, "box:1");
    let stderr = Windlass::new().run(&["pull", &name]).success().stderr;
    let first = stderr.lines().next().unwrap();
    assert!(first.starts_with(&format!("{name}: 3 blobs, 300.")), "{stderr}");
    for blob in image.blobs.iter().chain(&image.manifests) {
        let line = format!("blob {} done, ", blob.digest);
        assert_eq!(stderr.matches(&line).count(), 1, "{stderr}");
    }
    assert!(stderr.lines().last().unwrap().starts_with(&format!("{name}: done in ")), "{stderr}");
}

#[test]
fn json_progress_is_one_object_a_line_from_start_to_done() {
    let registry = Registry::start();
    let image = Image::of_size(3_000_000);
    let name = registry.push(&image, "box:1");
    let layer = &image.layers()[0];
    registry.fail_once(&format!("/v2/box/blobs/{}", layer.digest), Fault::Status(503));
    let stderr = Windlass::new().run(&["pull", &name, "--progress=json"]).success().stderr;
    let events: Vec<Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |kind: &str| -> Vec<&Value> { events.iter().filter(|it| it["event"] == kind).collect() };
    assert!(events.iter().all(|event| event["image"] == name.as_str()), "{stderr}");
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events[0]["size"], image.size());
    let blob = of("blob").into_iter().find(|it| it["digest"] == layer.digest.as_str()).unwrap();
    assert_eq!((&blob["size"], &blob["present"]), (&layer.size().into(), &false.into()));
    assert_eq!(of("retry")[0]["digest"], layer.digest.as_str());
    assert!(!of("progress").is_empty(), "{stderr}");
    let done = events.last().unwrap();
    assert_eq!((&done["event"], &done["digest"]), (&"done".into(), &image.digest.clone().into()));
}

#[test]
fn quiet_leaves_answers_and_errors() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["-q", "pull", &name]).success();
    assert_eq!(output.stderr, "");
    assert_eq!(output.stdout(), format!("{name}@{}\n", image.digest));
    let output = windlass.run(&["-q", "--progress=json", "pull", &name]).success();
    assert_eq!(output.stderr, "");
    windlass.run(&["-q", "pull", &registry.name("none:1")]).exits(3).says("windlass: pulling");
    let output = windlass.run(&["--progress=none", "pull", &name]).success();
    assert_eq!(output.stderr, "");
}

#[test]
fn retries_are_told() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let layer = &image.layers()[0].digest;
    registry.fail_once(&format!("/v2/box/blobs/{layer}"), Fault::Status(503));
    let output = Windlass::new().run(&["pull", &name]).success();
    output.says(&format!("retrying blob {layer}: ")).says("503").says(", in 0.");
}

#[test]
fn debugging_never_shows_what_libraries_say_of_requests() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    for run in [
        windlass.command(&["-vvv", "pull", &name]),
        windlass.command(&["pull", &name]).env("WINDLASS_LOG", "trace"),
        windlass.command(&["pull", &name]).env("WINDLASS_LOG", "ureq=trace,rustls=trace"),
    ] {
        run.run().success().never_says("User-Agent").never_says("user-agent");
    }
}

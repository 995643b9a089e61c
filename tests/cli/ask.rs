use crate::support::{Fault, Image, Registry, Windlass};

#[test]
fn digest_is_asked_for_with_one_head_and_nothing_is_stored() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["digest", &name]).success().prints(&format!("{}\n", image.digest));
    assert_eq!(registry.count("GET /v2/box/manifests/*"), 0);
    let output = windlass.run(&["digest", &name, "--json"]).success();
    let object: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(object["name"], name.as_str());
    assert_eq!(object["digest"], image.digest.as_str());
    assert!(!windlass.store().exists());
    let skopeos = format!("docker://{name}");
    windlass.run(&["digest", &skopeos]).success().prints(&format!("{}\n", image.digest));
}

#[test]
fn manifest_is_printed_byte_for_byte() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["manifest", &name]).success();
    assert_eq!(output.stdout_bytes, image.root().content.to_vec());
    assert!(!windlass.store().exists());
}

#[test]
fn tags_are_listed_one_a_line_over_all_pages() {
    let registry = Registry::start();
    let image = Image::small();
    for tag in ["1.0", "1.1", "2.0", "latest"] {
        registry.push(&image, &format!("box:{tag}"));
    }
    registry.page_size(2);
    let name = registry.name("box");
    let windlass = Windlass::new();
    windlass.run(&["tags", &name]).success().prints("1.0\n1.1\n2.0\nlatest\n");
    windlass.run(&["tags", &name, "--filter", "0$"]).success().prints("1.0\n2.0\n");
    windlass
        .run(&["tags", &name, "--filter=^l", "--json"])
        .success()
        .prints("{\"tag\":\"latest\"}\n");
    windlass.run(&["tags", &registry.name("none")]).exits(3);
}

#[test]
fn questions_are_asked_again_where_that_may_help() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    registry.fail_once("/v2/box/*", Fault::Close);
    registry.fail_once("/v2/box/*", Fault::Status(503));
    let windlass = Windlass::new();
    windlass.run(&["digest", &name]).success();
    registry.fail_always("/v2/box/*", Fault::Status(503));
    windlass.run(&["digest", &name, "--retries", "2"]).exits(5).says("after 2 attempts");
}

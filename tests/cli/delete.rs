use serde_json::Value;

use crate::support::{Auth, Bearer, Fault, Image, Registry, Windlass};

#[test]
fn tag_goes_alone_and_a_digest_with_all_its_tags() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    registry.push(&image, "box:2");
    registry.push(&image, "box:3");
    let digest = &image.digest;
    windlass.run(&["delete", &name]).success().prints(&format!("{name}@{digest}\n"));
    assert_eq!(registry.tags("box").into_keys().collect::<Vec<_>>(), ["2", "3"]);
    assert!(registry.manifest("box", digest).is_some());
    let by_digest = registry.name(&format!("box@{digest}"));
    let output = windlass.run(&["delete", &by_digest, "--json"]).success();
    let object: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(
        (object["digest"].as_str(), object["name"].as_str()),
        (Some(&**digest), Some(&*by_digest))
    );
    assert!(registry.tags("box").is_empty() && registry.manifest("box", digest).is_none());
    windlass.run(&["delete", &by_digest]).exits(3).prints("");
    windlass.run(&["delete", &name]).exits(3).prints("").says("MANIFEST_UNKNOWN");
    windlass.run(&["delete", &format!("{name}@{digest}")]).exits(2).says("got both");
}

#[test]
fn registry_that_removes_no_tags_says_so() {
    for (status, code) in [(405, "UNSUPPORTED"), (400, "UNSUPPORTED"), (405, "")] {
        let (registry, windlass) = (Registry::start(), Windlass::new());
        let name = registry.push(&Image::small(), "box:1");
        let body = if code.is_empty() {
            String::new()
        } else {
            format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#)
        };
        registry.fail_always("DELETE *", Fault::answer(status, &[], body));
        let output = windlass.run(&["delete", &name]).exits(1).prints("");
        let output = output.says("does not remove a tag alone").says(code);
        output.says("help: `windlass delete NAME@DIGEST`");
        assert_eq!(registry.tags("box").len(), 1);
    }
}

#[test]
fn deleting_asks_for_the_right_to_it_and_pulling_does_not() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    let name = registry.push(&Image::small(), "box:1");
    let output = windlass.run(&["delete", &name]).exits(4).prints("");
    output.says("401");
    let run = windlass.command(&["delete", &name, "--creds-stdin"]).stdin("me:hunter2");
    run.run().success();
    let scopes = registry.requests_for("GET /token*");
    assert!(scopes.last().unwrap().query.contains("scope=repository%3Abox%3Apull%2Cdelete"));
}

#[test]
fn tags_are_filtered_anywhere_in_their_name() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let image = Image::small();
    for tag in ["3", "3.20", "edge", "v3-rc"] {
        registry.push(&image, &format!("box:{tag}"));
    }
    let box_ = registry.name("box");
    windlass.run(&["tags", &box_, "--filter", "3"]).success().prints("3\n3.20\nv3-rc\n");
    windlass.run(&["tags", &box_, "--filter=^3[.]"]).success().prints("3.20\n");
    windlass.run(&["tags", &box_, "--filter=nothing"]).success().prints("");
    let json = windlass.run(&["tags", &box_, "--filter=^e", "--json"]).success();
    json.prints("{\"tag\":\"edge\"}\n");
    windlass.run(&["tags", &box_, "--filter=("]).exits(2).prints("");
}

use serde_json::{Value, json};

use crate::support::image::{IndexBuilder, Piece};
use crate::support::{
    Auth, Bearer, Content, Fault, Image, ImageBuilder, Output, Registry, Windlass,
};

/// Titles, colours, links, other directions, other lines.
const HOSTILE: &str = "a\u{1b}]0;x\u{7}\u{1b}[31m\u{1b}]8;;http://x\u{1b}\\\r\nFORGED: line\n\tb\u{7f}\u{9b}31m\
    \u{202e}\u{2066}\u{200b}\u{feff}\u{2028}FORGED\u{0}\u{85}c";

#[track_caller]
fn assert_harmless(output: &Output) {
    for (name, text) in [("stdout", output.stdout()), ("stderr", output.stderr.clone())] {
        for character in text.chars() {
            let moves = character.is_control() && character != '\n' && character != '\t';
            let deceives = matches!(
                character,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}'
            );
            assert!(!moves && !deceives, "{character:?} on {name}\n{output}");
        }
        assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{name}\n{output}");
    }
}

/// An image whose author had a terminal in mind.
fn hostile_image() -> Image {
    ImageBuilder::new()
        .config("created", json!(HOSTILE))
        .config("author", json!(HOSTILE))
        .config(
            "config",
            json!({
                "User": HOSTILE, "WorkingDir": HOSTILE, "Env": [HOSTILE], "Cmd": [HOSTILE],
                "Entrypoint": [HOSTILE], "Labels": {HOSTILE: HOSTILE},
            }),
        )
        .config("os", json!(format!("linux{HOSTILE}")))
        .config("variant", json!(HOSTILE))
        .manifest("annotations", json!({HOSTILE: HOSTILE}))
        .layer(Piece::new(&format!("text/{HOSTILE}"), Content::from("x")), &Image::small().digest)
        .build()
}

#[test]
fn nothing_that_an_image_says_moves_a_terminal() {
    let registry = Registry::start();
    let image = hostile_image();
    let single = registry.push(&image, "box:single");
    let mut child = image.root().descriptor();
    child["platform"] = json!({"os": HOSTILE, "architecture": HOSTILE, "variant": HOSTILE});
    child["annotations"] = json!({HOSTILE: HOSTILE});
    let index = registry.push(&IndexBuilder::new().child_as(&image, child).build(), "box:index");
    let windlass = Windlass::new();
    for args in [
        &["pull", &single, "-vvv"][..],
        &["pull", &single, "--dry-run"],
        &["pull", &index, "--all-platforms"],
        &["pull", &index, "--all-platforms", "--json", "--progress=json"],
        &["list"],
        &["list", "--json"],
        &["inspect", &single],
        &["inspect", &index],
        &["inspect", &single, "--json"],
        &["inspect", &index, "--json"],
    ] {
        assert_harmless(&windlass.run(args).success());
    }
    for args in [
        &["pull", &single, "--platform=linux/s390x"][..],
        &["pull", &index],
        &["pull", &index, "--platform=linux/s390x"],
        &["inspect", &index, "--platform=linux/s390x"],
    ] {
        assert_harmless(&windlass.run(args).exits(3));
    }
    let listed = windlass.run(&["list"]).success().stdout();
    assert_eq!(listed.lines().count(), 3, "a line an image, and the heading: {listed}");
}

#[test]
fn nothing_that_a_registry_answers_moves_a_terminal() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let error = |field: &str| {
        let mut entry = json!({"code": "DENIED", "message": "m"});
        entry[field] = json!(HOSTILE);
        json!({"errors": [entry]}).to_string()
    };
    let windlass = Windlass::new();
    // What may stand in a header at all.
    let header = "a\u{9b}31m\u{202e}b\tc";
    for fault in [
        Fault::answer(400, &[], HOSTILE),
        Fault::answer(400, &[], error("code")),
        Fault::answer(403, &[], error("message")),
        Fault::answer(404, &[], json!({"message": HOSTILE}).to_string()),
        Fault::answer(429, &[("Retry-After", "999")], error("message")),
        Fault::answer(503, &[("Content-Type", header)], HOSTILE),
        Fault::answer(401, &[("WWW-Authenticate", header)], HOSTILE),
        Fault::answer(401, &[("WWW-Authenticate", "Bearer realm=\"http://\u{9b}\"")], HOSTILE),
        Fault::answer(200, &[("Content-Type", header)], HOSTILE),
        Fault::answer(200, &[("Content-Encoding", header)], HOSTILE),
        Fault::redirect("http://a\u{9b}31m\u{202e}/x"),
        Fault::redirect("http://169.254.169.254/\u{9b}31m\u{202e}?\u{9b}"),
        Fault::Raw(format!("HTTP/1.1 200 {HOSTILE}").into_bytes()),
        Fault::Raw(format!("{HOSTILE}\r\n\r\n").into_bytes()),
        Fault::Raw(b"HTTP/1.1 200 OK\r\n\x1b[31m: x\r\n\r\n".to_vec()),
        Fault::header("Docker-Content-Digest", header),
        Fault::header("Warning", &format!("299 - \"{header}\"")),
        Fault::Body(format!("{{\"schemaVersion\":2,\"mediaType\":{}}}", json!(HOSTILE)).into()),
        Fault::Body(
            format!(
                "{{\"schemaVersion\":2,\"annotations\":{{{0}:\"\",{0}:\"\"}}}}",
                json!(HOSTILE)
            )
            .into(),
        ),
    ] {
        registry.recover();
        registry.fail_always("/v2/box/*", fault);
        for args in [
            &["pull", &name, "-vvv", "--retry-max-wait=1"][..],
            &["tags", &registry.name("box"), "-vvv", "--retry-max-wait=1"],
            &["digest", &name, "--retry-max-wait=1"],
            &["pull", &name, "--json", "--progress=json", "--retry-max-wait=1"],
        ] {
            let args = [args, &["--retries=1"]].concat();
            assert_harmless(&windlass.run(&args));
        }
    }
}

#[test]
fn nothing_that_a_token_server_answers_moves_a_terminal() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::bearer(Bearer::default()));
    let document = json!({"errors": [{"code": HOSTILE, "message": HOSTILE}]}).to_string();
    for status in [200, 307, 400, 401, 403, 404, 500] {
        registry.recover();
        let headers = [("Location", "http://a\u{9b}/")];
        registry.fail_always("/token", Fault::answer(status, &headers, document.clone()));
        let output = Windlass::new().run(&["pull", &name, "--retries=1", "-vvv"]);
        assert_ne!(output.status(), 0);
        assert_harmless(&output);
    }
}

#[test]
fn names_that_cannot_be_tags_are_left_out_of_the_list() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let hostile: Vec<Value> = [
        HOSTILE,
        "../../x",
        "-rf",
        ".hidden",
        "a\nb",
        "a b",
        "",
        "a/b",
        "é",
        &Image::small().digest,
        &"x".repeat(129),
        &"x".repeat(64 * 1024),
    ]
    .map(|tag| json!(tag))
    .to_vec();
    for tags in [json!(hostile), json!([null, "ok", null]), json!(null), json!([])] {
        registry.recover();
        let document = json!({"name": HOSTILE, "tags": tags}).to_string();
        registry.fail_always("/v2/box/tags/list", Fault::answer(200, &[], document));
        let output = Windlass::new().run(&["tags", &registry.name("box"), "-vvv"]).success();
        assert_harmless(&output);
        let expected = if tags[1] == json!("ok") { "ok\n" } else { "" };
        output.prints(expected);
    }
    for document in ["{\"tags\":[5]}", "{\"tags\":{}}", "[]", "<html>", "{\"tags\":[\"a\"]} x"] {
        registry.recover();
        registry.fail_always("/v2/box/tags/list", Fault::answer(200, &[], document));
        let args = ["tags", &registry.name("box"), "--retries=1"];
        Windlass::new().run(&args).exits(7).prints("");
    }
}

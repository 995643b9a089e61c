use std::fs;
use std::time::Duration;

use super::{PASSWORD, World, as_user, logins, user_at, write_private};
use crate::support::{Auth, Bearer, Fault, Image, Output, Registry, Windlass};

/// Neither in what was said nor in what was stored.
#[track_caller]
fn assert_nowhere(windlass: &Windlass, output: &Output) {
    let marker = PASSWORD.as_bytes();
    let encoded: &[u8] = b"aHVudGVyMi1tYXJrZXI";
    let has = |bytes: &[u8]| {
        [marker, encoded]
            .iter()
            .any(|marker| bytes.windows(marker.len()).any(|window| window == *marker))
    };
    assert!(!has(&output.stdout_bytes) && !has(output.stderr.as_bytes()), "{output}");
    for file in windlass.scratch.files("store") {
        let content = windlass.scratch.read(&format!("store/{file}"));
        assert!(!has(&content) && !has(file.as_bytes()), "{file} has it");
    }
}

/// Ways to say much.
const LOUD: [&[&str]; 4] =
    [&["-v", "-v"], &["-vvv"], &["--json", "-vvv", "--progress=json"], &["--progress=plain"]];

#[test]
fn passwords_tokens_and_signatures_are_in_no_output_and_no_file() {
    let signed = format!("/f?X-Amz-Signature={PASSWORD}&sig={PASSWORD}&{PASSWORD}");
    let bearer = || Auth::bearer(Bearer::user("me", PASSWORD));
    for (what, auth, rules) in [
        ("basic", Auth::basic("me", PASSWORD), vec![]),
        ("wrong password", Auth::basic("me", "other"), vec![]),
        ("token", bearer(), vec![]),
        (
            "token that is the marker",
            bearer(),
            vec![("/token", Fault::Body(format!("{{\"token\":\"{PASSWORD}\"}}").into()))],
        ),
        (
            "token in a malformed answer",
            bearer(),
            vec![("/token", Fault::Body(format!("{{\"token\":\"{PASSWORD}\",").into()))],
        ),
        ("token server down", bearer(), vec![("/token", Fault::Status(503))]),
        ("token server cut", bearer(), vec![("/token", Fault::Close)]),
        (
            "token server leads away",
            bearer(),
            vec![("/token", Fault::redirect(format!("https://a.test{signed}")))],
        ),
        (
            "challenge with a secret",
            bearer(),
            vec![(
                "/v2/*",
                Fault::header(
                    "WWW-Authenticate",
                    &format!("Bearer realm=\"http://127.0.0.2:9/t?sig={PASSWORD}\""),
                ),
            )],
        ),
        ("signed redirect", Auth::Nothing, vec![("/v2/box/blobs/*", Fault::redirect(&*signed))]),
        (
            "signed redirect that is refused",
            Auth::Nothing,
            vec![("/v2/box/blobs/*", Fault::redirect(format!("http://169.254.169.254{signed}")))],
        ),
        (
            "signed redirect to nobody",
            Auth::Nothing,
            vec![(
                "/v2/box/blobs/*",
                Fault::redirect(format!("http://{}{signed}", Registry::free_address())),
            )],
        ),
        (
            "redirect with userinfo",
            Auth::Nothing,
            vec![(
                "/v2/box/blobs/*",
                Fault::redirect(format!("http://me:{PASSWORD}@127.0.0.1:9/f")),
            )],
        ),
        (
            "signed redirect for a manifest",
            Auth::Nothing,
            vec![
                ("/v2/box/manifests/*", Fault::redirect(&*signed)),
                ("/f", Fault::Body(b"<html>".to_vec())),
            ],
        ),
        (
            "circle of signed redirects",
            Auth::Nothing,
            vec![("/v2/*", Fault::redirect(&*signed)), ("/f", Fault::redirect(&*signed))],
        ),
        (
            "expired signature",
            Auth::Nothing,
            vec![
                ("/v2/box/blobs/*", Fault::redirect(&*signed)),
                ("/f", Fault::answer(403, &[("Content-Type", "application/xml")], "<Error/>")),
            ],
        ),
        (
            "cut behind a signature",
            Auth::Nothing,
            vec![("/v2/box/blobs/*", Fault::redirect(&*signed)), ("/f", Fault::CutRst(5))],
        ),
        (
            "malformed redirect",
            Auth::Nothing,
            vec![("/v2/*", Fault::redirect(format!("http://[{PASSWORD}/")))],
        ),
        (
            "cookie",
            Auth::basic("me", PASSWORD),
            vec![("/v2/*", Fault::header("Set-Cookie", &format!("a={PASSWORD}")))],
        ),
    ] {
        let registry = Registry::start();
        let name = registry.push(&Image::small(), "box:1");
        registry.put_file("/f", &Image::small().layers()[0].content);
        registry.require(auth);
        for (path, fault) in rules {
            registry.fail_always(path, fault);
        }
        for loud in LOUD {
            let windlass = user_at(&registry.host());
            let args = [&["pull", &name, "--retries=2", "--retry-max-wait=1"], loud].concat();
            let run = windlass.command(&args).env("WINDLASS_LOG", "trace");
            let output = run.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").run();
            assert!(output.status() < 10, "{what}\n{output}");
            let request = format!("GET {}", registry.url("/v2/box/manifests/1"));
            assert!(output.stderr.contains(&request), "{what}\n{output}");
            assert_nowhere(&windlass, &output);
        }
        let windlass = user_at(&registry.host());
        for command in ["digest", "manifest", "tags"] {
            let name = if command == "tags" { registry.name("box") } else { name.clone() };
            let run = windlass.command(&[command, &name, "--retries=1"]);
            assert_nowhere(&windlass, &run.env("WINDLASS_LOG", "trace").run());
        }
    }
}

#[test]
fn what_is_asked_and_answered_is_told_by_vv_without_signatures() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let name = registry.push(&Image::small(), "box:1");
    storage.put_file("/f", &Image::small().layers()[0].content);
    registry.require(Auth::bearer(Bearer::user("me", PASSWORD)));
    let signed = storage.url(&format!("/f?X-Amz-Signature={PASSWORD}&n=5"));
    let shown = storage.url("/f?X-Amz-Signature=***&n=5");
    let layer = super::layer_of_box();
    registry.fail_always(&layer, Fault::redirect(signed));
    let windlass = user_at(&registry.host());
    let mut output = windlass.run(&["pull", &name, "-vv", "--retries=1"]).success();
    let layer = registry.url(layer.trim_start_matches("GET "));
    for line in [
        format!("info: {}: ", registry.url("").replace("http:", "https:")),
        ": trying plain HTTP".to_owned(),
        format!("debug: GET {}: 401", registry.url("/v2/box/manifests/1")),
        format!("debug: GET {}?service=registry.test&scope=", registry.url("/token")),
        "&account=***: 200".to_owned(),
        format!("debug: GET {}: 200", registry.url("/v2/box/manifests/1")),
        format!("debug: GET {layer}: 307"),
        format!("debug: {layer} redirects to {shown}"),
        format!("debug: GET {shown}: 200"),
    ] {
        output = output.says(&line);
    }
    assert!(!output.stderr.to_ascii_lowercase().contains("authorization"), "{output}");
    assert!(!output.stderr.contains("opaque-token"), "{output}");
    assert_nowhere(&windlass, &output);
}

#[test]
fn storage_that_repeats_a_signature_in_its_error_is_not_quoted() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let name = registry.push(&Image::small(), "box:1");
    let page = format!("<x>{PASSWORD} ?X-Amz-Signature={PASSWORD}</x>");
    let message = format!(
        "{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"no /f?sig={PASSWORD} here\"}}]}}"
    );
    for path in ["GET /v2/box/blobs/*", "GET /v2/box/manifests/*"] {
        for status in [200, 500] {
            registry.recover();
            storage.recover();
            registry.fail_always(path, Fault::redirect(storage.url(&format!("/f?s={PASSWORD}"))));
            let html = [("Content-Type", "text/html")];
            storage.fail_always("/f", Fault::answer(status, &html, page.clone()));
            let windlass = user_at(&registry.host());
            let output = windlass.run(&["pull", &name, "-vv", "--retries=1"]);
            assert!(matches!(output.status(), 5 | 7), "{output}");
            assert_nowhere(&windlass, &output);
        }
        registry.recover();
        registry.fail_always(path, Fault::answer(500, &[], message.clone()));
        let windlass = user_at(&registry.host());
        let output = windlass.run(&["pull", &name, "-vv", "--retries=1"]).exits(5);
        let output = output.says("500 DENIED: no /f?*** here");
        assert_nowhere(&windlass, &output);
    }
}

#[test]
fn logs_of_the_libraries_below_stay_silent_whatever_is_asked_of_them() {
    let world = World::https();
    world.registry.push(&Image::small(), "box:1");
    world.registry.require(Auth::bearer(Bearer {
        realm: Some("https://elsewhere.test/token".to_owned()),
        ..Bearer::user("me", PASSWORD)
    }));
    for filter in ["trace", "ureq=trace,ureq_proto=trace,rustls=trace", "debug", "ureq_proto"] {
        let windlass = user_at("elsewhere.test");
        let run = world.command(&windlass, &["pull", "elsewhere.test/box:1"]);
        let output = run.env("WINDLASS_LOG", filter).run().success();
        assert_nowhere(&windlass, &output);
        assert!(!output.stderr.to_ascii_lowercase().contains("authorization"), "{output}");
        assert!(!output.stderr.contains("opaque-token"), "{output}");
    }
}

#[test]
fn login_of_every_kind_is_in_no_output() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::bearer(Bearer {
        refresh_tokens: vec![PASSWORD.to_owned()],
        gives_refresh_token: Some(PASSWORD.to_owned()),
        ..Bearer::default()
    }));
    for fields in [
        as_user("me"),
        as_user(PASSWORD),
        format!("\"identitytoken\":\"{PASSWORD}\""),
        format!("\"registrytoken\":\"{PASSWORD}\""),
        format!("\"auth\":\"{PASSWORD}\""),
    ] {
        for loud in LOUD {
            let windlass = Windlass::new();
            let file = logins(&[(&registry.host(), &fields)]);
            write_private(&windlass, "docker/config.json", &file);
            let args = [&["pull", &name, "--retries=1"], loud].concat();
            let output = windlass.command(&args).env("WINDLASS_LOG", "trace").run();
            assert_nowhere(&windlass, &output);
        }
    }
}

#[test]
fn login_from_stdin_is_not_in_the_arguments_that_others_can_see() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::basic("me", PASSWORD));
    registry.fail_always("/v2/box/blobs/*", Fault::Stall(Duration::from_millis(300)));
    let windlass = Windlass::new();
    let run = windlass.command(&["pull", &name, "--creds-stdin", "-vvv"]);
    let running = run.stdin(format!("me:{PASSWORD}\n")).spawn();
    while registry.count("/v2/box/blobs/*") == 0 {
        std::thread::yield_now();
    }
    for file in ["cmdline", "environ"] {
        let shown = fs::read(format!("/proc/{}/{file}", running.pid())).unwrap();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(shown.contains("windlass") && !shown.contains(PASSWORD), "{shown}");
    }
    let output = running.wait().success();
    assert_nowhere(&windlass, &output);
    for option in ["--password", "--creds", "-p"] {
        let output = windlass.run(&["pull", &name, option, PASSWORD]).exits(2);
        output.never_says(PASSWORD);
    }
}

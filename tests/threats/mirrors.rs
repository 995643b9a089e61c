use super::{PASSWORD, World, as_user, asked, assert_told_nothing, logins, user_at, write_private};
use crate::support::{Auth, Bearer, Fault, Image, Output, Registry, Tls, Windlass};

/// A registry with a login and a mirror of it, both with `box:1`.
fn pair() -> (Registry, Registry, String) {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let name = registry.push(&Image::small(), "box:1");
    mirror.push(&Image::small(), "box:1");
    registry.require(Auth::basic("me", PASSWORD));
    (registry, mirror, name)
}

#[track_caller]
fn pull(windlass: &Windlass, registry: &Registry, url: &str) -> Output {
    let mirror = format!("--mirror={}={url}", registry.host());
    let name = registry.name("box:1");
    windlass.run(&["pull", &name, &mirror, "--retries=2", "--retry-max-wait=1"])
}

#[test]
fn mirror_serves_all_and_learns_which_registry_is_meant_and_nothing_else() {
    let (registry, mirror, name) = pair();
    let output = pull(&user_at(&registry.host()), &registry, &mirror.url("")).success();
    output.prints(&format!("{name}@{}\n", Image::small().digest));
    assert_eq!(registry.requests().len(), 0);
    assert_told_nothing(&mirror);
    for request in mirror.requests_for("/v2/box/*") {
        assert_eq!(request.query_value("ns"), Some(registry.host()), "{request:?}");
    }
}

#[test]
fn choice_of_a_mirror_and_the_way_back_are_told_by_v() {
    let (registry, mirror, name) = pair();
    mirror.fail_always("/v2/*", Fault::Status(404));
    let option = format!("--mirror={}={}", registry.host(), mirror.url(""));
    let output = user_at(&registry.host()).run(&["pull", &name, &option, "-v"]).success();
    let (host, mirror) = (registry.host(), mirror.host());
    output
        .says(&format!("info: asking {mirror} first, a mirror of {host}"))
        .says(&format!("info: falling back to {host}"));
}

#[test]
fn mirror_is_trusted_by_the_certificates_of_its_own_host() {
    let tls = Tls::new();
    let (registry, mirror) = (Registry::start(), Registry::start_tls(&tls));
    registry.push(&Image::small(), "box:1");
    mirror.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    let folder = format!("XDG_CONFIG_HOME/containers/certs.d/{}", mirror.host());
    windlass.scratch.write(&format!("{folder}/ca.crt"), std::fs::read(tls.ca_file()).unwrap());
    pull(&windlass, &registry, &mirror.url("")).success();
    assert_eq!(registry.requests().len(), 0);
    let obstacle = format!("XDG_CONFIG_HOME/containers/certs.d/{}", registry.host());
    windlass.scratch.write(&obstacle, "no folder");
    pull(&windlass, &registry, &mirror.url("")).success().says("no certificates from `");
}

#[test]
fn mirror_never_gets_the_login_of_the_registry() {
    let (registry, mirror, name) = pair();
    for auth in [
        Auth::basic("me", PASSWORD),
        Auth::bearer(Bearer::user("me", PASSWORD)),
        Auth::bearer(Bearer { realm: Some(registry.url("/token")), ..Bearer::default() }),
    ] {
        mirror.require(auth);
        pull(&user_at(&registry.host()), &registry, &mirror.url("")).success();
        assert!(asked(&mirror).iter().all(|line| !line.contains("Basic")), "{:?}", asked(&mirror));
        assert!(mirror.requests().iter().all(|it| !it.query.contains("account")));
    }
    mirror.forget();
    let option = format!("--mirror={}={}", registry.host(), mirror.url(""));
    let windlass = Windlass::new();
    let run = windlass.command(&["pull", &name, &option, "--creds-stdin"]);
    run.stdin(format!("me:{PASSWORD}")).run().success();
    assert!(asked(&mirror).iter().all(|line| !line.contains("Basic")));
    // Its own login it gets.
    registry.forget();
    mirror.require(Auth::basic("mirror", PASSWORD));
    let windlass = Windlass::new();
    let file = logins(&[(&mirror.host(), &as_user("mirror"))]);
    write_private(&windlass, "docker/config.json", &file);
    pull(&windlass, &registry, &mirror.url("")).success();
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn what_a_mirror_lacks_or_spoils_comes_from_the_registry_and_the_mirror_is_named() {
    let layer = super::layer_of_box();
    for (path, fault) in [
        ("/v2/box/manifests/*", Fault::Status(404)),
        ("/v2/box/manifests/*", Fault::Status(401)),
        ("/v2/box/manifests/*", Fault::Status(403)),
        ("/v2/box/manifests/*", Fault::Status(429)),
        ("/v2/box/manifests/*", Fault::Status(500)),
        ("/v2/box/manifests/*", Fault::Close),
        ("/v2/box/manifests/*", Fault::Body(b"<html>".to_vec())),
        ("/v2/box/manifests/*", Fault::Body(b"{}".to_vec())),
        ("/v2/box/manifests/*", Fault::redirect("http://169.254.169.254/")),
        ("/v2/box/blobs/*", Fault::Status(404)),
        ("/v2/box/blobs/*", Fault::Status(503)),
        ("/v2/box/blobs/*", Fault::Reset),
        ("/v2/box/blobs/*", Fault::CutRst(10)),
        ("/v2/box/blobs/*", Fault::Truncate(10)),
        ("/v2/box/blobs/*", Fault::redirect("http://169.254.169.254/")),
        (&layer, Fault::Flip(5)),
        (&layer, Fault::Extra(b"x".to_vec())),
    ] {
        let (registry, mirror, name) = pair();
        mirror.fail_always(path, fault.clone());
        let output = pull(&user_at(&registry.host()), &registry, &mirror.url(""));
        assert_eq!(output.status(), 0, "{fault:?}\n{output}");
        let output = output.prints(&format!("{name}@{}\n", Image::small().digest));
        assert!(output.stderr.contains(&mirror.host()), "{fault:?}\n{output}");
        assert!(!registry.requests().is_empty());
        assert_told_nothing(&mirror);
    }
    let (registry, mirror, _) = pair();
    mirror.fail_always(&layer, Fault::Flip(5));
    let output = pull(&user_at(&registry.host()), &registry, &mirror.url("")).success();
    let wrong = format!("warning: mirror {} gave wrong content for ", mirror.host());
    assert_eq!(output.stderr.matches(&wrong).count(), 1, "{output}");
    let dead = format!("http://{}", Registry::free_address());
    pull(&user_at(&registry.host()), &registry, &dead).success().says(&dead[7..]);
}

#[test]
fn mirror_of_another_registry_is_not_asked() {
    let (registry, mirror, name) = pair();
    let option = format!("--mirror=other.test={}", mirror.url(""));
    user_at(&registry.host()).run(&["pull", &name, &option]).success();
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn mirrors_are_asked_in_order_and_may_have_a_path() {
    let (registry, second, name) = pair();
    let first = Registry::start();
    let host = registry.host();
    let options = [
        format!("--mirror={host}={}", first.url("/proxy/hub")),
        format!("--mirror={host}={}", second.url("/")),
    ];
    let args = ["pull", &name, &options[0], &options[1]];
    user_at(&host).run(&args).success();
    assert!(first.count("/proxy/hub/v2/box/manifests/1") >= 1, "{:?}", asked(&first));
    assert!(second.count("/v2/box/blobs/*") >= 2);
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn mirror_leads_nowhere_that_a_registry_may_not_lead() {
    let world = World::https();
    let away = Registry::start();
    world.registry.push(&Image::small(), "box:1");
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let location = away.url("/f");
    world.registry.fail_always("/v2/box/blobs/*", Fault::redirect(location));
    let windlass = Windlass::new();
    let mirror = format!("--mirror={}=https://elsewhere.test", registry.host());
    let args = ["pull", &registry.name("box:1"), &mirror];
    let tls = world.tls.as_ref().unwrap().ca_file();
    let ca = format!("--ca-file={}", tls.display());
    let run = windlass.command(&[&args[..], &[&ca]].concat());
    let run = run.env("HTTPS_PROXY", world.proxy.url());
    run.run().success().says("it would give up encryption");
    assert_eq!(away.requests().len(), 0);
}

#[test]
fn mirror_that_makes_no_sense_is_wrong_usage_and_not_shown() {
    for value in [
        "docker.io",
        "docker.io=",
        "docker.io=mirror.test",
        "docker.io=ftp://hunter2-marker",
        "=https://hunter2-marker",
        "a/b=https://hunter2-marker",
        "docker.io=https://me:hunter2-marker@mirror.test",
        "docker.io=https://hunter2-marker:x",
        "docker.io=https://",
    ] {
        let args = ["pull", "alpine", "--mirror", value, "--retries=1"];
        // A proxy that is not there: nothing may go out.
        let dead = format!("http://{}", Registry::free_address());
        let output = Windlass::new().command(&args).env("HTTPS_PROXY", dead).run();
        output.exits(2).never_says("hunter2");
    }
}

use super::{PASSWORD, World, assert_told_nothing, user_at};
use crate::support::{Auth, Fault, Image, Proxy, Registry, Windlass};

#[test]
fn proxy_is_used_as_the_variables_say() {
    let world = World::http();
    world.registry.push(&Image::small(), "box:1");
    let name = format!("{}/box:1", world.name);
    let url = world.proxy.url();
    let dead = format!("http://{}", Registry::free_address());
    for (variables, through) in [
        (vec![("HTTP_PROXY", &*url)], true),
        (vec![("http_proxy", &*url)], true),
        (vec![("HTTP_PROXY", ""), ("http_proxy", &*url)], true),
        (vec![("HTTP_PROXY", &*url), ("http_proxy", &*dead)], true),
        (vec![("HTTP_PROXY", &*url), ("HTTPS_PROXY", &*dead)], true),
        (vec![("HTTPS_PROXY", &*url)], false),
        (vec![("ALL_PROXY", &*url)], false),
        (vec![("HTTP_PROXY", &*url), ("REQUEST_METHOD", "GET")], false),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", "*")], false),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", "a.io, registry.test")], false),
        (vec![("HTTP_PROXY", &*url), ("no_proxy", "test")], false),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", "registry.test:80")], false),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", "registry.test:81")], true),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", ".registry.test")], true),
        (vec![("HTTP_PROXY", &*url), ("NO_PROXY", "try.test,10.0.0.0/8,")], true),
    ] {
        let before = world.proxy.targets().len();
        let windlass = Windlass::new();
        let mut run = windlass.command(&["digest", &name, "--plain-http", "--retries=1"]);
        for (variable, value) in &variables {
            run = run.env(variable, value);
        }
        let output = run.run();
        let expected = if through { 0 } else { 5 };
        assert_eq!(output.status(), expected, "{variables:?}\n{output}");
        let targets = &world.proxy.targets()[before..];
        assert_eq!(!targets.is_empty(), through, "{variables:?}");
        assert!(targets.iter().all(|target| target == "registry.test:80"), "{targets:?}");
    }
}

#[test]
fn this_machine_is_reached_without_a_proxy() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let proxy = Proxy::start();
    for host in [registry.host(), format!("localhost:{}", registry.address().port())] {
        let name = name.replace(&registry.host(), &host);
        let windlass = Windlass::new();
        let run = windlass.command(&["digest", &name]).env("HTTP_PROXY", proxy.url());
        run.env("HTTPS_PROXY", proxy.url()).run().success();
    }
    assert_eq!(proxy.asked().len(), 0);
}

#[test]
fn proxy_that_makes_no_sense_is_wrong_usage_and_not_shown() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
        for value in [
            "http://me:hunter2-marker@",
            "ftp://hunter2-marker",
            "socks5://me:hunter2-marker@p:1080",
            "http://me:hunter2-marker@p:0",
            "http://me:hunter2-marker@p:99999",
            "http://me:hunter2/marker@p",
            "://hunter2-marker",
            "hunter2 marker",
        ] {
            let windlass = Windlass::new();
            let output = windlass.command(&["pull", &name, "-vvv"]).env(variable, value).run();
            output.exits(2).says(&format!("invalid {variable}: ")).never_says("hunter2");
        }
    }
    assert_eq!(registry.requests().len(), 0, "never direct instead");
}

#[test]
fn login_of_the_proxy_goes_to_the_proxy_and_that_of_the_registry_not() {
    let world = World::https();
    world.registry.push(&Image::small(), "box:1");
    world.registry.require(Auth::basic("me", "registry-password"));
    let proxy = Proxy::with_login("proxyme", PASSWORD);
    proxy.detour("elsewhere.test:443", world.registry.address());
    let run = |login: &str| {
        let windlass = Windlass::new();
        let url = proxy.url().replace("http://", &format!("http://{login}"));
        let args = ["pull", "elsewhere.test/box:1", "--creds-stdin", "--retries=1", "-vvv"];
        let run = world.command(&windlass, &args).env("HTTPS_PROXY", url);
        run.env("WINDLASS_LOG", "trace").stdin("me:registry-password").run()
    };
    let output = run(&format!("proxyme:{PASSWORD}@")).success();
    output.never_says(PASSWORD).never_says("registry-password");
    for login in ["proxyme:hunter2-wrong@", ""] {
        let output = run(login).exits(4).never_says("hunter2").never_says("registry-password");
        output.says("the proxy for elsewhere.test wants a login");
    }
    for head in proxy.asked() {
        assert_eq!(head.method, "CONNECT");
        assert_eq!(head.header("authorization"), None);
    }
    let to_registry = world.registry.requests();
    assert!(to_registry.iter().all(|request| request.header("proxy-authorization").is_none()));
}

#[test]
fn proxy_that_is_not_there_or_refuses_is_trouble_of_the_network() {
    let dead = format!("http://me:{PASSWORD}@{}", Registry::free_address());
    let windlass = Windlass::new();
    let args = ["pull", "elsewhere.test/box:1", "--retries=1", "-vvv"];
    let output = windlass.command(&args).env("HTTPS_PROXY", dead).run();
    output.exits(5).says("connection refused").never_says(PASSWORD);
    let proxy = Proxy::start();
    proxy.detour("elsewhere.test:443", Registry::free_address().parse().unwrap());
    let output = windlass.command(&args).env("HTTPS_PROXY", proxy.url()).run();
    output.exits(5).says("502");
}

#[test]
fn redirects_go_through_the_proxy_of_their_own_scheme() {
    let world = World::http();
    let storage = Registry::start_tls(&crate::support::Tls::self_signed());
    let secure = Proxy::start();
    secure.detour("cdn.test:443", storage.address());
    world.registry.push(&Image::small(), "box:1");
    world.registry.fail_always(&super::layer_of_box(), Fault::redirect("https://cdn.test/f"));
    let windlass = user_at(world.name);
    let args = ["pull", "registry.test/box:1", "--retries=1"];
    let run = world.command(&windlass, &args).env("HTTPS_PROXY", secure.url());
    run.run().exits(5).says("no TLS with cdn.test");
    assert_eq!(secure.targets(), ["cdn.test:443"]);
    assert_told_nothing(&world.registry);
}

use super::{BASIC, PASSWORD, as_user, asked, logins, user_at, write_private};
use crate::support::{Auth, Bearer, Image, Output, Registry, Windlass};

/// A registry with the image `box:1`, for `me` only.
fn private() -> (Registry, String) {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::basic("me", PASSWORD));
    (registry, name)
}

/// Asks with these files and variables.
#[track_caller]
fn digest(name: &str, files: &[(&str, String)], variables: &[(&str, &str)]) -> Output {
    let windlass = Windlass::new();
    for (path, content) in files {
        write_private(&windlass, path, content);
    }
    let mut run = windlass.command(&["digest", name, "--retries=1"]);
    for (variable, value) in variables {
        run = run.env(variable, value);
    }
    run.run().never_says(PASSWORD)
}

#[test]
fn logins_are_found_in_every_file_of_docker_and_podman() {
    let (registry, name) = private();
    let host = registry.host();
    let right = || logins(&[(&host, &as_user("me"))]);
    let wrong = || logins(&[(&host, &as_user("you"))]);
    let other = || logins(&[("other.test", &as_user("me"))]);
    let docker = "docker/config.json";
    let podman = "XDG_RUNTIME_DIR/containers/auth.json";
    let config = "XDG_CONFIG_HOME/containers/auth.json";
    for (files, allowed) in [
        (vec![], false),
        (vec![(docker, right())], true),
        (vec![(podman, right())], true),
        (vec![(config, right())], true),
        (vec![(docker, right()), (podman, wrong()), (config, wrong())], true),
        (vec![(docker, wrong()), (podman, right())], false),
        (vec![(docker, other()), (podman, right()), (config, wrong())], true),
        (vec![(docker, other()), (podman, other()), (config, right())], true),
        (vec![(docker, "{}".into()), (config, right())], true),
        (vec![(docker, String::new()), (config, right())], true),
        (vec![(docker, other())], false),
    ] {
        let output = digest(&name, &files, &[]);
        let expected = if allowed { 0 } else { 4 };
        assert_eq!(output.status(), expected, "{files:?}\n{output}");
    }
    let only = [("given.json", wrong()), (docker, right())];
    digest(&name, &only, &[("REGISTRY_AUTH_FILE", "given.json")]).exits(4);
    let only = [("given.json", right()), (docker, wrong())];
    digest(&name, &only, &[("REGISTRY_AUTH_FILE", "given.json")]).success();
    let home = [(".docker/config.json", right())];
    digest(&name, &home, &[("DOCKER_CONFIG", "")]).success();
    digest(&name, &[("elsewhere/config.json", right())], &[("DOCKER_CONFIG", "elsewhere")])
        .success();
}

#[test]
fn most_specific_key_gives_the_login_and_each_repository_has_its_own() {
    let registry = Registry::start();
    let names = ["team/a:1", "team/b:1", "c:1"].map(|it| registry.push(&Image::small(), it));
    let users = ["all", "team", "a"].map(|user| (user.to_owned(), PASSWORD.to_owned()));
    registry.require(Auth::bearer(Bearer { users: users.to_vec(), ..Bearer::default() }));
    let host = registry.host();
    let windlass = Windlass::new();
    let file = logins(&[
        (&host, &as_user("all")),
        (&format!("{host}/team"), &as_user("team")),
        (&format!("{host}/team/a"), &as_user("a")),
        (&format!("{host}/tea"), &as_user("nobody")),
        (&format!("{host}/team/a/more"), &as_user("nobody")),
    ]);
    write_private(&windlass, "docker/config.json", &file);
    windlass.run(&[&["pull"], &names.each_ref().map(String::as_str)[..]].concat()).success();
    let users: Vec<_> = registry.requests_for("GET /token").iter().map(account).collect();
    assert_eq!(users, ["a", "team", "all"], "one token for each repository, each as its user");
    for (at, request) in registry.requests_for("GET /v2/*").iter().enumerate() {
        let token = request.header("authorization").unwrap_or("-");
        let number = ["/v2/team/a/", "/v2/team/b/", "/v2/c/"]
            .iter()
            .position(|path| request.path.starts_with(path));
        let own = format!("Bearer opaque-token-{}", number.unwrap() + 1);
        assert!(token == own || token == "-", "{at}: {} {token}", request.path);
    }
}

fn account(request: &crate::support::Request) -> String {
    request.query_value("account").unwrap_or_default()
}

#[test]
fn login_given_for_one_registry_goes_to_no_other() {
    let (registry, name) = private();
    let (other, other_name) = private();
    let windlass = Windlass::new();
    let args = ["pull", &name, "--creds-stdin"];
    let run = |args: &[&str], login: &str| {
        windlass.command(args).stdin(login.to_owned()).run().never_says(PASSWORD)
    };
    run(&args, &format!("me:{PASSWORD}\n")).success();
    let output = run(&["pull", &name, &other_name, "--creds-stdin"], &format!("me:{PASSWORD}\n"));
    output.exits(2).says("expected images of one registry, got several");
    for wrong in ["", "\n", PASSWORD, &format!(":{PASSWORD}")] {
        run(&args, wrong).exits(2).says("expected a line `user:password` on stdin");
    }
    run(&["pull", &name, "--creds-stdin", "-f", "-"], "me:x").exits(2);
    assert_eq!(other.requests().len(), 0);
    registry.forget();
    let user = user_at(&registry.host());
    user.run(&["digest", &name, "--anonymous"]).exits(4).says("no credentials for ");
    assert!(asked(&registry).iter().all(|line| !line.contains("Basic")));
    user.run(&["digest", &other_name]).exits(4);
    assert!(asked(&other).iter().all(|line| !line.contains("Basic")));
}

#[test]
fn named_file_of_logins_is_the_only_one_and_has_to_be_there() {
    let (registry, name) = private();
    let user = user_at(&registry.host());
    user.run(&["digest", &name]).success();
    let empty = user.scratch.write("empty.json", "{}");
    let empty = empty.to_str().unwrap();
    user.run(&["digest", &name, "--authfile", empty]).exits(4);
    user.run(&["digest", &name, "--authfile", "gone.json"]).exits(8).says("`gone.json`");
    let given = write_private(&user, "given.json", &logins(&[(&registry.host(), &as_user("me"))]));
    let given = given.to_str().unwrap();
    user.command(&["digest", &name, "--authfile", given])
        .env("REGISTRY_AUTH_FILE", empty)
        .env("DOCKER_CONFIG", "nowhere")
        .run()
        .success();
}

#[test]
fn malformed_file_of_logins_is_named_and_not_shown() {
    let (_registry, name) = private();
    for content in [
        format!("{{\n\"auths\": {PASSWORD}}}"),
        format!("{{\n\"auths\": {{\"a\": \"{PASSWORD}\"}}}}"),
        format!("{{\n\"auths\": [\"{PASSWORD}\"]}}"),
        format!("\n{PASSWORD}"),
    ] {
        let output = digest(&name, &[("docker/config.json", content)], &[]);
        output.exits(8).says("docker/config.json`: line 2");
    }
}

#[test]
fn file_of_logins_that_others_can_read_is_warned_of_once() {
    let (registry, name) = private();
    let windlass = Windlass::new();
    windlass.scratch.write("docker/config.json", logins(&[(&registry.host(), &as_user("me"))]));
    let output = windlass.run(&["pull", &name]).success();
    assert_eq!(output.stderr.matches("can be read by other users").count(), 1, "{output}");
    let output = user_at(&registry.host()).run(&["pull", &name]).success();
    output.never_says("can be read by other users");
}

#[test]
fn login_that_has_ended_is_given_up_for_public_images_with_one_warning() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.push(&Image::small(), "vip:1");
    registry.require(Auth::bearer(Bearer {
        public: vec!["box".into()],
        ..Bearer::user("someone", "else")
    }));
    let windlass = user_at(&registry.host());
    let output = windlass.run(&["pull", &name]).success().never_says(PASSWORD);
    let warning =
        format!("warning: the login for {} is refused, going on without", registry.host());
    assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
    let shown = asked(&registry).iter().filter(|line| line.contains("Basic")).count();
    assert_eq!(shown, 1, "servers lock accounts after some wrong passwords");
    registry.forget();
    let output = windlass.run(&["pull", &registry.name("vip:1"), &name, "--keep-going"]).exits(9);
    output.says("incorrect username or password").never_says(PASSWORD);
    let shown = asked(&registry).iter().filter(|line| line.contains("Basic")).count();
    assert_eq!(shown, 1);
}

#[test]
fn wrong_password_for_a_private_image_is_exit_4_and_sent_once() {
    let (registry, name) = private();
    let windlass = Windlass::new();
    let file = logins(&[(&registry.host(), &as_user("you"))]);
    write_private(&windlass, "docker/config.json", &file);
    let output = windlass.run(&["pull", &name]).exits(4).prints("").never_says(PASSWORD);
    output.says("the login for ").says(" does not help").says("help: log in");
    let with = asked(&registry).iter().filter(|line| line.contains("Basic")).count();
    assert_eq!(with, 1, "{:?}", asked(&registry));
}

#[test]
fn open_registry_is_not_told_who_we_are() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = user_at(&registry.host());
    windlass.run(&["pull", &name]).success();
    super::assert_told_nothing(&registry);
    registry.require(Auth::basic("me", PASSWORD));
    windlass.run(&["digest", &name]).success();
    assert!(asked(&registry).last().unwrap().ends_with(BASIC));
}

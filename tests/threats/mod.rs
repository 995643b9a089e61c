//! What attackers do to who pulls, and odd registries: through the binary, against servers that
//! note who was told what.

mod content;
mod digests;
mod helpers;
mod hops;
mod logins;
mod manifests;
mod mirrors;
mod platforms;
mod proxies;
mod realms;
mod secrets;
mod sizes;
mod terminal;
mod tokens;
mod transport;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::image::Image;
use crate::support::{Output, Proxy, Registry, Request, Run, Tls, Windlass};

/// The password of everybody here. No output may ever have it.
const PASSWORD: &str = "hunter2-marker";

/// `Basic` of `me` and [`PASSWORD`].
const BASIC: &str = "Basic bWU6aHVudGVyMi1tYXJrZXI=";

/// The one layer of [`Image::small`] pushed as `box:1`.
fn layer_of_box() -> String {
    format!("GET /v2/box/blobs/{}", Image::small().layers()[0].digest)
}

/// Writes a file that only its owner reads.
fn write_private(windlass: &Windlass, name: &str, content: &str) -> PathBuf {
    let path = windlass.scratch.write(name, content);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A file of logins, each for a key, with these fields.
fn logins(entries: &[(&str, &str)]) -> String {
    let entry = |(key, fields): &(&str, &str)| format!("\"{key}\":{{{fields}}}");
    format!("{{\"auths\":{{{}}}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

/// The fields of a login as `user` with [`PASSWORD`].
fn as_user(user: &str) -> String {
    format!("\"username\":\"{user}\",\"password\":\"{PASSWORD}\"")
}

/// A user whom docker has logged in as `me` at that host.
fn user_at(host: &str) -> Windlass {
    let windlass = Windlass::new();
    write_private(&windlass, "docker/config.json", &logins(&[(host, &as_user("me"))]));
    windlass
}

/// Whether the request says anything of who asks.
fn tells(request: &Request) -> bool {
    let headers = ["authorization", "cookie", "proxy-authorization"];
    headers.iter().any(|name| request.header(name).is_some())
        || request.received > 0
        || request.query.contains("account=")
        || request.query.contains("hunter2")
}

/// Was asked, and nobody said who asks.
#[track_caller]
fn assert_told_nothing(server: &Registry) {
    let telling: Vec<_> = server.requests().into_iter().filter(tells).collect();
    assert!(telling.is_empty(), "{telling:#?}");
}

/// `METHOD path` of each request, with `Authorization` if it has one.
fn asked(server: &Registry) -> Vec<String> {
    let line = |request: &Request| {
        let header = request.header("authorization");
        let header = header.map_or_else(String::new, |header| format!(" {header}"));
        format!("{} {}{header}", request.method, request.path)
    };
    server.requests().iter().map(line).collect()
}

/// A registry with a name of the world, which a proxy leads to.
struct World {
    registry: Registry,
    proxy: Proxy,
    tls: Option<Tls>,
    name: &'static str,
}

impl World {
    /// `https://elsewhere.test`.
    fn https() -> World {
        let tls = Tls::wrong_name();
        let (registry, proxy) = (Registry::start_tls(&tls), Proxy::start());
        proxy.detour("elsewhere.test:443", registry.address());
        World { registry, proxy, tls: Some(tls), name: "elsewhere.test" }
    }

    /// `http://registry.test`.
    fn http() -> World {
        let (registry, proxy) = (Registry::start(), Proxy::start());
        proxy.detour("registry.test:80", registry.address());
        World { registry, proxy, tls: None, name: "registry.test" }
    }

    /// A run in this world, with what it takes to reach the registry.
    fn command(&self, windlass: &Windlass, args: &[&str]) -> Run {
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        match &self.tls {
            Some(tls) => args.push(format!("--ca-file={}", tls.ca_file().display())),
            None => args.push("--plain-http".to_owned()),
        }
        let run = windlass.command(&args);
        run.env("HTTPS_PROXY", self.proxy.url()).env("HTTP_PROXY", self.proxy.url())
    }

    #[track_caller]
    fn pull(&self, windlass: &Windlass, args: &[&str]) -> Output {
        let name = format!("{}/box:1", self.name);
        self.command(windlass, &[&["pull", &name, "--retries=1"], args].concat()).run()
    }
}

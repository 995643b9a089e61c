//! What stands before registries: redirects to a blob store, and limits.

use crate::fixture::{child, host_architecture, index_digest};
use crate::nginx::{Nginx, pass};
use crate::registry::{PASSWORD, Registry, USER, busybox};
use crate::windlass::Windlass;

#[test]
fn redirected_blobs_are_fetched_without_the_registrys_credentials() {
    let (registry, windlass) = (Registry::with_password().filled(), Windlass::new());
    let nginx = Nginx::start(|[front, files]| {
        let to = format!(
            r#"location ~ "^/v2/.+/blobs/sha256:([0-9a-f]{{2}})([0-9a-f]{{62}})$" {{
                return 307 http://127.0.0.1:{files}/$1/$1$2/data;
            }}"#
        );
        let blobs = registry.blobs();
        let store = format!("listen 127.0.0.1:{files}; root {};", blobs.display());
        format!("{} server {{ {store} }}", pass(front, &registry.host, &to))
    });
    let name = busybox(&nginx.host);
    windlass
        .tool(&["pull", "--creds-stdin", &name])
        .stdin(format!("{USER}:{PASSWORD}").as_bytes())
        .run()
        .ok()
        .prints(&format!("{name}@{}\n", index_digest()));
    windlass.copied(&name);

    let hits = nginx.hits();
    let at_files = || hits.iter().filter(|hit| hit.port == nginx.ports[1]);
    for blob in child(host_architecture()).blobs() {
        let hex = blob.strip_prefix("sha256:").unwrap();
        assert!(at_files().any(|hit| hit.uri.contains(hex)), "{blob} comes from there: {hits:?}");
    }
    assert!(at_files().all(|hit| hit.authorization.is_empty()), "{hits:?}");
}

#[test]
fn pull_waits_as_long_as_a_limited_registry_asks() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let nginx = Nginx::start(|[front, _]| {
        let zone = "limit_req_zone $binary_remote_addr zone=all:1m rate=2r/s;";
        format!("{zone} {}", pass(front, &registry.host, &limited("limit_req zone=all;", 1)))
    });
    let name = busybox(&nginx.host);
    windlass.run(&["pull", &name]).ok().prints(&format!("{name}@{}\n", index_digest()));
    windlass.copied(&name);
    let hits = nginx.hits();
    assert!(hits.iter().any(|hit| hit.status == 429), "was limited: {hits:?}");
}

#[test]
fn pull_that_would_have_to_wait_for_an_hour_ends_as_rate_limited() {
    let windlass = Windlass::new();
    let nginx = Nginx::start(|[front, _]| {
        let always = limited("if ($uri) { return 429; }", 3600);
        pass(front, "127.0.0.1:1", &always)
    });
    windlass.run(&["pull", &busybox(&nginx.host)]).exits(6).prints("").says("TOOMANYREQUESTS");
}

/// Lines of a server that answers 429 as registries do, whenever `rule` says so.
fn limited(rule: &str, retry_after: u32) -> String {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    format!(
        "{rule}
        limit_req_status 429;
        error_page 429 @limited;
        location @limited {{
            internal;
            default_type application/json;
            add_header Retry-After {retry_after} always;
            return 429 '{body}';
        }}"
    )
}

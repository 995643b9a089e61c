//! Nginx as what stands between a registry and its users.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::tool::{Process, Tool};

/// How often to look for free ports: another program may take one before nginx does.
const ATTEMPTS: usize = 5;

/// A running nginx, ended when dropped.
pub(crate) struct Nginx {
    /// `127.0.0.1:PORT` of the first server.
    pub(crate) host: String,
    /// The ports it was given.
    pub(crate) ports: [u16; 2],
    log: PathBuf,
    _process: Process,
    _folder: TempDir,
}

/// A request that nginx has answered.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) port: u16,
    pub(crate) status: u16,
    /// Bytes of the body that were sent.
    pub(crate) bytes: u64,
    /// What of the blob was asked for; empty if all.
    pub(crate) range: String,
    /// Empty if the client sent no `Authorization`.
    pub(crate) authorization: String,
    pub(crate) method: String,
    pub(crate) uri: String,
}

impl Nginx {
    /// Runs what `http` says, given two free ports, inside the `http` block.
    pub(crate) fn start(http: impl Fn([u16; 2]) -> String) -> Nginx {
        let folder = TempDir::new().unwrap();
        let (root, log) = (folder.path().display(), folder.path().join("access.log"));
        for _ in 0..ATTEMPTS {
            let ports = free_ports();
            let config = format!(
                r#"
                daemon off; master_process off;
                pid {root}/pid; error_log {root}/error.log;
                events {{}}
                http {{
                    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
                    fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
                    log_format hit '$server_port\t$status\t$body_bytes_sent\t$http_range\t'
                                   '$http_authorization\t$request_method\t$request_uri';
                    access_log {root}/access.log hit;
                    {}
                }}"#,
                http(ports)
            );
            let path = folder.path().join("nginx.conf");
            fs::write(&path, config).unwrap();
            let mut process = Tool::new("nginx", folder.path())
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(&path)
                .start(&folder.path().join("log"));
            let up = || TcpStream::connect(("127.0.0.1", ports[0])).ok();
            if process.wait_for(|_| up()).is_some() {
                let host = format!("127.0.0.1:{}", ports[0]);
                return Nginx { host, ports, log, _process: process, _folder: folder };
            }
            assert!(process.said().contains("in use"), "nginx ended:\n{}", process.said());
        }
        panic!("no free port in {ATTEMPTS} attempts")
    }

    /// All requests so far.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        let field = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
        let log = fs::read_to_string(&self.log).unwrap();
        let hit = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [port, status, bytes, range, authorization, method, uri] = fields[..] else {
                panic!("not of the log's format: {line}");
            };
            Hit {
                port: port.parse().unwrap(),
                status: status.parse().unwrap(),
                bytes: bytes.parse().unwrap(),
                range: field(range),
                authorization: field(authorization),
                method: field(method),
                uri: field(uri),
            }
        };
        // A greeting in TLS is no request: it has neither method nor path.
        log.lines().map(hit).filter(|hit| hit.uri.starts_with('/')).collect()
    }
}

/// A server on `port` that passes everything to `upstream`, as fast as the client reads; `more`
/// stands in it. (Without buffers nginx would ignore `limit_rate`.)
pub(crate) fn pass(port: u16, upstream: &str, more: &str) -> String {
    format!(
        "server {{
            listen 127.0.0.1:{port};
            {more}
            location / {{
                proxy_pass http://{upstream};
                proxy_set_header Host $http_host;
                proxy_max_temp_file_size 0;
            }}
        }}"
    )
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

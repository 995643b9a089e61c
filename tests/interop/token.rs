//! A token server as docker-registry wants one: it signs what it grants.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/jwt/>

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::registry::{PASSWORD, USER};
use crate::tls::Authority;
use crate::tool::Tool;

/// What the registry and the server call each other.
pub(crate) const SERVICE: &str = "interop";

/// A running server, until the tests end. It grants [`USER`] everything and others nothing.
pub(crate) struct Tokens {
    pub(crate) realm: String,
    /// The scopes that were asked for, and as whom.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tokens {
    pub(crate) fn signed_by(authority: &Authority) -> Tokens {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (key, certificate) = (authority.key(), authority.certificate());
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has no token.
                let _ = answer(stream, &key, &certificate, &log);
            }
        });
        Tokens { realm, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    key: &Path,
    certificate: &Path,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.by_ref().take(64 * 1024).read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let target = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let query = target.split_once('?').map_or("", |(_, query)| query).to_owned();
    let scopes: Vec<String> =
        query.split('&').filter_map(|pair| Some(decoded(pair.strip_prefix("scope=")?))).collect();
    let login = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let header = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    let is_user = header.as_deref() == Some(&format!("Basic {login}"));
    log.lock().unwrap().push(format!("{} as {is_user}", scopes.join(" ")));
    let (status, body) = match (header, is_user) {
        (Some(_), false) => ("401 Unauthorized", json!({"details": "incorrect password"})),
        _ => ("200 OK", json!({"token": token(&scopes, is_user, key, certificate)})),
    };
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes())
}

fn decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",").replace('+', " ")
}

fn token(scopes: &[String], is_user: bool, key: &Path, certificate: &Path) -> String {
    let pem = fs::read_to_string(certificate).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let access = |scope: &String| -> Option<Value> {
        let (place, actions) = scope.rsplit_once(':')?;
        let (kind, name) = place.split_once(':')?;
        let actions: Vec<&str> = actions.split(',').filter(|_| is_user).collect();
        Some(json!({"type": kind, "name": name, "actions": actions}))
    };
    let access: Vec<Value> = scopes.iter().filter_map(access).collect();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [der]});
    let claims = json!({
        "iss": SERVICE, "sub": USER, "aud": SERVICE, "jti": format!("{now}"),
        "iat": now, "nbf": now - 60, "exp": now + 300, "access": access,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign(signed.as_bytes(), key);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The two numbers of an ECDSA signature, 32 bytes each, as JWT has them.
fn sign(bytes: &[u8], key: &Path) -> Vec<u8> {
    let key: PathBuf = key.to_owned();
    let tool = Tool::new("openssl", Path::new("/")).args(&["dgst", "-sha256", "-sign"]).arg(key);
    let der = tool.stdin(bytes).run().ok().stdout;
    let mut rest = &der[2..];
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let len = usize::from(rest[1]);
        let number = &rest[2..2 + len];
        let number = &number[number.len().saturating_sub(32)..];
        numbers.extend(std::iter::repeat_n(0, 32 - number.len()));
        numbers.extend(number);
        rest = &rest[2 + len..];
    }
    numbers
}

//! A proxy for CONNECT.
//!
//! It knows nothing else: ureq uses CONNECT for `http://` targets too.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::registry::auth::credentials;
use super::registry::http::Head;

/// A proxy that ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// User and password it wants.
    login: Option<(String, String)>,
    /// Where it goes instead of the target.
    detours: Mutex<BTreeMap<String, SocketAddr>>,
    asked: Mutex<Vec<Head>>,
    over: AtomicBool,
}

impl Proxy {
    /// Lets everybody through.
    pub(crate) fn start() -> Proxy {
        Proxy::listen(Shared::default())
    }

    /// Answers 407 to all who lack this login.
    pub(crate) fn with_login(user: &str, password: &str) -> Proxy {
        let login = Some((user.to_owned(), password.to_owned()));
        Proxy::listen(Shared { login, ..Shared::default() })
    }

    fn listen(shared: Shared) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(shared);
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || {
                for client in listener.incoming() {
                    if shared.over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (Ok(client), shared) = (client, shared.clone()) else { continue };
                    // Either side may vanish; that is no error here.
                    thread::spawn(move || drop(serve(&shared, client)));
                }
            }
        });
        Proxy { address, shared, accepting: Some(accepting) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `HTTP_PROXY` and such.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads those who ask for `target`, such as `registry.test:443`, to another address: so a
    /// test can use any name.
    pub(crate) fn detour(&self, target: &str, address: SocketAddr) {
        self.shared.detours.lock().unwrap().insert(target.to_owned(), address);
    }

    /// The requests so far; the path is the target.
    pub(crate) fn asked(&self) -> Vec<Head> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The targets asked for so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked().into_iter().map(|head| head.path).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
    shared.asked.lock().unwrap().push(head.clone());
    if head.method != "CONNECT" {
        return client.write_all(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n");
    }
    if shared.login.is_some() && credentials(&head, "proxy-authorization") != shared.login {
        let answer = "HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\n\
            Content-Length: 0\r\n\r\n";
        return client.write_all(answer.as_bytes());
    }
    let detour = shared.detours.lock().unwrap().get(&head.path).copied();
    let server = match detour {
        Some(address) => TcpStream::connect(address),
        None => TcpStream::connect(&head.path),
    };
    let Ok(mut server) = server else {
        return client.write_all(b"HTTP/1.1 502 No way\r\nContent-Length: 0\r\n\r\n");
    };
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut back = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut back.0, &mut back.1);
        let _ = back.1.shutdown(Shutdown::Write);
    });
    io::copy(&mut reader, &mut server)?;
    server.shutdown(Shutdown::Write)
}

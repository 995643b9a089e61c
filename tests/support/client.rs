//! A client without any cleverness, to see what is on the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection.
pub(crate) struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By its length, or its last chunk.
    Complete,
    Fin,
    Rst,
    /// Nothing came for a second.
    Silence,
}

/// What was on the wire.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Empty if there was no answer.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
}

impl Seen {
    pub(crate) fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        Client { socket, unread: Vec::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Seen {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn range(&mut self, path: &str, range: &str) -> Seen {
        self.send("GET", path, &[("Range", range)], b"")
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Seen {
        self.write(method, path, headers, body);
        self.answer(method == "HEAD")
    }

    fn write(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: registry\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // The server may have closed: then reading shows how.
        let _ = self.socket.write_all(&[head.as_bytes(), body].concat());
    }

    /// For CONNECT, whose answer has no body and no length.
    pub(crate) fn send_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Seen {
        self.write(method, path, headers, b"");
        self.answer(true)
    }

    fn answer(&mut self, without_body: bool) -> Seen {
        let mut seen = Seen { head: String::new(), body: Vec::new(), ending: Ending::Complete };
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            if let Some(ending) = self.read() {
                seen.body = std::mem::take(&mut self.unread);
                seen.ending = ending;
                return seen;
            }
        };
        seen.head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let length = seen.header("content-length").and_then(|value| value.parse().ok());
        let chunked = seen.header("transfer-encoding").is_some();
        if without_body || matches!(seen.status(), 100 | 204) {
            return seen;
        }
        loop {
            let complete = match length {
                Some(length) => self.unread.len() >= length,
                None => chunked && self.unread.ends_with(b"0\r\n\r\n"),
            };
            if complete {
                break;
            }
            if let Some(ending) = self.read() {
                seen.ending = ending;
                break;
            }
        }
        let length = length.unwrap_or(usize::MAX).min(self.unread.len());
        seen.body = self.unread.drain(..length).collect();
        seen
    }

    /// Why there is no more, if there is none.
    fn read(&mut self) -> Option<Ending> {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => Some(Ending::Fin),
            Ok(length) => {
                self.unread.extend(&buffer[..length]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Some(Ending::Rst),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Ending::Silence),
            Err(error) => panic!("{error}"),
        }
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

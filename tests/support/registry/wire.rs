//! Sockets: plain or TLS, and the ways to end a connection.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};

/// A connection to a client.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Says goodbye in TLS, where there is TLS. Without it a close looks like a cut.
    pub(super) fn say_goodbye(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }

    /// Closes by FIN, after all that was written. Reads what the client still sends, for a
    /// socket that is closed with unread bytes sends RST.
    pub(super) fn finish(self) {
        let socket = self.socket();
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
        let mut socket = socket;
        let _ = io::copy(&mut socket, &mut io::sink());
    }

    /// Closes by RST, after what was written has arrived.
    ///
    /// No other handle of the socket may be open.
    pub(super) fn reset(self) {
        wait_until_delivered(self.socket());
        let _ = rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Waits, a second at most, until the client's kernel has acknowledged everything: RST makes
/// ours forget what it has not sent yet.
fn wait_until_delivered(socket: &TcpStream) {
    let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr()) else { return };
    let table = if local.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let ends = [format!(":{:04X}", local.port()), format!(":{:04X}", peer.port())];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let Ok(table) = fs::read_to_string(table) else { return };
        let row = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|row| row.len() > 4 && row[1].ends_with(&ends[0]) && row[2].ends_with(&ends[1]));
        if row.is_none_or(|row| row[4].starts_with("00000000:")) {
            return;
        }
        Pause::default().wait(Duration::from_millis(1));
    }
}

/// Waiting that the end of the server cuts short.
#[derive(Default)]
pub(super) struct Pause {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Pause {
    /// True if the time has passed, false if the server ends.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap();
        let waited = self.changed.wait_timeout_while(over, time, |over| !*over);
        !*waited.unwrap().0
    }

    pub(super) fn end(&self) {
        *self.over.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.lock().unwrap()
    }
}

/// Wakes whoever accepts at this address.
pub(super) fn knock(address: SocketAddr) {
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

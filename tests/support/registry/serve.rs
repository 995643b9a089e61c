//! A connection, from its first request to its end.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Shared;
use super::delivery::{Delivery, End};
use super::http::{Answer, Head};
use super::log::Entry;
use super::rule::Fault;
use super::wire::Stream;

/// What is spoken on the port.
#[derive(Clone)]
pub(super) enum Speech {
    Http,
    Https(Arc<ServerConfig>),
    /// Connections are accepted, and never a byte is sent.
    Mute,
}

/// Accepts until the server ends.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut id = 0;
    for socket in listener.incoming() {
        if shared.pause.is_over() {
            return;
        }
        let Ok(socket) = socket else { continue };
        let (Ok(peer), Ok(handle)) = (socket.peer_addr(), socket.try_clone()) else { continue };
        id += 1;
        shared.log.connections.fetch_add(1, Ordering::SeqCst);
        shared.connections.lock().unwrap().insert(id, handle);
        let shared = shared.clone();
        thread::spawn(move || {
            if let Some(stream) = open(&shared, socket) {
                let (end, stream) = converse(&shared, stream, peer);
                // RST needs the last handle to go.
                shared.connections.lock().unwrap().remove(&id);
                close(stream, end);
            }
            shared.connections.lock().unwrap().remove(&id);
        });
    }
}

fn open(shared: &Shared, socket: TcpStream) -> Option<Stream> {
    socket.set_nodelay(true).ok()?;
    match &shared.speech {
        Speech::Http => Some(Stream::Plain(socket)),
        Speech::Https(config) => {
            let connection = ServerConnection::new(config.clone()).ok()?;
            Some(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
        }
        Speech::Mute => {
            shared.wait_for_end();
            None
        }
    }
}

fn close(mut stream: Stream, end: End) {
    match end {
        End::KeepAlive | End::Silent => {}
        End::HangUp => stream.say_goodbye(),
        End::Close => {
            stream.say_goodbye();
            stream.finish();
        }
        End::Fin => stream.finish(),
        End::Reset => stream.reset(),
    }
}

/// Serves request after request. Clients may vanish at any time; that is no error here.
fn converse(shared: &Shared, stream: Stream, peer: SocketAddr) -> (End, Stream) {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut reused = false;
    loop {
        match exchange(shared, &mut reader, peer, reused) {
            Ok(Some(End::KeepAlive)) => reused = true,
            Ok(Some(End::Silent)) => {
                shared.wait_for_end();
                return (End::Fin, reader.into_inner());
            }
            Ok(Some(end)) => return (end, reader.into_inner()),
            Ok(None) | Err(_) => return (End::KeepAlive, reader.into_inner()),
        }
    }
}

/// One request and its answer. `None` if there was no further request.
fn exchange(
    shared: &Shared,
    reader: &mut BufReader<Stream>,
    peer: SocketAddr,
    reused: bool,
) -> io::Result<Option<End>> {
    let Some(mut head) = Head::read(reader)? else { return Ok(None) };
    let (entry, mut under_way) = shared.log.begin(&head, peer, reused);
    let faults = shared.rules.meet(&entry.request());
    if faults.iter().any(|fault| matches!(fault, Fault::ExpireToken)) {
        shared.gate.expire_tokens();
    }
    if faults.iter().any(|fault| matches!(fault, Fault::IgnoreRange)) {
        head.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
    }
    let without_body = head.method == "HEAD";
    let expects = head.header("expect").is_some_and(|value| value.starts_with("100"));
    let early = faults.iter().find_map(|fault| match fault {
        Fault::Early(status) => Some(Answer::error(*status, "EARLY", "not even reading this")),
        _ => None,
    });
    let refused =
        instead(&head, &faults).or_else(|| shared.gate.turn_away(&head, &shared.origin()));
    let early = early.or_else(|| refused.clone().filter(|_| expects));
    if let Some(answer) = early {
        let delivery = Delivery::new(answer, &faults).then(End::HangUp);
        let stream = reader.get_mut();
        return delivery
            .send(stream, &entry, &mut under_way, without_body, &shared.pause)
            .map(Some);
    }
    if expects {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let hangs = faults.iter().any(|fault| matches!(fault, Fault::HangKeeping(_)));
    let Some(body) = receive(shared, &head, reader, &entry, &faults)? else {
        return Ok(Some(if hangs { End::Silent } else { End::Reset }));
    };
    let answer = match refused {
        Some(answer) => answer,
        None => effect(shared, &head, body, &faults),
    };
    let wants_close =
        head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let mut delivery = Delivery::new(answer, &faults);
    if wants_close {
        delivery = delivery.then(End::Close);
    }
    let stream = reader.get_mut();
    delivery.send(stream, &entry, &mut under_way, without_body, &shared.pause).map(Some)
}

/// The answer of a fault that keeps a request from taking effect.
fn instead(head: &Head, faults: &[Fault]) -> Option<Answer> {
    faults.iter().find_map(|fault| match fault {
        Fault::Status(status) => Some(Answer::error(*status, "UNKNOWN", "a fault on request")),
        Fault::RangeStatus(status) => {
            head.header("range").map(|_| Answer::error(*status, "UNSUPPORTED", "no ranges here"))
        }
        Fault::Answer(status, headers, body) => {
            let mut answer = Answer::new(*status, body.clone());
            answer.headers.clone_from(headers);
            Some(answer)
        }
        Fault::Redirect(status, url) => {
            Some(Answer::empty(*status).header("Location", url.as_str()))
        }
        _ => None,
    })
}

/// The request's body. `None` if the connection is to break while it is being sent.
fn receive(
    shared: &Shared,
    head: &Head,
    reader: &mut BufReader<Stream>,
    entry: &Entry,
    faults: &[Fault],
) -> io::Result<Option<Vec<u8>>> {
    let cut = faults.iter().find_map(|fault| match fault {
        Fault::ResetWhileSending(bytes)
        | Fault::ResetKeeping(bytes)
        | Fault::HangKeeping(bytes) => usize::try_from(*bytes).ok(),
        _ => None,
    });
    let is_kept = |fault: &Fault| matches!(fault, Fault::ResetKeeping(_) | Fault::HangKeeping(_));
    let keeps = faults.iter().any(is_kept);
    if cut == Some(0) {
        return Ok(None);
    }
    let length = head.header("content-length").and_then(|value| value.parse().ok());
    let discards = shared.repositories.lock().unwrap().push.discards;
    let length = length.filter(|length| !discards && *length < 1 << 32);
    let mut body = Vec::with_capacity(length.unwrap_or(0));
    let mut received = 0;
    let mut whole = true;
    head.read_body(reader, &mut |piece| {
        entry.received(piece.len());
        let kept = !discards || !shared.repositories.lock().unwrap().discards(&head.path, piece);
        if kept {
            body.extend_from_slice(piece);
        }
        received += piece.len();
        whole = cut.is_none_or(|cut| received < cut);
        whole
    })?;
    if let (false, true, Some(cut)) = (whole, keeps, cut) {
        body.truncate(cut);
        shared.repositories.lock().unwrap().keep(&head.path, &body);
    }
    Ok(whole.then_some(body))
}

fn effect(shared: &Shared, head: &Head, mut body: Vec<u8>, faults: &[Fault]) -> Answer {
    if head.path == "/token" {
        return shared.tokens().token(head, &body);
    }
    for fault in faults {
        if let (Fault::AcceptOnly(bytes), "PATCH") = (fault, head.method.as_str()) {
            body.truncate(usize::try_from(*bytes).unwrap());
        }
    }
    let answer = shared.repositories.lock().unwrap().serve(head, body);
    let lost = faults.iter().find_map(|fault| match fault {
        Fault::Lost(status) => Some(Answer::error(*status, "UNKNOWN", "done, but who knows")),
        _ => None,
    });
    lost.unwrap_or(answer)
}

//! How an answer gets onto the wire: framing, pace, and where it breaks off.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::http::Answer;
use super::log::{Entry, UnderWay};
use super::rule::Fault;
use super::wire::{Pause, Stream};
use crate::support::content::Content;

/// Most bytes in one write.
const PIECE: u64 = 256 * 1024;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    KeepAlive,
    /// Closed in order.
    Close,
    /// Closed in order, but with RST if the client has sent what was not read.
    HangUp,
    /// Closed without a word of TLS.
    Fin,
    Reset,
    /// Left open, without an answer.
    Silent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    UntilClosed,
}

/// An answer and all that goes wrong with it.
pub(super) struct Delivery {
    answer: Answer,
    framing: Framing,
    length_error: i64,
    second_length: bool,
    flips: Vec<u64>,
    endless: bool,
    stall: Option<Duration>,
    stalls: Vec<(u64, Duration)>,
    cut: Option<(u64, End)>,
    drip: Option<(u64, Duration)>,
    throttle: Option<u64>,
    raw: Option<Vec<u8>>,
    instead: Option<End>,
    last: End,
}

impl Delivery {
    /// The answer, with those faults applied that concern answers.
    pub(super) fn new(answer: Answer, faults: &[Fault]) -> Delivery {
        let mut delivery = Delivery {
            answer,
            framing: Framing::Length,
            length_error: 0,
            second_length: false,
            flips: Vec::new(),
            endless: false,
            stall: None,
            stalls: Vec::new(),
            cut: None,
            drip: None,
            throttle: None,
            raw: None,
            instead: None,
            last: End::KeepAlive,
        };
        for fault in faults {
            delivery.apply(fault);
        }
        delivery
    }

    fn apply(&mut self, fault: &Fault) {
        match fault {
            Fault::Close => self.instead = Some(End::Fin),
            Fault::Reset => self.instead = Some(End::Reset),
            Fault::Silent => self.instead = Some(End::Silent),
            Fault::Raw(bytes) => self.raw = Some(bytes.clone()),
            Fault::Stall(time) => self.stall = Some(*time),
            Fault::StallAfter(bytes, time) => self.stalls.push((*bytes, *time)),
            Fault::CutFin(bytes) => self.cut = Some((*bytes, End::Fin)),
            Fault::CutRst(bytes) => self.cut = Some((*bytes, End::Reset)),
            Fault::Drip { bytes, every } => self.drip = Some((*bytes, *every)),
            Fault::Throttle { bytes_per_second } => self.throttle = Some(*bytes_per_second),
            Fault::Flip(offset) => self.flips.push(*offset),
            Fault::Truncate(length) => {
                let range = &mut self.answer.range;
                range.end = range.end.min(range.start + length);
            }
            Fault::Extra(bytes) => self.rewrite(|mut body| {
                body.extend(bytes);
                body
            }),
            Fault::Body(bytes) => self.rewrite(|_| bytes.clone()),
            Fault::Chunked => self.framing = Framing::Chunked,
            Fault::CloseDelimited => self.framing = Framing::UntilClosed,
            Fault::Endless => {
                self.framing = Framing::UntilClosed;
                self.endless = true;
            }
            Fault::Gzip => {
                self.rewrite(|body| {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(&body).expect("a Vec takes everything");
                    encoder.finish().expect("a Vec takes everything")
                });
                self.answer.set("Content-Encoding", "gzip".to_owned());
            }
            Fault::GzipLabel => self.answer.set("Content-Encoding", "gzip".to_owned()),
            Fault::ContentLength(error) => self.length_error = *error,
            Fault::TwoContentLengths => self.second_length = true,
            Fault::Header(name, value) => self.answer.set(name, value.clone()),
            Fault::AddHeader(name, value) => {
                self.answer.headers.push((name.clone(), value.clone()));
            }
            Fault::NoHeader(name) => self.answer.remove(name),
            _ => {}
        }
    }

    fn rewrite(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let content = Content::from(change(self.answer.content.range(self.answer.range.clone())));
        self.answer.range = 0..content.size();
        self.answer.content = content;
    }

    /// What becomes of the connection after the whole answer.
    pub(super) fn then(mut self, end: End) -> Delivery {
        self.last = end;
        self
    }

    /// Sends it all, or what the faults let through.
    pub(super) fn send(
        &self,
        stream: &mut Stream,
        entry: &Entry,
        under_way: &mut UnderWay<'_>,
        without_body: bool,
        pause: &Pause,
    ) -> io::Result<End> {
        if self.stall.is_some_and(|time| !pause.wait(time)) {
            return Ok(End::Close);
        }
        if let Some(end) = self.instead {
            return Ok(end);
        }
        if let Some(bytes) = &self.raw {
            under_way.end();
            stream.write_all(bytes)?;
            return Ok(End::Fin);
        }
        entry.answered(self.answer.status);
        let size = self.answer.range.end - self.answer.range.start;
        let nothing = without_body || matches!(self.answer.status, 204 | 304);
        if nothing || (size == 0 && self.framing == Framing::Length) {
            under_way.end();
        }
        stream.write_all(self.head(size).as_bytes())?;
        if nothing {
            return Ok(self.last);
        }
        Body { delivery: self, stream, entry, under_way, pause }.send(size)
    }

    fn head(&self, size: u64) -> String {
        let Answer { status, headers, .. } = &self.answer;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(*status));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::Length if *status != 204 => {
                let length = size.saturating_add_signed(self.length_error);
                head.push_str(&format!("Content-Length: {length}\r\n"));
                if self.second_length {
                    head.push_str(&format!("Content-Length: {}\r\n", length + 1));
                }
            }
            Framing::Length => {}
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::UntilClosed => head.push_str("Connection: close\r\n"),
        }
        if self.last != End::KeepAlive && self.framing != Framing::UntilClosed {
            head.push_str("Connection: close\r\n");
        }
        head + "\r\n"
    }
}

/// A body on its way.
struct Body<'a, 'b> {
    delivery: &'a Delivery,
    stream: &'a mut Stream,
    entry: &'a Entry,
    under_way: &'a mut UnderWay<'b>,
    pause: &'a Pause,
}

impl Body<'_, '_> {
    fn send(self, size: u64) -> io::Result<End> {
        let Delivery { framing, endless, cut, .. } = *self.delivery;
        let size = if endless { u64::MAX } else { size };
        let end = cut.map_or(size, |(at, _)| at.min(size));
        let start = Instant::now();
        let mut buffer = Vec::new();
        let mut sent = 0;
        loop {
            let stall = self.delivery.stalls.iter().find(|(at, _)| *at == sent);
            if stall.is_some_and(|(_, time)| !self.pause.wait(*time)) {
                return Ok(End::Close);
            }
            if sent == end {
                break;
            }
            let length = self.piece(sent, end);
            self.fill(sent, length, &mut buffer);
            let ends_here = sent + length == end && framing != Framing::Chunked;
            if ends_here || cut.is_some_and(|(at, _)| at == sent + length) {
                self.under_way.end();
            }
            self.entry.sent(buffer.len());
            if framing == Framing::Chunked {
                write!(self.stream, "{length:x}\r\n")?;
            }
            self.stream.write_all(&buffer)?;
            if framing == Framing::Chunked {
                self.stream.write_all(b"\r\n")?;
            }
            sent += length;
            if !self.keep_pace(sent, start) {
                return Ok(End::Close);
            }
        }
        self.under_way.end();
        if let Some((_, end)) = cut.filter(|(at, _)| *at <= sent && sent == end) {
            return Ok(end);
        }
        Ok(match framing {
            Framing::Chunked => {
                self.stream.write_all(b"0\r\n\r\n")?;
                self.delivery.last
            }
            Framing::UntilClosed => End::Close,
            Framing::Length if self.delivery.length_error > 0 => End::Close,
            Framing::Length => self.delivery.last,
        })
    }

    /// How much to write at once, from `sent` on.
    fn piece(&self, sent: u64, end: u64) -> u64 {
        let Delivery { drip, throttle, .. } = self.delivery;
        let mut most = PIECE.min(end - sent);
        if let Some((bytes, _)) = drip {
            most = most.min(*bytes);
        }
        if let Some(rate) = throttle {
            most = most.min((rate / 50).max(1));
        }
        let stalls = self.delivery.stalls.iter().filter(|(at, _)| *at > sent);
        stalls.map(|(at, _)| at - sent).min().map_or(most, |stall| most.min(stall))
    }

    fn fill(&self, sent: u64, length: u64, buffer: &mut Vec<u8>) {
        buffer.resize(usize::try_from(length).unwrap(), 0);
        let Answer { content, range, .. } = &self.delivery.answer;
        let offset = range.start + sent;
        let real = range.end.saturating_sub(offset).min(length);
        let real = usize::try_from(real).unwrap();
        if real > 0 {
            content.read_at(offset, &mut buffer[..real]);
        }
        buffer[real..].fill(0);
        for flip in &self.delivery.flips {
            let index = flip.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| buffer.get_mut(index)) {
                *byte ^= 0xff;
            }
        }
    }

    /// Waits as drip and throttle want it; false if the server ends.
    fn keep_pace(&self, sent: u64, start: Instant) -> bool {
        if let Some((_, every)) = self.delivery.drip {
            return self.pause.wait(every);
        }
        let Some(rate) = self.delivery.throttle else { return true };
        let due = Duration::from_nanos(sent.saturating_mul(1_000_000_000) / rate.max(1));
        let early = due.saturating_sub(start.elapsed());
        early.is_zero() || self.pause.wait(early)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

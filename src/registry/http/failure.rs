use std::io;
use std::time::Duration;

use rustix::io::Errno;
use ureq::Timeout;

use super::connect::Stage;
use super::{CONNECT, Failure, RESOLVE};
use crate::error::{Error, ErrorKind, Fault, plain};
use crate::printable::printable;
use crate::registry::tls;
use crate::registry::url::Url;

/// What `error` is to us, given how far the request for `url` had come.
pub(super) fn classify(error: ureq::Error, stage: Stage, url: &Url, stall: Duration) -> Failure {
    let peer = url.origin().authority();
    let network = |fault, message| Failure::Other(Error::network(fault, message));
    match error {
        ureq::Error::HostNotFound => {
            network(Fault::Resolve, format!("cannot resolve {}", url.host()))
        }
        ureq::Error::Timeout(Timeout::Resolve) => network(
            Fault::Resolve,
            format!("cannot resolve {}: no answer for {} s", url.host(), RESOLVE.as_secs()),
        ),
        ureq::Error::Timeout(Timeout::Connect) if stage == Stage::Shaking => network(
            Fault::Stall,
            format!("{peer} did not finish the TLS handshake in {} s", CONNECT.as_secs()),
        ),
        ureq::Error::Timeout(Timeout::Connect) => network(
            Fault::Unreachable,
            format!("connecting to {peer} took longer than {} s", CONNECT.as_secs()),
        ),
        ureq::Error::Timeout(_) => {
            network(Fault::Stall, format!("no byte from {peer} for {} s", stall.as_secs_f32()))
        }
        ureq::Error::Rustls(error) => handshake(&error, peer),
        ureq::Error::Tls(_) | ureq::Error::TlsRequired | ureq::Error::Pem(_) => {
            network(Fault::Tls, format!("no TLS with {peer}: {error}"))
        }
        ureq::Error::Other(error) => {
            network(Fault::Unreachable, format!("connecting to {peer}: {error}"))
        }
        ureq::Error::ConnectProxyFailed(reason) if reason.contains("responded 407") => {
            Failure::Other(Error::denied(format!("the proxy for {peer} wants a login")))
        }
        ureq::Error::ConnectProxyFailed(reason) => {
            network(Fault::Unreachable, format!("connecting to {peer}: {}", printable(&reason)))
        }
        ureq::Error::Io(error) => classify_io(error, stage, url),
        error => network(
            Fault::Protocol,
            format!("{peer} does not speak HTTP: {}", printable(&error.to_string())),
        ),
    }
}

fn classify_io(error: io::Error, stage: Stage, url: &Url) -> Failure {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return Failure::Other(ours),
        Err(error) => error,
    };
    let peer = url.origin().authority();
    let network = |fault, message| Failure::Other(Error::network(fault, message));
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return handshake(error, peer);
    }
    if is_local(&error) {
        return Failure::Other(
            Error::new(ErrorKind::Io(error)).context(format!("connecting to {peer}")),
        );
    }
    let cut = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    );
    match stage {
        Stage::Shaking if cut => {
            let message = format!("the connection to {peer} was cut in the TLS handshake");
            Failure::NotTls(Error::network(Fault::Cut, message))
        }
        Stage::Kept if cut => network(Fault::Idle, format!("{peer} closed the connection")),
        Stage::Resolving => network(Fault::Resolve, format!("cannot resolve {}", url.host())),
        _ if cut => network(Fault::Cut, format!("the connection to {peer} was cut")),
        Stage::Dialing => {
            network(Fault::Unreachable, format!("connecting to {peer}: {}", plain(&error)))
        }
        _ => network(Fault::Cut, format!("the connection to {peer} was cut: {}", plain(&error))),
    }
}

/// TLS did not come about.
fn handshake(error: &rustls::Error, peer: String) -> Failure {
    let failure = Error::network(Fault::Tls, format!("no TLS with {peer}: {}", tls::reason(error)));
    match error {
        rustls::Error::InvalidMessage(_) => Failure::NotTls(failure),
        _ => Failure::Other(failure),
    }
}

/// Whether this machine is to blame: no file descriptors, no memory for sockets.
pub(super) fn is_local(error: &io::Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}

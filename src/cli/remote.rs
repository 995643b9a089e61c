use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use windlass::error::{Context as _, Error};
use windlass::reference::Repository;
use windlass::registry::{Credential, Credentials, Options, Proxies, Registry, Remote, Secret};

use crate::cli::failure::Failure;
use crate::cli::{Context, progress};

/// Most bytes of `user:password`. Tokens that serve as passwords have some thousand.
const LOGIN_LIMIT: u64 = 64 * 1024;

/// The registries that a command speaks to, each with one set of connections.
pub(crate) struct Registries<'a> {
    context: &'a Context,
    options: Options,
    open: BTreeMap<String, Registry>,
}

impl<'a> Registries<'a> {
    /// Those that `repositories` are in, with so many requests at once to each. Reads the login
    /// if it is given on stdin; sends nothing yet.
    pub(crate) fn new<'b>(
        context: &'a Context,
        repositories: impl IntoIterator<Item = &'b Repository>,
        jobs: usize,
    ) -> Result<Registries<'a>, Failure> {
        let settings = &context.settings;
        let connection = &settings.connection;
        let hosts: BTreeSet<&str> = repositories.into_iter().map(Repository::host).collect();
        let mut credentials = match &connection.authfile {
            _ if connection.anonymous => Credentials::anonymous(),
            Some(file) => Credentials::from_file(file.clone()),
            None => Credentials::from_files(settings.login_files()),
        };
        if connection.creds_stdin {
            let mut hosts = hosts.iter();
            let host = match (hosts.next(), hosts.next()) {
                (host, None) => host,
                (_, Some(_)) => {
                    let message = "--creds-stdin: expected images of one registry, got several";
                    return Err(Failure::usage(message)
                        .help("a login is for one registry: ask each in a run of its own"));
                }
            };
            if let Some(host) = host {
                credentials = credentials.with(host, read_login(io::stdin().lock())?);
            }
        }
        let client = connection.cert_file.clone().zip(connection.key_file.clone());
        let options = Options {
            plain_http: connection.plain_http,
            insecure: connection.insecure,
            ca_files: connection.ca_file.clone(),
            client_certificate: client,
            cert_dirs: settings.certificate_folders(),
            credentials,
            trusted_realms: connection.trust_realm.iter().map(|host| host.0.clone()).collect(),
            proxies: Proxies::from_lookup(|name| settings.variable(name))?,
            mirrors: connection.mirror.iter().map(|mirror| mirror.0.clone()).collect(),
            stall_timeout: settings.stall_timeout,
            jobs,
            ..Options::default()
        };
        Ok(Registries { context, options, open: BTreeMap::new() })
    }

    /// The repository in its registry.
    pub(crate) fn repository(&mut self, repository: &Repository) -> Result<Remote, Error> {
        let host = repository.host();
        if let Some(registry) = self.open.get(host) {
            return Ok(registry.repository(repository));
        }
        let registry = Registry::new(host, self.options.clone())?;
        if self.options.insecure && !self.options.plain_http {
            log::warn!("the certificate of {host} is not verified: --insecure");
        }
        let stopped = registry.clone();
        self.context.signals.on_stop(move || stopped.shutdown());
        let remote = registry.repository(repository);
        self.open.insert(host.to_owned(), registry);
        Ok(remote)
    }
}

/// The repository in its registry, for a command that asks one question after another.
pub(crate) fn repository(context: &Context, repository: &Repository) -> Result<Remote, Failure> {
    Ok(Registries::new(context, [repository], 1)?.repository(repository)?)
}

/// Asks a registry, again where that may help; `name` is what is asked for.
pub(crate) fn ask<T>(
    context: &Context,
    name: &str,
    question: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |error: &Error, attempt, wait| {
        progress::retrying(&context.output, name, error, attempt, wait);
    };
    context.settings.retry().run(&context.interrupt, failed, question)
}

/// Reads `user:password` from the first line. What it holds is not shown if it is wrong.
fn read_login(input: impl BufRead) -> Result<Credential, Failure> {
    const EXPECTED: &str = "--creds-stdin: expected a line `user:password` on stdin";
    let mut line = String::new();
    let read = input.take(LOGIN_LIMIT).read_line(&mut line);
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Failure::usage(format!("{EXPECTED}, got what is not UTF-8")));
        }
        read => read.context(|| "reading stdin")?,
    };
    let login = line.strip_suffix('\n').unwrap_or(&line);
    let login = login.strip_suffix('\r').unwrap_or(login);
    match login.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Credential::Basic { user: user.into(), password: Secret::new(password) })
        }
        _ if login.is_empty() => Err(Failure::usage(format!("{EXPECTED}, got nothing"))),
        _ => Err(Failure::usage(format!("{EXPECTED}, got one without user or without colon"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_is_the_first_line_up_to_its_first_colon() {
        let check = |input: &str, user: &str, password: &str| {
            let expected = Credential::Basic { user: user.into(), password: Secret::new(password) };
            assert_eq!(read_login(input.as_bytes()).unwrap(), expected);
        };
        check("me:secret", "me", "secret");
        check("me:secret\n", "me", "secret");
        check("me:secret\r\nmore", "me", "secret");
        check("me:se:cret \n", "me", "se:cret ");
        check("me:\n", "me", "");
    }

    #[test]
    fn malformed_login_is_not_shown() {
        for input in [&b"hunter2"[..], b"", b"\n", b":hunter2", b"hunter2\xff:x"] {
            let failure = read_login(input).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(!failure.error().to_string().contains("hunter2"));
        }
    }
}

use std::io::Read;

use argh::{ArgsInfo, FromArgs};
use windlass::error::Context as _;
use windlass::registry::{Credential, Credentials, Kept, LoginCheck, LoginFile, Secret};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::HostName;
use crate::cli::{Command, Context, remote};

/// Most bytes of a password. Tokens that serve as passwords have some thousand.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// Log in to a registry: the login is tried, and kept where docker keeps its own, so that docker,
/// podman and skopeo find it too.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "login", help_triggers("-h", "--help"))]
#[argh(example = "windlass login registry.example -u me --password-stdin < password")]
pub(crate) struct Login {
    /// the name to log in as
    #[argh(option, short = 'u', arg_name = "NAME")]
    username: Option<String>,

    /// read the password from stdin; there is no other way to give it
    #[argh(switch)]
    password_stdin: bool,

    /// the registry: HOST or HOST:PORT, such as docker.io
    #[argh(positional, arg_name = "HOST")]
    host: HostName,
}

/// Log out of a registry: forget the login that is kept for it.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "logout", help_triggers("-h", "--help"))]
pub(crate) struct Logout {
    /// the registry: HOST or HOST:PORT, such as docker.io
    #[argh(positional, arg_name = "HOST")]
    host: HostName,
}

impl Command for Login {
    const GROUPS: &'static [Group] = &[Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_others(context)?;
        let HostName(host) = self.host;
        let user = match (self.username, self.password_stdin) {
            (Some(user), true) if !user.is_empty() && !user.contains(':') => user,
            (Some(_), true) => {
                return Err(Failure::usage("--username: expected a name without colon"));
            }
            _ => {
                return Err(Failure::usage("expected --username NAME and --password-stdin")
                    .help("nothing is asked for: `windlass login HOST -u NAME --password-stdin`"));
            }
        };
        let file = LoginFile::new(context.settings.login_file()?);
        let password = read_password(std::io::stdin().lock())?;
        let credential = Credential::Basic { user: user.clone(), password: password.clone() };
        let credentials = Credentials::anonymous().with(&host, credential);
        let registry = remote::registry(context, &host, credentials)?;
        let checked = remote::ask(context, &host, || registry.check_login())?;
        let kept = file.keep(&host, &user, &password)?;
        if checked == LoginCheck::NotAsked {
            log::warn!("{host} asks for no login: this one was not tried");
        }
        let kept = match kept {
            Kept::File(path) => format!("in `{}`", path.display()),
            Kept::Helper(name) => format!("by `docker-credential-{name}`"),
        };
        context.output.tell(&format!("logged in to {host} as {user}, kept {kept}"));
        Ok(())
    }
}

impl Command for Logout {
    const GROUPS: &'static [Group] = &[Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_others(context)?;
        let HostName(host) = self.host;
        let file = LoginFile::new(context.settings.login_file()?);
        let told = match file.forget(&host)? {
            true => format!("logged out of {host}"),
            false => format!("there was no login for {host}"),
        };
        context.output.tell(&told);
        Ok(())
    }
}

/// What says who we are in other ways is not for these.
fn refuse_others(context: &Context) -> Result<(), Failure> {
    let connection = &context.settings.connection;
    match (connection.creds_stdin, connection.anonymous) {
        (true, _) => Err(Failure::usage("--creds-stdin is not for logging in or out")),
        (_, true) => Err(Failure::usage("--anonymous is not for logging in or out")),
        _ => Ok(()),
    }
}

/// Reads a password up to the end of its line. What it holds is not shown if it is wrong.
fn read_password(input: impl Read) -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    input.take(PASSWORD_LIMIT + 1).read_to_end(&mut bytes).context(|| "reading stdin")?;
    let wrong = |why| Failure::usage(format!("--password-stdin: expected a password, got {why}"));
    if u64::try_from(bytes.len()).is_ok_and(|len| len > PASSWORD_LIMIT) {
        return Err(wrong("more than 65536 bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("what is not UTF-8"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    match password {
        "" => Err(wrong("nothing")),
        password if password.contains(['\n', '\r', '\0']) => Err(wrong("several lines")),
        password => Ok(Secret::new(password)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_one_line() {
        let read = |text: &str| read_password(text.as_bytes()).map(|it| it.expose().to_owned());
        assert_eq!(read("pw").unwrap(), "pw");
        assert_eq!(read("p w:\r\n").unwrap(), "p w:");
        for wrong in ["", "\n", "hunter2\nmore\n"] {
            let failure = read(wrong).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(!failure.error().to_string().contains("hunter2"));
        }
    }
}

//! The options that several commands share, in groups. A command says which groups it takes.

use std::path::PathBuf;

use argh::{ArgsInfo, CommandInfoWithArgs, EarlyExit, FromArgs};
use windlass::image::Platform;

use crate::cli::exit;
use crate::cli::values::{Attempts, Jobs, Mirror, ProgressMode, Seconds, TrustedHost};

/// Options for every command.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Global {
    /// where the images are kept
    #[argh(option, arg_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// say nothing but errors
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,

    /// say more; twice for debugging
    #[argh(switch, short = 'v')]
    pub(crate) verbose: u8,

    /// answer in JSON, one object a line; errors too
    #[argh(switch)]
    pub(crate) json: bool,

    /// how to tell what happens: auto (bars on a terminal, else plain), plain, json or none
    #[argh(option, arg_name = "HOW")]
    pub(crate) progress: Option<ProgressMode>,

    /// print the version
    #[argh(switch)]
    #[expect(dead_code, reason = "it counts before there is a command whose options are read")]
    pub(crate) version: bool,
}

/// How registries are reached.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Connection {
    /// speak HTTP without TLS to the registry
    #[argh(switch)]
    pub(crate) plain_http: bool,

    /// do not verify the registry's certificate
    #[argh(switch)]
    pub(crate) insecure: bool,

    /// trust the certificates in FILE too (may be repeated)
    #[argh(option, arg_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,

    /// show the registry the certificate in FILE
    #[argh(option, arg_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,

    /// the key of that certificate
    #[argh(option, arg_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// read logins from FILE, in the form of docker's config.json, and from nowhere else
    #[argh(option, arg_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,

    /// read `user:password` from stdin
    #[argh(switch)]
    pub(crate) creds_stdin: bool,

    /// use no login, even if there is one
    #[argh(switch)]
    pub(crate) anonymous: bool,

    /// let the registry ask for the login at HOST[:PORT] (may be repeated)
    #[argh(option, arg_name = "HOST")]
    pub(crate) trust_realm: Vec<TrustedHost>,

    /// ask the registry at URL first for what is at HOST (may be repeated)
    #[argh(option, arg_name = "HOST=URL")]
    pub(crate) mirror: Vec<Mirror>,

    /// how long a connection may bring nothing (30)
    #[argh(option, arg_name = "SECONDS")]
    pub(crate) stall_timeout: Option<Seconds>,
}

/// How stubbornly.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Patience {
    /// attempts in a row without progress, the first included (8)
    #[argh(option, arg_name = "N")]
    pub(crate) retries: Option<Attempts>,

    /// longest wait between two attempts (120)
    #[argh(option, arg_name = "SECONDS")]
    pub(crate) retry_max_wait: Option<Seconds>,
}

/// What is moved of an image for several platforms.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Platforms {
    /// take the image for os/arch[/variant] instead of this machine's (may be repeated)
    #[argh(option, arg_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,

    /// take the images for all platforms
    #[argh(switch)]
    pub(crate) all_platforms: bool,
}

/// How it is moved.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Transfer {
    /// requests under way at once to one registry, 1 to 64 (8)
    #[argh(option, short = 'j', arg_name = "N")]
    pub(crate) jobs: Option<Jobs>,

    /// do not wait for the disk: faster, and not safe against a power cut
    #[argh(switch)]
    pub(crate) no_sync: bool,
}

/// What to do with several images.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Several {
    /// only say what would be moved
    #[argh(switch)]
    pub(crate) dry_run: bool,

    /// go on with the other images when one fails
    #[argh(switch)]
    pub(crate) keep_going: bool,

    /// write the digest of each image to FILE, one a line
    #[argh(option, arg_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
}

/// One of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Platforms,
    Transfer,
    Several,
    Patience,
    Connection,
    Global,
}

/// All groups, in the order in which help shows them.
pub(crate) const GROUPS: [Group; 6] = [
    Group::Platforms,
    Group::Transfer,
    Group::Several,
    Group::Patience,
    Group::Connection,
    Group::Global,
];

impl Group {
    /// What its options are, as argh knows them.
    pub(crate) fn info(self) -> CommandInfoWithArgs {
        match self {
            Group::Platforms => Platforms::get_args_info(),
            Group::Transfer => Transfer::get_args_info(),
            Group::Several => Several::get_args_info(),
            Group::Patience => Patience::get_args_info(),
            Group::Connection => Connection::get_args_info(),
            Group::Global => Global::get_args_info(),
        }
    }

    /// The heading over its options.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Platforms => "Platform options",
            Group::Transfer => "Transfer options",
            Group::Several => "Options for several images",
            Group::Patience => "Retry options",
            Group::Connection => "Connection options",
            Group::Global => "Global options",
        }
    }

    /// The environment variables that mean something to whoever takes it.
    pub(crate) fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Group::Transfer => &[("WINDLASS_JOBS", "as --jobs")],
            Group::Platforms | Group::Several | Group::Patience => &[],
            Group::Connection => &[
                ("REGISTRY_AUTH_FILE", "where logins are read from, as podman does"),
                ("DOCKER_CONFIG", "the folder of docker's config.json (~/.docker)"),
                ("XDG_RUNTIME_DIR", "where podman keeps its logins"),
                ("SSL_CERT_FILE", "certificates to trust instead of the system's"),
                ("SSL_CERT_DIR", "a folder of such certificates"),
                ("HTTPS_PROXY", "the proxy to registries"),
                ("HTTP_PROXY", "the proxy to registries with --plain-http"),
                ("NO_PROXY", "hosts that are reached without proxy"),
            ],
            Group::Global => &[
                ("WINDLASS_STORE", "as --store"),
                ("WINDLASS_LOG", "what to log, as env_logger reads it: debug, windlass=info"),
            ],
        }
    }

    /// How a command that takes it may end.
    pub(crate) fn exit_codes(self) -> &'static [u8] {
        match self {
            Group::Platforms | Group::Transfer => &[],
            Group::Several => &[exit::SEVERAL],
            Group::Patience => &[exit::RATE_LIMITED],
            Group::Connection => &[exit::NOT_ALLOWED, exit::NETWORK],
            Group::Global => &[
                exit::DONE,
                exit::OTHER,
                exit::USAGE,
                exit::NOT_FOUND,
                exit::CONTENT,
                exit::LOCAL,
                exit::SIGINT,
            ],
        }
    }
}

/// The values of all groups; of those that a command does not take, the defaults.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) global: Global,
    pub(crate) connection: Connection,
    pub(crate) patience: Patience,
    pub(crate) platforms: Platforms,
    pub(crate) transfer: Transfer,
    pub(crate) several: Several,
}

impl Shared {
    /// Reads each group from the arguments that `of` gives for it.
    pub(crate) fn parse(of: impl Fn(Group) -> Vec<String>) -> Result<Shared, EarlyExit> {
        Ok(Shared {
            global: parse(&of(Group::Global))?,
            connection: parse(&of(Group::Connection))?,
            patience: parse(&of(Group::Patience))?,
            platforms: parse(&of(Group::Platforms))?,
            transfer: parse(&of(Group::Transfer))?,
            several: parse(&of(Group::Several))?,
        })
    }
}

/// Reads a struct from its arguments.
pub(crate) fn parse<T: FromArgs>(args: &[String]) -> Result<T, EarlyExit> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    T::from_args(&["windlass"], &args)
}

//! Generated tars, listed by windlass, by GNU tar and by Python: all see the same members, or
//! whoever differs has a reason that is listed here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use windlass::stream::tar::{Kind, Member, Reader};

use crate::support::random::Random;
use crate::support::random_tar;

/// How many tars Python and windlass list.
const TARS: u64 = 10_000;

/// Of so many tars GNU tar lists two, a good and a bad one: it takes a process for each.
const GNU_STEP: u64 = 20;

/// What one of them says about a tar: a line for each member, or why it refuses it.
type Listing = Result<Vec<String>, String>;

#[test]
fn generated_tars_have_the_same_members_for_gnu_tar_and_python() {
    let folder = TempDir::new().unwrap();
    let tars: Vec<Vec<u8>> = (0..TARS).map(tar).collect();
    let python = python(&tars, folder.path());
    let (mut equal, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut excused = BTreeMap::<&str, usize>::new();
    for (seed, (tar, python)) in (0..).zip(tars.iter().zip(&python)) {
        let ours = ours(tar);
        let mut others = vec![("python", python.clone())];
        if seed % GNU_STEP < 2 {
            others.push(("GNU tar", gnu(tar, folder.path())));
        }
        for (name, theirs) in others {
            match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) if ours == theirs => equal += 1,
                (Err(_), Err(_)) => refused += 1,
                _ => match excuse(name, tar, &ours, &theirs) {
                    Some(reason) => *excused.entry(reason).or_default() += 1,
                    None => wrong.push(format!("{seed}: {name}: {}", difference(&ours, &theirs))),
                },
            }
        }
    }
    println!("{equal} equal, {refused} refused by both, {excused:#?}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(equal > 8000 && refused > 1500, "the tars are both good and bad");
}

/// Every other one is good.
fn tar(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    match seed % 2 {
        0 => random_tar::good(&mut random),
        _ => random_tar::bad(&mut random),
    }
}

/// Who takes what windlass refuses, by a part of windlass's reason; and why windlass refuses it.
const TAKEN: &[(&str, &str, &str)] = &[
    ("", "no member follows", "an extended header at the end is passed over, here it is a cut"),
    ("", "it stands between", "what a global header between others means is not the same for all"),
    ("", "a second", "of two extended headers one is forgotten, which is not the same for all"),
    ("", "it has two long", "of two names GNU tar takes the PAX one, Python the first"),
    ("", "a type of member that is not known", "shown or taken for a file, here refused"),
    ("", "a sparse file", "GNU tar knows sparse files, here they are refused"),
    ("", "malformed `path`", "names with NULs are taken or cut"),
    ("", "malformed `linkpath`", "names with NULs are taken or cut"),
    ("", "an empty long name", "an empty name is taken"),
    ("", "for all members", "names and sizes for all members are taken, but not by all"),
    ("GNU tar", "the archive ends in it", "a cut in a header is an end for GNU tar"),
    ("GNU tar", "malformed", "GNU tar takes a NUL before digits, as others do not"),
    ("python", "malformed record", "Python stops at the first record that it does not know"),
    ("python", "malformed mode", "Python takes signs, NULs before digits and negative modes"),
    ("python", "malformed size", "Python takes signs, NULs before digits and negative sizes"),
    ("python", "malformed owner", "Python takes signs, NULs before digits and negative owners"),
    ("python", "malformed group", "Python takes signs, NULs before digits and negative groups"),
    ("python", "malformed time", "Python takes signs, NULs before digits and any time"),
    ("python", "malformed device", "Python takes signs, NULs before digits, negative numbers"),
    ("python", "malformed `", "Python takes 0 for numbers that are none"),
];

/// Who refuses what windlass takes, by a part of their reason; and why windlass takes it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("python", "SubsequentHeaderError e", "a global header at the end is about nothing"),
    ("python", "invalid header", "fields of headers that mean nothing there are not looked at"),
    ("GNU tar", "where numeric", "fields of headers that mean nothing there are not looked at"),
    ("GNU tar", "base-64", "fields of headers that mean nothing there are not looked at"),
    ("GNU tar", "Archive value", "the number that a PAX header replaces is not looked at"),
    ("GNU tar", "Substituting", "an empty name is left to whoever unpacks it"),
    ("GNU tar", "does not look like a tar", "an empty file is a tar without members"),
];

fn excuse(name: &str, tar: &[u8], ours: &Listing, theirs: &Listing) -> Option<&'static str> {
    let found = |table: &[(&str, &str, &'static str)], reason: &str| {
        let fits = |row: &&(&str, &str, &str)| name.contains(row.0) && reason.contains(row.1);
        table.iter().find(fits).map(|row| row.2)
    };
    match (ours, theirs) {
        _ if name == "GNU tar" && has_content_without_file(tar) => {
            Some("GNU tar skips content of links, devices and pipes, as Go and Python do not")
        }
        (Ok(_), Err(_)) if name == "GNU tar" && has_lone_zeros(tar) => {
            Some("GNU tar reads a header after a single block of zeros, to warn of it")
        }
        (Err(reason), Ok(_)) => found(TAKEN, reason),
        (Ok(_), Err(_)) if name == "python" && has_short_folder(tar) => Some(SHORT),
        (Ok(_), Err(reason)) => found(REFUSED, reason),
        (Ok(ours), Ok(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .filter(|(ours, theirs)| ours != theirs)
            .try_fold("", |_, (ours, theirs)| excuse_line(name, tar, ours, theirs)),
        (Ok(_), Ok(_)) if name == "python" && has_short_folder(tar) => Some(SHORT),
        _ => None,
    }
}

const SHORT: &str =
    "Python looks at the short name to tell folders from files, not at the long one";

/// Whether there is a header without a type whose own name ends in a slash.
fn has_short_folder(tar: &[u8]) -> bool {
    tar.chunks_exact(512).any(|block| {
        let name = block[..100].split(|&byte| byte == 0).next().unwrap();
        block[156] == 0 && name.ends_with(b"/")
    })
}

/// Whether there is a header of a symbolic link, device or pipe for which a size is stated.
fn has_content_without_file(tar: &[u8]) -> bool {
    let mut is_stated = false;
    tar.chunks_exact(512).any(|block| {
        let is_nothing = |byte: &u8| matches!(byte, 0 | b' ' | b'0');
        is_stated |= block.windows(6).any(|text| text == b" size=");
        b"2346".contains(&block[156]) && (is_stated || !block[124..136].iter().all(is_nothing))
    })
}

/// Whether something follows a single block of zeros.
fn has_lone_zeros(tar: &[u8]) -> bool {
    let blocks: Vec<bool> = tar.chunks(512).map(|block| block == [0; 512]).collect();
    blocks.windows(2).any(|pair| pair == [true, false])
}

/// How many global headers there are.
fn globals(tar: &[u8]) -> usize {
    tar.chunks_exact(512).filter(|block| block[156] == b'g').count()
}

fn excuse_line(name: &str, tar: &[u8], ours: &str, theirs: &str) -> Option<&'static str> {
    let split = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (split(ours), split(theirs));
    let differ: Vec<usize> = (0..ours.len()).filter(|&at| ours[at] != theirs[at]).collect();
    let is_kind = |kind: &str| kind == "file" || kind == "folder";
    differ.iter().try_fold("", |_, &at| match (name, at) {
        ("GNU tar", 1 | 2) if (&*ours[1], &*theirs[1]) == ("file", "folder") => {
            Some("GNU tar takes every file whose name ends in a slash for a folder")
        }
        ("GNU tar", 4) if globals(tar) > 1 => {
            Some("GNU tar forgets a global header when another comes, POSIX does not")
        }
        ("GNU tar", 6) if (&*ours[6], &*theirs[6]) == ("-", "2e") => {
            Some("GNU tar shows an empty link as a dot")
        }
        ("python", 1) if is_kind(&ours[1]) && is_kind(&theirs[1]) => Some(SHORT),
        ("python", 0) if theirs[0].ends_with(&ours[0]) => {
            Some("Python reads a prefix in all forms, also where GNU has something else")
        }
        ("python", 7) if ours[7] == "0,0" => {
            Some("Python reads device numbers in the oldest form, which has none")
        }
        _ => None,
    })
}

/// The first line of either that is different.
fn difference(ours: &Listing, theirs: &Listing) -> String {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
            format!("{:?} {:?}", ours.get(same), theirs.get(same))
        }
        (Ok(_), Err(error)) => format!("windlass takes it: {error}"),
        (Err(error), Ok(theirs)) => format!("{error}: taken: {theirs:?}"),
        (Err(_), Err(_)) => String::new(),
    }
}

fn ours(tar: &[u8]) -> Listing {
    let mut reader = Reader::new(tar);
    let mut lines = Vec::new();
    loop {
        match reader.next_member() {
            Ok(Some(member)) => lines.push(line(&member)),
            Ok(None) => return Ok(lines),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn line(member: &Member) -> String {
    let kind = match member.kind {
        Kind::File => "file",
        Kind::HardLink => "hard",
        Kind::SymbolicLink => "symbolic",
        Kind::CharacterDevice => "char",
        Kind::BlockDevice => "block",
        Kind::Folder => "folder",
        Kind::Fifo => "fifo",
    };
    let link = match member.kind {
        Kind::HardLink | Kind::SymbolicLink => text(&member.link),
        _ => "-".to_owned(),
    };
    let device = match member.kind {
        Kind::CharacterDevice | Kind::BlockDevice => {
            format!("{},{}", member.device.0, member.device.1)
        }
        _ => "-".to_owned(),
    };
    let Member { path, size, mode, uid, gid, mtime, .. } = member;
    let path = text(path);
    format!("{path} {kind} {size} {mode:o} {uid}/{gid} {} {link} {device}", mtime.seconds)
}

/// A name without the slashes at its end, which Python leaves out, in hexadecimal digits.
fn text(name: &[u8]) -> String {
    let end = name.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    match &name[..end] {
        [] => "-".to_owned(),
        name => hex::encode(name),
    }
}

fn python(tars: &[Vec<u8>], folder: &Path) -> Vec<Listing> {
    let (script, input) = (folder.join("tars.py"), folder.join("tars"));
    fs::write(&script, include_str!("tars.py")).unwrap();
    let mut file = File::create(&input).unwrap();
    for tar in tars {
        file.write_all(&(tar.len() as u64).to_le_bytes()).unwrap();
        file.write_all(tar).unwrap();
    }
    let output = Command::new("python3").arg(&script).arg(&input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listings: Vec<Listing> =
        String::from_utf8(output.stdout).unwrap().lines().map(listing).collect();
    assert_eq!(listings.len(), tars.len());
    listings
}

fn listing(line: &str) -> Listing {
    match line.strip_prefix("refused: ") {
        Some(reason) => Err(reason.to_owned()),
        None if line.is_empty() => Ok(Vec::new()),
        None => Ok(line.split(';').map(str::to_owned).collect()),
    }
}

fn gnu(tar: &[u8], folder: &Path) -> Listing {
    let path = folder.join("gnu.tar");
    fs::write(&path, tar).unwrap();
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=c"])
        .arg("--absolute-names")
        .arg("--file")
        .arg(&path)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC0")])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().map(gnu_line).collect())
}

/// `-rw-r--r-- 0/0 5 1970-01-01 00:00:00 "name"`, and after it ` -> "target"` or
/// ` link to "target"`.
fn gnu_line(line: &str) -> String {
    let (head, names) = line.split_once(" \"").unwrap();
    let head: Vec<&str> = head.split_whitespace().collect();
    let &[modes, owner, size, day, time] = &head[..] else { panic!("{line}") };
    let kind = match modes.as_bytes()[0] {
        b'-' | b'C' => "file",
        b'h' => "hard",
        b'l' => "symbolic",
        b'c' => "char",
        b'b' => "block",
        b'd' => "folder",
        b'p' => "fifo",
        _ => "unknown",
    };
    let (name, rest) = unquote(names);
    let link =
        rest.split_once('"').map_or("-".to_owned(), |(_, link)| self::text(&unquote(link).0));
    let name = self::text(&name);
    let device = if matches!(kind, "char" | "block") { size } else { "-" };
    let size = if kind == "file" { size } else { "0" };
    let mode = permissions(&modes.as_bytes()[1..]);
    let seconds = seconds(day, time);
    format!("{name} {kind} {size} {mode:o} {owner} {seconds} {link} {device}")
}

/// `rwsr-xr-t`.
fn permissions(text: &[u8]) -> u32 {
    let mut mode = 0;
    for (index, &letter) in text.iter().enumerate() {
        let bit = 0o400 >> index;
        let special = [0, 0, 0o4000, 0, 0, 0o2000, 0, 0, 0o1000][index];
        mode |= match letter {
            b'-' => 0,
            b's' | b't' => bit | special,
            b'S' | b'T' => special,
            _ => bit,
        };
    }
    mode
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text.char_indices();
    while let Some((at, letter)) = rest.next() {
        match letter {
            '"' => return (bytes, &text[at + 1..]),
            '\\' => match rest.next().unwrap().1 {
                first @ '0'..='3' => {
                    let mut digits = String::from(first);
                    digits.extend([rest.next().unwrap().1, rest.next().unwrap().1]);
                    bytes.push(u8::from_str_radix(&digits, 8).unwrap());
                }
                'a' => bytes.push(7),
                'b' => bytes.push(8),
                't' => bytes.push(b'\t'),
                'n' => bytes.push(b'\n'),
                'v' => bytes.push(11),
                'f' => bytes.push(12),
                'r' => bytes.push(b'\r'),
                other => bytes.push(u8::try_from(other).unwrap()),
            },
            other => bytes.push(u8::try_from(other).unwrap()),
        }
    }
    panic!("{text}")
}

/// Seconds since 1970, rounded down.
fn seconds(day: &str, time: &str) -> i64 {
    let (is_before, day) = day.strip_prefix('-').map_or((false, day), |day| (true, day));
    let part = |text: &str, index: usize, by: char| {
        text.split(by).nth(index).unwrap().parse::<i64>().unwrap()
    };
    let year = if is_before { -part(day, 0, '-') } else { part(day, 0, '-') };
    let (month, day) = (part(day, 1, '-'), part(day, 2, '-'));
    // Years that begin in March have the odd day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let whole = time.split('.').next().unwrap();
    days * 86_400 + part(whole, 0, ':') * 3600 + part(whole, 1, ':') * 60 + part(whole, 2, ':')
}

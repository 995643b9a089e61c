//! Tars of all forms, good and bad, made from a seed.

use super::random::Random;
use super::tar::{Header, Tar};

const BLOCK: usize = 512;

const TYPES: &[u8] = b"000000011222555634\x007";

const NAMES: [&[u8]; 14] = [
    b"a",
    b"etc/passwd",
    b"./usr/bin/",
    b"dir/",
    b"with space",
    b"new\nline",
    b"back\\slash",
    b"quote\"d'",
    b"\xff\xfe not utf-8",
    "\u{fc}ml\u{e4}ut".as_bytes(),
    b"../up",
    b"/absolute/",
    b"-> arrow",
    b"tab\tand\x7f\x1b",
];

/// A tar that tools write: everything in it is as it should be.
pub(crate) fn good(random: &mut Random) -> Vec<u8> {
    let mut tar = Tar::new();
    for _ in 0..random.below(6) {
        tar = member(random, tar);
    }
    match random.below(8) {
        0 => tar.cut(),
        1 => tar.raw([0; BLOCK]).cut(),
        2 => Tar::new().raw(tar.end()).raw(vec![0; random.below(20) * BLOCK]).cut(),
        _ => tar.end(),
    }
}

/// A tar in which something is wrong, or at least unusual.
pub(crate) fn bad(random: &mut Random) -> Vec<u8> {
    let mut tar = good(random);
    for _ in 0..=random.below(2) {
        change(random, &mut tar);
    }
    tar
}

/// Adds a member with the headers that say the rest about it.
fn member(random: &mut Random, mut tar: Tar) -> Tar {
    let content = vec![b'c'; *random.pick(&[0, 0, 1, 100, 511, 512, 513, 1500])];
    let mut type_flag = *random.pick(TYPES);
    let (name, link) = (name(random), name(random));
    if name.ends_with(b"/") && type_flag != 0 {
        type_flag = b'5';
    }
    let (uid, gid) = (owner(random), owner(random));
    let mut records: Vec<(&str, Vec<u8>)> = Vec::new();
    let is_file = matches!(type_flag, 0 | b'0' | b'7') && !name.ends_with(b"/");
    let content = if is_file { &content[..] } else { &[] };
    let cut = |text: &[u8]| match text.len() {
        ..=100 => text.to_vec(),
        _ => [&text[..99], b"~"].concat(),
    };
    let is_device = matches!(type_flag, b'3' | b'4');
    // The oldest form has no devices.
    let form = random.below(4).max(usize::from(is_device));
    let mut header = match form {
        0 => Header::old(cut(&name), type_flag),
        1 => Header::gnu(cut(&name), type_flag),
        _ => Header::new(cut(&name), type_flag),
    };
    let is_link = matches!(type_flag, b'1' | b'2');
    let link = if is_link { link } else { Vec::new() };
    header = header.link(cut(&link)).mode(i64::try_from(random.below(0o10000)).unwrap());
    if is_device {
        header = header.device(i64::try_from(random.below(256)).unwrap(), 3);
    }
    if form == 3 {
        records.push(("path", name.clone()));
        if is_link {
            records.push(("linkpath", link.clone()));
        }
        records.push(("uid", uid.to_string().into()));
        records.push(("gid", gid.to_string().into()));
        let fraction = *random.pick(&["", ".5", ".123456789", ".1"]);
        let seconds = random.below(1 << 33);
        records.push(("mtime", format!("{seconds}{fraction}").into()));
        if random.one_in(3) {
            records.push(("size", content.len().to_string().into()));
            header = header.size(u64::from(random.one_in(2)) * content.len() as u64);
        }
        records.push(("comment", b"x\ny=z".to_vec()));
        if random.one_in(4) {
            records.push(("SCHILY.xattr.user.a", b"b".to_vec()));
        }
        if random.one_in(6) {
            tar = tar.global(&[("gid", "7"), ("mtime", "8")]);
        }
        return body(tar.pax(&records), &header, content, &records);
    }
    header = header.uid(uid).gid(gid).mtime(i64::try_from(random.below(1 << 34)).unwrap() - 99);
    if form == 2 && name.len() < 100 && random.one_in(3) {
        header = header.prefix("some/folders");
    }
    if form == 1 || random.one_in(4) {
        if name.len() > 100 || random.one_in(8) {
            tar = tar.long_name(&name);
        }
        if is_link && link.len() > 100 {
            tar = tar.long_link(&link);
        }
    }
    body(tar, &header, content, &records)
}

fn body(tar: Tar, header: &Header, content: &[u8], records: &[(&str, Vec<u8>)]) -> Tar {
    if records.iter().any(|(key, _)| *key == "size") {
        let padding = vec![0; content.len().next_multiple_of(BLOCK) - content.len()];
        return tar.header(header).raw(content).raw(padding);
    }
    tar.member(header, content)
}

fn name(random: &mut Random) -> Vec<u8> {
    let mut name = random.pick(&NAMES).to_vec();
    let length = *random.pick(&[0, 0, 0, 0, 99, 100, 101, 155, 260, 1000]);
    while name.len() < length {
        name.extend(b"/long");
    }
    if length > 0 {
        name.truncate(length);
    }
    name
}

fn owner(random: &mut Random) -> i64 {
    let large = i64::from(u32::MAX) - 1;
    *random.pick(&[0, 0, 1, 1000, 65534, 0o7_777_777, 0o10_000_000, large])
}

/// One change to the tar: of a header's field, of a block, or of its length.
fn change(random: &mut Random, tar: &mut Vec<u8>) {
    let blocks = tar.len() / BLOCK;
    if blocks == 0 {
        return;
    }
    let at = random.below(blocks) * BLOCK;
    match random.below(12) {
        0 => tar.truncate(random.below(tar.len() + 1)),
        1 => tar.truncate(at),
        2 => drop(tar.splice(at..at, [0; BLOCK])),
        3 => drop(tar.drain(at..at + BLOCK)),
        4 => {
            let block = tar[at..at + BLOCK].to_vec();
            tar.splice(at..at, block);
        }
        5 => {
            let at = random.below(tar.len());
            tar[at] = random.byte();
        }
        6 => {
            // An extended header where none was.
            let extended = match random.below(4) {
                0 => Tar::new().pax(&[(*random.pick(&["path", "size", "uid", "linkpath"]), "5")]),
                1 => Tar::new().long_name("long"),
                2 => Tar::new().long_link("link"),
                _ => Tar::new().global(&[(*random.pick(&["comment", "uid", "mtime"]), "5")]),
            };
            tar.splice(at..at, extended.cut());
        }
        _ => {
            let header = Header::of(&tar[at..at + BLOCK]);
            tar[at..at + BLOCK].copy_from_slice(&field(random, header).bytes());
        }
    }
}

/// The header with another field, and a checksum that is right.
fn field(random: &mut Random, header: Header) -> Header {
    let numbers = [
        Header::MODE,
        Header::UID,
        Header::GID,
        Header::SIZE,
        Header::SIZE,
        Header::MTIME,
        Header::MAJOR,
        Header::MINOR,
    ];
    let values: [&[u8]; 14] = [
        b"",
        b"        ",
        b"0",
        b"  7 ",
        b"777",
        b"1000",
        b"0001000\0",
        b"7777777",
        b"-1",
        b"12x",
        b"8",
        b"\x80\0\0\0\0\0\x02\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xfe",
        b"\x0000007",
    ];
    match random.below(6) {
        0 => header.field(Header::TYPE, [*random.pick(b"\x00012345679gxLKSADMNVX ~")]),
        1 => header.field(Header::MAGIC, *random.pick(&[&b"ustar\x0000"[..], b"ustar  \0", b""])),
        2 => header.field(Header::NAME, random.pick(&NAMES)),
        3 => header.link(random.pick(&NAMES)),
        _ => header.field(random.pick(&numbers).clone(), random.pick(&values)),
    }
}

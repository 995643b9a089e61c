//! What reads bytes of strangers, inputs for it that are nearly right, and what must hold for all.

use std::io::{Cursor, Read, Write};

use windlass::archive::{self, Archive, Found};
use windlass::endpoint::Source;
use windlass::error::{Error, ErrorKind, Result};
use windlass::image::{Algorithm, Config, Manifest};
use windlass::stream::compression::{Compress, Compression, Decompress};
use windlass::stream::tar::{Member, Reader};

use crate::support::random::Random;
use crate::support::random_tar;
use crate::support::{ImageBuilder, archives};

/// Most bytes that are inflated: a bomb is no finding here.
const INFLATED_LIMIT: u64 = 16 << 20;

/// One reader of bytes.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Makes an input.
    pub(crate) input: fn(&mut Random) -> Vec<u8>,
    /// Reads it, and says whether it was taken. Panics if something does not hold.
    pub(crate) run: fn(&[u8]) -> bool,
}

pub(crate) const TARGETS: [Target; 7] = [
    Target { name: "tar", input: tar_input, run: tar },
    Target { name: "gzip", input: |random| packed(random, Compression::Gzip), run: inflate },
    Target { name: "zstd", input: |random| packed(random, Compression::Zstd), run: inflate },
    Target { name: "archive", input: archive_input, run: packed_tar },
    Target { name: "images", input: images_input, run: images },
    Target { name: "manifest", input: |random| json(random, MANIFESTS), run: manifest },
    Target { name: "config", input: |random| json(random, CONFIGS), run: config },
];

const MANIFESTS: &[&[u8]] = &[
    include_bytes!(
        "../../fixtures/manifests/44e16004abf9b0a2fac1dbc7b3a0bc8a559361cadb72d63562c9824873b2ccc9.json"
    ),
    include_bytes!(
        "../../fixtures/manifests/4e0e8edec2f49a4116c8bb536afc61f260b76f26994282647ac8f315abd3ff57.json"
    ),
    include_bytes!(
        "../../fixtures/manifests/61120a89bd501979749ae14b90c370aca8b83db5e685811f674a6aff63341749.json"
    ),
    include_bytes!(
        "../../fixtures/manifests/dcc1da6f4d10d0caa48a4bd265053a762b984925932b926c190f4dd33b270d7c.json"
    ),
];

const CONFIGS: &[&[u8]] = &[
    br#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":["sh"]},
        "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#,
    br#"{"os":"linux","architecture":"arm64","variant":"v8","created":"2024-01-01T00:00:00Z"}"#,
];

/// The input of that number: the same for the same seed, whatever came before.
pub(crate) fn input(target: &Target, seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    (target.input)(&mut random)
}

fn tar_input(random: &mut Random) -> Vec<u8> {
    let mut tar = match random.below(4) {
        0 => random_tar::good(random),
        _ => random_tar::bad(random),
    };
    if random.one_in(2) {
        mutate(random, &mut tar);
    }
    tar
}

fn packed(random: &mut Random, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        let mut content = vec![random.byte(); random.below(3000)];
        for _ in 0..random.below(300) {
            content.push(random.byte());
        }
        bytes.extend(compress(&content, compression));
        if random.one_in(4) {
            bytes.extend(vec![0; random.below(600)]);
        }
    }
    mutate(random, &mut bytes);
    bytes
}

fn archive_input(random: &mut Random) -> Vec<u8> {
    let tar = random_tar::bad(random);
    let compression = *random.pick(&[Compression::None, Compression::Gzip, Compression::Zstd]);
    let mut bytes = compress(&tar, compression);
    if random.one_in(2) {
        mutate(random, &mut bytes);
    }
    bytes
}

/// Images as tools save them.
fn images_input(random: &mut Random) -> Vec<u8> {
    let base = ImageBuilder::new().layer_files(&[("base", "shared")]);
    let (one, two) = (base.clone().layer_files(&[("one", "1")]).build(), base.build());
    let images: [archives::Named<'_>; 2] = [(&one, &["h.io/one:1"]), (&two, &["two:latest"])];
    let mut bytes = match random.below(6) {
        0 => archives::docker_24(&images),
        1 => archives::docker_25(&images),
        2 => archives::skopeo_docker(&images),
        3 => archives::crane(&images),
        4 => archives::containerd(&images, &[]),
        _ => archives::regctl(&images),
    };
    if !random.one_in(4) {
        mutate(random, &mut bytes);
    }
    bytes
}

fn json(random: &mut Random, seeds: &[&[u8]]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).to_vec();
    mutate(random, &mut bytes);
    bytes
}

fn compress(content: &[u8], compression: Compression) -> Vec<u8> {
    let mut compress = Compress::new(Vec::new(), compression).unwrap();
    compress.write_all(content).unwrap();
    compress.finish().unwrap()
}

/// Changes a few bytes, or moves some about.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(1 + random.clone().below(64))).min(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            3 => bytes.insert(at, *random.pick(b"\0\x01\x7f\x80\xff0 \"{}[]:,-e")),
            4 if at < end => bytes[at..end].fill(*random.pick(b"\0\xff 7\"")),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

/// Reads it in one pass and by seeking: both see the same.
fn tar(bytes: &[u8]) -> bool {
    let read = members(Reader::new(bytes), bytes, true);
    let sought = members(Reader::seeking(Cursor::new(bytes)), bytes, false);
    match (read, sought) {
        (Ok(read), Ok(sought)) => {
            assert_eq!(read, sought, "reading and seeking differ");
            true
        }
        (Err(read), Err(sought)) => {
            content_is_wrong(&read);
            content_is_wrong(&sought);
            false
        }
        (read, sought) => panic!("reading: {read:?}; seeking: {sought:?}"),
    }
}

fn members<R: Read>(mut reader: Reader<R>, bytes: &[u8], contents: bool) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        if contents {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            let offset = usize::try_from(member.offset).unwrap();
            assert!(bytes[offset..].starts_with(&content), "content is what is in the tar");
            assert_eq!(content.len() as u64, member.size);
        }
        members.push(member);
    }
    assert_eq!(reader.finish()?, bytes.len() as u64, "everything is counted");
    Ok(members)
}

/// Inflates it in small and in big pieces: both give the same.
fn inflate(bytes: &[u8]) -> bool {
    let whole = inflated(bytes, 1 << 20);
    let pieces = inflated(bytes, 61);
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert!(whole == pieces, "pieces differ from the whole");
            true
        }
        (Err(whole), Err(pieces)) => {
            content_is_wrong(&whole);
            content_is_wrong(&pieces);
            false
        }
        (whole, pieces) => panic!("whole: {:?}; pieces: {:?}", whole.err(), pieces.err()),
    }
}

fn inflated(bytes: &[u8], piece: usize) -> Result<Vec<u8>> {
    let mut decompress = Decompress::new(bytes)?.take(INFLATED_LIMIT);
    let (mut content, mut buf) = (Vec::new(), vec![0; piece]);
    loop {
        match decompress.read(&mut buf)? {
            0 => return Ok(content),
            len => content.extend(&buf[..len]),
        }
    }
}

/// A tar in whatever it is compressed with.
fn packed_tar(bytes: &[u8]) -> bool {
    let read = || -> Result<()> {
        let mut reader = Reader::new(Decompress::new(bytes)?.take(INFLATED_LIMIT));
        while reader.next_member()?.is_some() {}
        reader.finish()?;
        Ok(())
    };
    read().inspect_err(content_is_wrong).is_ok()
}

/// An archive of images, verified in passing and read where it lies: what is found to be good can
/// be read.
fn images(bytes: &[u8]) -> bool {
    let checked = archive::check(bytes, &|_| Ok(()));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let opened = Archive::open(file.path(), &|_| Ok(()));
    if let Err(error) = &opened {
        let text = error.to_string();
        assert!(text.len() < 4000 && !text.contains(char::is_control), "{text}");
    }
    match checked.inspect_err(content_is_wrong) {
        Ok(report) if report.findings.is_empty() => {
            let Ok(Found::Archive(archive)) = opened else { panic!("good, and not read") };
            assert!(!archive.images().is_empty());
            for image in archive.images() {
                archive.source(image).manifest(&image.target).unwrap();
            }
            true
        }
        _ => false,
    }
}

/// What was taken is kept byte for byte.
fn manifest(bytes: &[u8]) -> bool {
    match Manifest::parse(bytes.to_vec(), Algorithm::Sha256, None) {
        Ok(manifest) => {
            assert_eq!(manifest.bytes(), bytes);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn config(bytes: &[u8]) -> bool {
    Config::from_slice(bytes).is_ok()
}

/// Nothing that bytes can do is a fault of this machine, and what is said of it is short.
fn content_is_wrong(error: &Error) {
    assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.len() < 2000 && !text.contains(char::is_control), "{text}");
}

use argh::{ArgsInfo, FromArgs};
use windlass::error::Context as _;

use crate::cli::answer::Image;
use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::{Command, Context, human, stored};

/// List the images in the store.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub(crate) struct List {}

/// Hex digits of a digest: enough to tell images apart.
const SHORT: usize = 12;

impl Command for List {
    const GROUPS: &'static [Group] = &[Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let store = stored::open(context)?;
        let mut images = Vec::new();
        let mut damage = None;
        let (entries, odd) = store.entries_and_odd()?;
        for (entry, summary) in entries.iter().zip(store.summaries(&entries)) {
            let read = summary.context(|| format!("reading {} from the store", entry.name));
            images.push(match read {
                Ok(summary) => Image::summed(entry, summary),
                Err(error) => {
                    // What is damaged is listed too, and the damage told at the end.
                    damage.get_or_insert(error);
                    Image::bare(entry)
                }
            });
        }
        if context.output.is_json() {
            images.iter().try_for_each(|image| context.output.answer_json(image))?;
        } else {
            context.output.answer(&table(&images))?;
        }
        if let Some(first) = odd.first() {
            let more = match odd.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            log::warn!("not listed: {first}{more}; `windlass verify` says how to get rid of that");
        }
        damage.map_or(Ok(()), |error| Err(stored::damaged(context, error)))
    }
}

/// The images in columns, under a heading.
fn table(images: &[Image]) -> String {
    let heading = ["NAME", "DIGEST", "PLATFORM", "SIZE", "CREATED"].map(str::to_owned);
    let rows = images.iter().map(|image| {
        [
            image.name.clone().unwrap_or_else(|| "<none>".into()),
            image.digest.hex()[..SHORT].to_owned(),
            image.shown_platforms(),
            image.size.map_or_else(|| "-".into(), human::size),
            image.created.as_deref().map_or_else(|| "-".into(), seconds),
        ]
        .map(|cell| human::cell(&cell))
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A time of RFC 3339 without its fraction of a second.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) => {
            let zone = rest.trim_start_matches(|character: char| character.is_ascii_digit());
            format!("{seconds}{zone}")
        }
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use windlass::image::{Digest, MediaType};

    use super::*;

    #[test]
    fn table_is_aligned_and_shows_what_is_known() {
        let image = |name: &str, size| Image {
            name: Some(name.into()).filter(|name: &String| !name.is_empty()),
            digest: Digest::of(b""),
            stored: Digest::of(b""),
            platform: None,
            platforms: vec!["linux/amd64".into(), "linux/arm64/v8".into()],
            size,
            created: Some("2024-01-26T23:44:54.123Z".into()),
            media_type: MediaType::default(),
        };
        let shown = table(&[image("docker.io/library/a:1", Some(7_812_345)), image("", None)]);
        let expected = "\
NAME                   DIGEST        PLATFORM                    SIZE   CREATED
docker.io/library/a:1  e3b0c44298fc  linux/amd64,linux/arm64/v8  7.8MB  2024-01-26T23:44:54Z
<none>                 e3b0c44298fc  linux/amd64,linux/arm64/v8  -      2024-01-26T23:44:54Z";
        assert_eq!(shown, expected);
        assert_eq!(table(&[]), "NAME  DIGEST  PLATFORM  SIZE  CREATED");
        assert_eq!(seconds("2024-01-26T23:44:54.1+02:00"), "2024-01-26T23:44:54+02:00");
    }
}

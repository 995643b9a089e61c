use std::io::Read;

use serde::Deserialize;

use super::file;
use super::layout::Layout;
use crate::error::{Context, Error, Result};

/// The content of `oci-layout`.
///
/// Spec: [oci-layout file][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md#oci-layout-file
pub(super) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Most bytes of it that are read; it has some dozen.
const MARKER_LIMIT: u64 = 4096;

/// The version of the layout, if anything says it.
pub(super) fn version(layout: &Layout) -> Result<Option<String>> {
    let path = layout.marker();
    let Some(file) = file::open(&path)? else { return Ok(None) };
    let reading = || format!("reading `{}`", path.display());
    let mut bytes = Vec::new();
    file.take(MARKER_LIMIT).read_to_end(&mut bytes).context(reading)?;
    parse(&bytes).context(reading).map(Some)
}

fn parse(bytes: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker = serde_json::from_slice(bytes)
        .map_err(|error| Error::content(format!("expected the version of a layout: {error}")))?;
    Ok(marker.image_layout_version)
}

/// Whether we know layouts of that version.
pub(super) fn is_known(version: &str) -> bool {
    version.starts_with("1.")
}

/// Refuses a layout of a version that we do not know. One without a marker has lost it.
pub(super) fn check(layout: &Layout) -> Result<()> {
    match version(layout)? {
        Some(version) if !is_known(&version) => {
            let message =
                format!("expected image layout version 1, got `{}`", version.escape_debug());
            Err(Error::content(message))
                .context(|| format!("reading `{}`", layout.marker().display()))
        }
        _ => Ok(()),
    }
}

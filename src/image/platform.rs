use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json::{Object, nullable_list};

/// What an image runs on.
///
/// Spec: [`platform` of an image index][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Platform {
    /// The operating system, by Go's name: `linux`.
    pub os: String,
    /// The processor, by Go's name: `amd64`, `arm64`.
    pub architecture: String,
    /// The version of the processor's instructions: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system; set for Windows.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must be able to do; set for Windows.
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "nullable_list"
    )]
    pub os_features: Vec<String>,
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Platform, D::Error> {
        Platform::deserialize(Object(deserializer))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Platform::serialize(self, serializer)
    }
}

impl Platform {
    /// The platform of that operating system and processor.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// What an image must be for, to run on this machine. The operating system is `linux` on any
    /// host: that is what images are made for.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "powerpc64" => ("ppc64", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Platform::new("linux", architecture, variant)
    }

    /// Whether this is how an index lists what is not an image.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }

    /// How well an image for `offered` serves who asks for this platform: `None` is not at all,
    /// and of several the smallest serves best.
    ///
    /// Without a variant `arm64` means `v8`, `arm` means `v7` and `amd64` means `v1`. `arm/v7`
    /// also takes v6 and v5, `amd64/vN` also takes lower ones; everything else must be equal.
    pub fn distance(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.os_version.is_some() && self.os_version != offered.os_version {
            return None;
        }
        let (wanted, offered) = (self.effective_variant(), offered.effective_variant());
        if wanted == offered {
            return Some(0);
        }
        let lowest = match self.architecture.as_str() {
            "arm" => 5,
            "amd64" => 1,
            _ => return None,
        };
        let (wanted, offered) = (level(wanted?)?, level(offered?)?);
        if offered < lowest { None } else { wanted.checked_sub(offered) }
    }

    fn effective_variant(&self) -> Option<&str> {
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        match (self.architecture.as_str(), variant) {
            ("arm64", None | Some("8")) => Some("v8"),
            ("arm", None) => Some("v7"),
            ("amd64", None) => Some("v1"),
            (_, variant) => variant,
        }
    }
}

/// The number in `v7`; Docker once wrote `7`.
fn level(variant: &str) -> Option<u32> {
    let digits = variant.strip_prefix('v').unwrap_or(variant);
    if digits.len() > 3 { None } else { digits.parse().ok() }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Reads `os/arch[/variant]`, lowercased and with the usual other names of a processor.
    fn from_str(text: &str) -> Result<Platform, ParsePlatformError> {
        let invalid = || ParsePlatformError(text.chars().take(160).collect());
        let lowercase = text.to_ascii_lowercase();
        let mut parts = lowercase.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        let fine = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let all_fine = [os, architecture, variant].into_iter().flatten().all(fine);
        let (Some(os), Some(architecture), true, None) = (os, architecture, all_fine, parts.next())
        else {
            return Err(invalid());
        };
        let (architecture, implied) = match architecture {
            "x86_64" | "x86-64" => ("amd64", None),
            "i386" | "i686" | "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            other => (other, None),
        };
        let variant = variant.or(implied).map(|variant| {
            let bare = variant.bytes().all(|byte| byte.is_ascii_digit());
            if bare { format!("v{variant}") } else { variant.to_owned() }
        });
        Ok(Platform::new(os, architecture, variant.as_deref()))
    }
}

/// The text is not `os/arch` or `os/arch/variant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePlatformError(String);

impl fmt::Display for ParsePlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid platform `{}`: expected os/arch or os/arch/variant, such as linux/arm64",
            self.0
        )
    }
}

impl std::error::Error for ParsePlatformError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, offered: &str, distance: Option<u32>) {
        let (wanted, offered): (Platform, Platform) =
            (wanted.parse().unwrap(), offered.parse().unwrap());
        assert_eq!(wanted.distance(&offered), distance, "{wanted} takes {offered}");
    }

    #[test]
    fn platform_takes_what_its_processor_runs() {
        check("linux/amd64", "linux/amd64", Some(0));
        check("linux/amd64", "linux/arm64", None);
        check("linux/amd64", "windows/amd64", None);
        check("linux/arm64", "linux/arm64/v8", Some(0));
        check("linux/arm64/v8", "linux/arm64", Some(0));
        check("linux/arm64/v9", "linux/arm64/v8", None);
        check("linux/arm/v7", "linux/arm/v6", Some(1));
        check("linux/arm/v7", "linux/arm/v5", Some(2));
        check("linux/arm/v6", "linux/arm/v7", None);
        check("linux/arm/v7", "linux/arm/v4", None);
        check("linux/arm/v7", "linux/arm/v8", None);
        check("linux/arm", "linux/arm/v7", Some(0));
        check("linux/amd64/v3", "linux/amd64", Some(2));
        check("linux/amd64/v3", "linux/amd64/v2", Some(1));
        check("linux/amd64", "linux/amd64/v2", None);
        check("linux/ppc64le", "linux/ppc64le", Some(0));
        check("linux/arm64", "linux/arm/v7", None);
    }

    #[test]
    fn platform_text_has_two_or_three_plain_parts() {
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/", "a/b/c/d", "li nux/amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
        let check = |text: &str, shown: &str| {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        };
        check("Linux/AArch64", "linux/arm64");
        check("linux/x86_64", "linux/amd64");
        check("linux/arm/7", "linux/arm/v7");
        check("linux/armhf", "linux/arm/v7");
    }
}

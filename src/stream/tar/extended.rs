use super::block::Block;
use super::pax::Pax;
use super::{Kind, Member, Time};

/// What stands before a member's own header and is about it.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) pax: Option<Pax>,
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }

    /// The name of the member whose header is `block`.
    pub(super) fn name(&self, block: &Block) -> Vec<u8> {
        let pax = self.pax.as_ref().and_then(|pax| pax.path.as_ref());
        pax.or(self.long_name.as_ref()).cloned().unwrap_or_else(|| block.name())
    }

    /// The member whose header is `block`, with its content at `offset`. `global` holds for it as
    /// far as nothing else is said.
    ///
    /// On failure, says what is wrong with it.
    pub(super) fn member(
        self,
        block: &Block,
        global: &Pax,
        offset: u64,
    ) -> Result<Member, &'static str> {
        let path = self.name(block);
        let pax = self.pax.unwrap_or_else(|| global.clone());
        if pax.path.is_some() && self.long_name.is_some() {
            return Err("it has two long names");
        }
        if pax.link.is_some() && self.long_link.is_some() {
            return Err("it has two long link targets");
        }
        let size = pax.size.map_or_else(|| block.size(), Ok)?;
        let kind = kind(block.type_flag(), &path, size)?;
        let link = match kind {
            Kind::HardLink | Kind::SymbolicLink => {
                pax.link.or(self.long_link).unwrap_or_else(|| block.link().to_vec())
            }
            _ => Vec::new(),
        };
        let device = match kind {
            Kind::CharacterDevice | Kind::BlockDevice => block.device()?,
            _ => (0, 0),
        };
        let seconds = |()| block.mtime().map(|seconds| Time { seconds, nanos: 0 });
        Ok(Member {
            path,
            kind,
            size: if kind == Kind::File { size } else { 0 },
            mode: block.mode()?,
            uid: pax.uid.map_or_else(|| block.uid(), Ok)?,
            gid: pax.gid.map_or_else(|| block.gid(), Ok)?,
            mtime: pax.mtime.map_or_else(|| seconds(()), Ok)?,
            link,
            device,
            xattrs: pax.xattrs,
            offset,
        })
    }
}

/// What a member is. The oldest form has no type for folders, but a slash at the end of the name.
fn kind(type_flag: u8, path: &[u8], size: u64) -> Result<Kind, &'static str> {
    match type_flag {
        0 if path.ends_with(b"/") && size > 0 => Err("a folder with content"),
        0 if path.ends_with(b"/") => Ok(Kind::Folder),
        0 | b'0' | b'7' => Ok(Kind::File),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::SymbolicLink),
        b'3' => Ok(Kind::CharacterDevice),
        b'4' => Ok(Kind::BlockDevice),
        b'5' => Ok(Kind::Folder),
        b'6' => Ok(Kind::Fifo),
        b'S' => Err("a sparse file"),
        _ => Err("a type of member that is not known"),
    }
}

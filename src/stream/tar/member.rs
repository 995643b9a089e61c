/// What a tar says about one member. Nothing of it is to be trusted: names may lead anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As it is written, with what slashes it has.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content that follow; 0 for everything but files.
    pub size: u64,
    /// The twelve bits of permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When it was last changed.
    pub mtime: Time,
    /// What a link leads to; empty for all else.
    pub link: Vec<u8>,
    /// Major and minor number of a device; zeros for all else.
    pub device: (u32, u32),
    /// Extended attributes, name and value, in the tar's order, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where its content begins, in bytes from the start of the tar.
    pub offset: u64,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; contiguous ones are no different.
    File,
    /// Another name for a member before it.
    HardLink,
    /// A symbolic link.
    SymbolicLink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
}

/// A moment, since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, less than a second.
    pub nanos: u32,
}

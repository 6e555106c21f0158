//! Files of the host at the places where ours go.

use crate::spec::Content;

/// What is found at one of our paths. Links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedFile {
    /// Nothing.
    Absent,
    /// A plain file.
    Present {
        /// What is in it; of one that is larger than ours ever are, the beginning and one byte too many.
        content: Content,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Something that aiplatd never makes there.
    Obstructed {
        /// `a folder`, `a symbolic link`.
        what: String,
    },
}

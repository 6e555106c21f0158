//! Documents to text. Pure: the moment and the width are arguments, colours are in the text and taken out by the
//! console where nobody would see them. Whatever a container or a registry could have written is made harmless here.

pub mod config;
pub mod describe;
pub mod events;
pub mod gpus;
pub mod graph;
pub mod host;
pub mod lists;
pub mod logs;
pub mod models;
pub mod origin;
pub mod plan;
mod probe;
pub mod status;
pub mod style;
pub mod table;
pub mod text;
pub mod time;
pub mod volumes;
pub mod why;

use jiff::Timestamp;

/// Who looks, and when.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The present.
    pub now: Timestamp,
    /// Columns of the terminal; `None`: no end.
    pub width: Option<usize>,
    /// Every column there is.
    pub wide: bool,
}

impl View {
    /// A view without an end.
    #[must_use]
    pub const fn unbounded(now: Timestamp) -> Self {
        Self { now, width: None, wide: false }
    }
}

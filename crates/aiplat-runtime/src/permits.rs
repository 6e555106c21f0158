//! Permits: what bounds the starts and pulls that run at once.
//!
//! A pass asks for one with [`Permits::try_take`], at the moment it knows that it wants to start or pull. It holds what it
//! got until it ends, in whatever way it ends. If it gets none it ends with
//! [`Outcome::NeedsPermit`](crate::Outcome::NeedsPermit), and its next turn begins with the permit in hand. We did not make
//! the controller the only giver of permits: then every start would cost two passes, also while the pool is empty.

use std::{collections::BTreeSet, fmt};

/// A class of permits, say `Class("start")`. How many there are is in [`Limits::pools`](crate::Limits::pools).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub &'static str);

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Where a pass's permits come from: the scheduler, or a fixed set.
pub(crate) trait Grant: Send + Sync {
    fn holds(&self, class: Class) -> bool;
    fn try_take(&self, class: Class) -> bool;
}

/// The permits of one pass. They end with the pass, used or not, even if this value is kept.
pub struct Permits(Box<dyn Grant>);

impl Permits {
    pub(crate) fn new(grant: impl Grant + 'static) -> Self {
        Self(Box::new(grant))
    }

    /// Exactly these classes, bounded by no pool: for a reconciler that runs outside of a controller, as in a test.
    #[must_use]
    pub fn fixed(classes: impl IntoIterator<Item = Class>) -> Self {
        Self::new(Fixed(classes.into_iter().collect()))
    }

    /// Whether this pass holds a permit of this class already.
    #[must_use]
    pub fn holds(&self, class: Class) -> bool {
        self.0.holds(class)
    }

    /// True if this pass holds a permit of this class or can have one now; then it holds it until it ends. Never waits.
    /// False if the pool is full, if a more urgent key stands in line for the place, or if there is no pool of this class.
    #[must_use]
    pub fn try_take(&self, class: Class) -> bool {
        self.0.try_take(class)
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permits").finish_non_exhaustive()
    }
}

struct Fixed(BTreeSet<Class>);

impl Grant for Fixed {
    fn holds(&self, class: Class) -> bool {
        self.0.contains(&class)
    }

    fn try_take(&self, class: Class) -> bool {
        self.0.contains(&class)
    }
}

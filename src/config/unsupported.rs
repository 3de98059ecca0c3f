//! What is read and checked already, and has no effect yet: refused when it is set to anything but its default, never
//! ignored in silence. Whoever adds a key before its effect writes a line, and whoever builds the effect deletes it.

use super::shape::Shape;

/// Every key has its effect now.
const KEYS: &[(&Shape, &str)] = &[];

/// Whether this key of this table has no effect yet.
pub(super) fn is(shape: &Shape, key: &str) -> bool {
    KEYS.contains(&(shape, key))
}
